"""What is remembered of each database between two runs: how far it is, and since when it is down.

One file in the service's state folder. Without it nothing is wrong, only said or sent again: the
same point written twice is one point.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

FILE_NAME = "influxdb.json"
# A cursor is given to journalctl; sd_journal_get_cursor(3) says that it is opaque, and short.
_CURSOR = re.compile(r"[\w=;.-]{1,500}")


class Standing(NamedTuple):
    """How far a database is: the last entry of the journal it has, and since when it is down."""

    cursor: str = ""
    down_since: float | None = None


def read_standings(folder: str) -> dict[str, Standing]:
    """Read the file. Raises nothing: what cannot be read is not known."""
    try:
        with open(os.path.join(folder, FILE_NAME), encoding="utf-8") as file:
            found = json.load(file)
        return {name: _standing(*values) for name, values in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _standing(cursor: object, down_since: object) -> Standing:
    is_cursor = isinstance(cursor, str) and _CURSOR.fullmatch(cursor)
    is_instant = isinstance(down_since, float)
    return Standing(
        str(cursor) if is_cursor else "",
        float(str(down_since)) if is_instant else None,
    )


def write_standings(folder: str, standings: Mapping[str, Standing]) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    path = os.path.join(folder, FILE_NAME)
    fresh = f"{path}.new"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(standings, file)
            file.flush()
            # After a crash an empty file would have all of the journal sent again.
            os.fsync(file.fileno())
        os.rename(fresh, path)
    except OSError:
        with suppress(OSError):
            os.unlink(fresh)
        raise
