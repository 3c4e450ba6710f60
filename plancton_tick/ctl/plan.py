"""``planctonctl plan``: what the next tick would do and why, changing nothing."""

import argparse
import shutil
import sys
import textwrap

from plancton_tick.ctl.common import one_line
from plancton_tick.ctl.main import say_faults
from plancton_tick.errors import EXIT_CONFIG, EXIT_OK
from plancton_tick.explain import to_json, to_text
from plancton_tick.tick import look

HELP = """
Say what the next tick would do, with the reason and the numbers of each action, and every reason
why no more pilots are started, with the earliest time at which it can end. Nothing is changed.
"""

EXAMPLES = """
planctonctl plan                       the next tick, in words
planctonctl plan --config new.yaml     what a change would do
planctonctl plan --json | jq .vetoes   the same for programs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument(
        "--json", action="store_true", help="print the document of plancton-tick --dry-run --json"
    )


def run(options: argparse.Namespace) -> int:
    """Look, decide, print."""
    seen = look(options.config)
    say_faults(seen.loaded.faults)
    if options.json:
        print(to_json(seen.plan, seen.observation))
    else:
        for line in to_text(seen.plan, seen.observation).split("\n"):
            print("\n".join(_wrap(one_line(line))))
    return EXIT_CONFIG if seen.loaded.faults else EXIT_OK


def _wrap(line: str) -> list[str]:
    """Break a line at words on a terminal; what a program reads stays one line."""
    if not sys.stdout.isatty():
        return [line]
    width = max(20, shutil.get_terminal_size().columns)
    return textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False)
