"""``planctonctl start``: turn the timer on."""

import argparse

from plancton_tick.ctl.common import open_site, tell
from plancton_tick.engine import Engine
from plancton_tick.errors import PlanctonError
from plancton_tick.ledger import read_snapshot, update
from plancton_tick.manager import TIMER, Manager
from plancton_tick.model import Ledger
from plancton_tick.stopping import remove_request, runtime_folder

HELP = """
Turn the timer on, now and at every boot. A drain stays a drain (see resume), but no longer turns
the timer off.
"""

EXAMPLES = """
sudo planctonctl start        ticks from now on
planctonctl status            the next tick, and how the last one ended
planctonctl start --user      a timer of your own systemd"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the verb has no options of its own."""


def run(options: argparse.Namespace) -> int:
    """Start and enable the timer. Raises ManagerUnavailableError, ManagerRefusedError."""
    site = open_site(options.config)
    drain_words = _keep_timer(site.engine)
    remove_request(runtime_folder(user=options.user))
    with Manager(user=options.user) as systemd:
        has_changed = systemd.start_timer()
    first = f"{TIMER} is on, now and at every boot."
    tell("start", first if has_changed else f"{TIMER} is on already: nothing changed.", drain_words)
    return site.exit_code


def _keep_timer(engine: Engine) -> str:
    """See to it that a drain does not turn the timer off again; return what to say of it."""

    def change(fresh: Ledger) -> Ledger:
        if fresh.drain is None or not fresh.drain.stops_timer:
            return fresh
        return fresh._replace(drain=fresh.drain._replace(stops_timer=False))

    try:
        if read_snapshot(engine.list_volumes(), engine.instance).ledger.drain is None:
            return ""
        drain = update(engine, engine.instance, change).ledger.drain
    except PlanctonError as error:
        # The timer is wanted all the more: its ticks wait for the engine.
        return f"Whether a drain is on cannot be told: {error.message}."
    by = drain.by if drain is not None else ""
    return f"Drained by {by}: no pilot is started before planctonctl resume."
