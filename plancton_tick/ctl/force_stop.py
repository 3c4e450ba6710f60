"""``planctonctl force-stop``: drain, end all pilots, and stay until the last has gone."""

import argparse
import os
import sys
import time

from plancton_tick import outcome, tick
from plancton_tick.act import apply
from plancton_tick.ctl.common import (
    Site,
    change_drain,
    count,
    open_site,
    read_timer,
    tell,
    who_asks,
)
from plancton_tick.decide import DEFAULT_STOP_GRACE_SECONDS
from plancton_tick.doing import Verdict
from plancton_tick.errors import EXIT_OK, EXIT_TEMPFAIL, EngineUnavailableError, LostRaceError
from plancton_tick.host import read_clock
from plancton_tick.ledger import read_snapshot
from plancton_tick.ledger_json import rebase
from plancton_tick.model import Drain, Outcome, Pilot, Plan, Reap
from plancton_tick.report import report_operator
from plancton_tick.room import LIVE_STATES

# Beyond every grace, for a slow engine and a timer that fires seldom.
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5
SHOWN = 4

HELP = """
Drain, and end all pilots: each gets SIGTERM, and is removed when its type's stop_grace is over.
With --now all are removed at once, and what they were at is lost. Stays until the last pilot has
gone. Ticks do the work; where no timer fires any, it is done here. The drain lasts until
"planctonctl resume".
"""

EXAMPLES = """
planctonctl force-stop         ask first, then end all pilots
planctonctl force-stop --yes   do not ask
planctonctl force-stop --now   without any grace
planctonctl resume             afterwards: start pilots again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument("--now", action="store_true", help="remove pilots without any grace")
    parser.add_argument("--yes", action="store_true", help="do not ask, on a terminal either")


def run(options: argparse.Namespace) -> int:
    """End all pilots and return when they have gone, or it takes too long."""
    site = open_site(options.config)
    live = _list_live(site)
    grace = _longest_grace(site, live)
    if not options.yes and not _is_sure(len(live), None if options.now else grace):
        print("Nothing is changed.")
        return EXIT_OK
    who, began = who_asks(), time.time()
    change_drain(site.engine, Drain(who, began, "", ends_pilots=True))
    how = "removed at once" if options.now else f"ended, with {grace:.0f} s of grace at most"
    what = f"{count(len(live), 'pilot')} to be {how}." if live else "No pilot is live."
    tell("force-stop", "No new pilots from now on.", what)
    try:
        left = _stay(site, options, began, grace)
    except KeyboardInterrupt:
        print("\nNot waiting any longer: the drain stands, and ticks go on ending pilots.")
        raise
    if left:
        names = ", ".join(pilot.name for pilot in left[:SHOWN])
        tell("force-stop", f"{count(len(left), 'pilot')} still there: {names}.", _look_where(site))
        return EXIT_TEMPFAIL
    tell("force-stop", "No pilot is left. planctonctl resume starts new ones.")
    return site.exit_code


def _stay(site: Site, options: argparse.Namespace, began: float, grace: float) -> tuple[Pilot, ...]:
    """Wait for the last pilot to go; return those that are left when patience is over."""
    # A tick that looked before the drain may still spawn: its own window and a moment later.
    settled = began + site.loaded.config.host.sample_seconds + 1.0
    end = time.monotonic() + grace + PATIENCE_SECONDS
    shown = -1
    while True:
        looked_at = time.time()
        try:
            if options.now:
                _remove_live(site)
            if not read_timer(user=options.user).is_on:
                tick.run(options.config)
            pilots = site.engine.list_pilots()
        except EngineUnavailableError as error:
            # An engine that ends many pilots at once may be too busy to answer for a while.
            if time.monotonic() > end:
                raise
            print(f"planctonctl: {error.message}", file=sys.stderr)
            time.sleep(POLL_SECONDS)
            continue
        if not pilots and looked_at >= settled:
            return ()
        if pilots and len(pilots) != shown:
            names = [pilot.name for pilot in pilots]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            print(f"{count(len(pilots), 'pilot')} left: {', '.join(names[:SHOWN])}{more}")
            sys.stdout.flush()
            shown = len(pilots)
        if pilots and time.monotonic() > end:
            return pilots
        time.sleep(POLL_SECONDS)


def _remove_live(site: Site) -> None:
    """Remove all live pilots, counted first as what they are: ended by a drain."""
    engine, now = site.engine, time.time()
    pilots = _list_live(site)
    if not pilots:
        return
    snapshot = read_snapshot(engine.list_volumes(), engine.instance)
    ledger = rebase(snapshot.ledger, read_clock(), now)
    reaps = []
    for pilot in pilots:
        is_counted = pilot.id in ledger.counted
        reaps.append(Reap(pilot, None if is_counted else Outcome.DRAINED, "force-stop --now"))
        if not is_counted:
            ledger = outcome.count(ledger, pilot, Outcome.DRAINED, now)
    plan = Plan(tuple(reaps), (), ledger)
    try:
        acted = apply(plan, engine, snapshot, snapshot.ledger, now, os.uname().nodename)
    except LostRaceError:
        # A tick was faster; the next round sees what it left.
        return
    for done in acted.done:
        if isinstance(done.action, Reap) and done.verdict is Verdict.DONE:
            name = f"{done.action.pilot.name} ({done.action.pilot.type})"
            report_operator("force-stop", who_asks(), f"removed {name}, drained")
        elif done.error is not None:
            print(f"planctonctl: {done.error.message}", file=sys.stderr)


def _list_live(site: Site) -> list[Pilot]:
    return [pilot for pilot in site.engine.list_pilots() if pilot.state in LIVE_STATES]


def _longest_grace(site: Site, live: list[Pilot]) -> float:
    graces = {each.name: each.stop_grace_seconds for each in site.loaded.config.pilots}
    return max((graces.get(p.type, DEFAULT_STOP_GRACE_SECONDS) for p in live), default=0.0)


def _look_where(site: Site) -> str:
    return f"See journalctl -u plancton, and the engine at {site.engine.url}."


def _is_sure(live: int, grace: float | None) -> bool:
    """Ask, where there is somebody to ask."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    what = "at once, losing their work" if grace is None else f"within {grace:.0f} s"
    print(f"End {count(live, 'pilot')} {what}, and start no more? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
