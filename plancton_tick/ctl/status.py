"""``planctonctl status``: what Plancton does on this host now."""

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress

from plancton_tick.ctl.status_data import Status, read_status, to_json

SECONDS = 2.0

HELP = """
Show on one screen: the timer and the last tick, a drain, the load of the owner and of the pilots,
each pilot type with its share and how its pilots ended, every reason why no pilot is started now,
and each pilot with what it uses of its caps ("old": its type has changed since it was started).
"""

EXAMPLES = """
planctonctl status                          now
planctonctl status --watch                  again every 2 s, until Ctrl-C
planctonctl status --json | jq .live        for programs (docs/status-json.md)
planctonctl status --json | jq -r '.vetoes[].words'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument("--json", action="store_true", help="print JSON; with --watch a line each")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=SECONDS,
        metavar="SECONDS",
        help=f"show it again and again, every {SECONDS:g} s unless told otherwise",
    )


def run(options: argparse.Namespace) -> int:
    """Look and show."""
    if options.json:
        return _run_json(options)
    from plancton_tick.ctl.screen import Drawable, Screen
    from plancton_tick.ctl.status_screen import draw

    screen = Screen()
    status = read_status(options.config, user=options.user)
    if options.watch is None:
        screen.show(draw(screen, status))
        return status.exit_code

    def look_again() -> Sequence[Drawable]:
        fresh = read_status(options.config, user=options.user)
        return draw(screen, fresh, height=screen.height if screen.can_refresh else None)

    with suppress(KeyboardInterrupt):
        screen.watch(look_again, options.watch)
    return status.exit_code


def _run_json(options: argparse.Namespace) -> int:
    status: Status = read_status(options.config, user=options.user)
    if options.watch is None:
        print(to_json(status))
        return status.exit_code
    with suppress(KeyboardInterrupt):
        while True:
            print(to_json(status, indent=None), flush=True)
            time.sleep(options.watch)
            status = read_status(options.config, user=options.user)
    return status.exit_code


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"expected 0.1 to 86400 seconds, got {text}")
    return seconds
