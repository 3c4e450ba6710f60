"""``planctonctl migrate``: a configuration of Plancton 0.6 in today's keys."""

import argparse
import sys

from plancton_tick import config as loading
from plancton_tick.classic import is_classic, translate
from plancton_tick.config_build import build_config
from plancton_tick.config_node import Faults, Place, show_key, show_place
from plancton_tick.config_schema import TOP_LEVEL
from plancton_tick.config_yaml import parse_yaml
from plancton_tick.ctl.main import PROGRAM
from plancton_tick.ctl.migrate_yaml import write_yaml
from plancton_tick.errors import EXIT_OK, EXIT_USAGE, ConfigError

HELP = """
Print a configuration of Plancton 0.6 in today's keys. A comment on each line says where its value
came from, and what changed in its meaning. The file may also stay as it is: ticks read it with the
same result.
"""

EXAMPLES = """
planctonctl migrate /etc/plancton/config.yaml > new.yaml
planctonctl check new.yaml                      what it means on this host
sudo mv new.yaml /etc/plancton/config.yaml      the next tick reads it"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument("old", metavar="OLD", help="the file of Plancton 0.6")


def run(options: argparse.Namespace) -> int:
    """Print the new file.

    Returns 2 if the file cannot be read or has today's keys already. Raises ConfigError if it is no
    file of Plancton 0.6, or a faulty one.
    """
    try:
        with open(options.old, "rb") as file:
            data = file.read(loading.MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        return _refuse(f"{options.old}: expected a file of Plancton 0.6, got an error: {problem}")
    if len(data) > loading.MAX_FILE_BYTES:
        return _refuse(f"{options.old}: expected a file of Plancton 0.6, got one of more than 1M")
    root = parse_yaml(data, options.old, 0, Faults())
    for key, entry in root.entries.items() if root is not None else ():
        if key in TOP_LEVEL:
            what = f"{show_place(entry.place)}: {key}: expected keys of Plancton 0.6 alone"
            return _refuse(f"{what}, got one of today's")
    # A file of YAML is UTF-8 whatever the terminal's locale.
    sys.stdout.flush()
    sys.stdout.buffer.write(migrate(data, options.old).encode())
    return EXIT_OK


def migrate(data: bytes, name: str) -> str:
    """Return the new file's text for an old one's content.

    Raises ConfigError with all of its faults.
    """
    faults = Faults()
    root = parse_yaml(data, name, 0, faults)
    if root is None or not is_classic(root):
        found = "none" if root is None else ", ".join(show_key(key) for key in root.entries)
        message = f"expected keys of Plancton 0.6, got {found:.100}"
        raise ConfigError(faults.lines() or (f"{show_place(Place(name, 0, 0))}: {message}",))
    has_apparmor = loading.has_apparmor()
    translation = translate(root, faults, has_apparmor=has_apparmor)
    meant = build_config(translation.root, None, faults)
    if len(faults):
        raise ConfigError(faults.lines(), hint="mend the old file first")
    text = write_yaml(translation, meant, name, has_apparmor=has_apparmor)
    # The one promise of this command: better no file than one that means something else.
    again = parse_yaml(text.encode(), "new", 0, faults)
    if again is None or len(faults) or build_config(again, None, faults) != meant or len(faults):
        said = ", ".join(faults.lines()) or "another"
        raise ConfigError(
            (f"{name}: expected a translation of the same meaning, got {said}",),
            hint="the old file works as it is; report this, please",
        )
    return text


def _refuse(message: str) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return EXIT_USAGE
