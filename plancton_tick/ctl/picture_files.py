"""Pictures are asked for: is what draws them here?"""

from plancton_tick.ctl.common import one_line
from plancton_tick.errors import ToolMissingError


def import_picture() -> None:
    """Import what draws, before any work is done for it. Raises ToolMissingError."""
    try:
        import plancton_tick.ctl.picture  # noqa: F401
    except ImportError as error:
        raise ToolMissingError(
            f"pictures need matplotlib: {one_line(str(error))[:99]}",
            hint="dnf install python3-matplotlib, apt install python3-matplotlib, "
            "or pip install plancton[pictures]",
        ) from None
