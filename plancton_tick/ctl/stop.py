"""``planctonctl stop``: turn the timer off; pilots stay."""

import argparse

from plancton_tick.ctl.common import tell
from plancton_tick.errors import EXIT_OK, ManagerUnavailableError
from plancton_tick.manager import TIMER, Manager, is_here

HELP = """
Turn the timer off, now and at every boot. Pilots that run stay, and nobody gives the host back to
its owner: to empty the host first, use drain --stop; to end pilots, force-stop.
"""

EXAMPLES = """
sudo planctonctl stop      no more ticks
planctonctl drain --stop   no more ticks when the last pilot has finished
sudo planctonctl start     ticks again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the verb has no options of its own."""


def run(options: argparse.Namespace) -> int:
    """Stop and disable the timer; where there is none, there is nothing to do."""
    try:
        with Manager(user=options.user) as systemd:
            has_changed = systemd.stop_timer()
    except ManagerUnavailableError as error:
        if is_here(user=options.user):
            raise
        tell("stop", f"There is no timer to turn off: {error.message}. What fires ticks is yours.")
        return EXIT_OK
    if has_changed:
        said = f"{TIMER} is off, now and at every boot. Pilots that run stay."
    else:
        said = f"{TIMER} is off already: nothing changed."
    tell("stop", said)
    return EXIT_OK
