"""``planctonctl drain``: no new pilots; those that run are left to finish."""

import argparse
import time

from plancton_tick.ctl.common import (
    Drained,
    Timer,
    change_drain,
    count,
    one_line,
    open_site,
    read_timer,
    tell,
    who_asks,
)
from plancton_tick.model import Drain
from plancton_tick.room import LIVE_STATES

HELP = """
Start no more pilots. Those that run are left to finish; the timer stays on, to clear them away.
A drain lasts until "planctonctl resume", over reboots and upgrades.
"""

EXAMPLES = """
planctonctl drain --reason "new kernel"   empty the host, and say why
planctonctl drain --stop                  and turn the timer off at the end
planctonctl status --watch                watch them finish
planctonctl resume                        start pilots again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument(
        "--stop", action="store_true", help="turn the timer off when the last pilot has gone"
    )
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="why; shown by status and in the journal"
    )


def run(options: argparse.Namespace) -> int:
    """Note the drain in the ledger and say what it means."""
    site = open_site(options.config)
    wanted = Drain(who_asks(), time.time(), one_line(options.reason), stops_timer=options.stop)
    drained = change_drain(site.engine, wanted)
    live = sum(pilot.state in LIVE_STATES for pilot in site.engine.list_pilots())
    tell("drain", *_words(drained, live, read_timer(user=options.user)))
    return site.exit_code


def _words(drained: Drained, live: int, timer: Timer) -> list[str]:
    before, after = drained
    if before is None:
        said = ["No new pilots from now on."]
    elif before == after:
        said = [f"Draining already, since {_when(before)} by {before.by}: nothing changed."]
    else:
        said = [f"Draining already, since {_when(before)} by {before.by}; changed as you say."]
    if after is None:
        return said
    if after.why:
        said.append(f"Reason: {after.why}.")
    if not live:
        said.append("No pilot is live.")
    elif after.ends_pilots:
        said.append(f"{count(live, 'pilot')} being ended, as force-stop said.")
    else:
        said.append(f"{count(live, 'pilot')} left to finish.")
    if timer.error is not None:
        if after.stops_timer:
            said.append(f"There is no timer to stop ({timer.error}): what fires ticks is yours.")
    elif not timer.is_on:
        said.append("The timer is off: pilots that end are cleared away after planctonctl start.")
    elif after.stops_timer:
        when = "with the next tick" if not live else "when the last one has gone"
        said.append(f"The timer stops {when}.")
    return said


def _when(drain: Drain) -> str:
    return time.strftime("%F %R", time.localtime(drain.at))
