"""``planctonctl resume``: end a drain."""

import argparse

from plancton_tick.ctl.common import change_drain, open_site, read_timer, tell
from plancton_tick.stopping import remove_request, runtime_folder

HELP = """
End a drain, whoever began it and however: pilots are started again from the next tick on. What
force-stop has begun to end still ends. The timer is not touched.
"""

EXAMPLES = """
planctonctl resume     start pilots again
planctonctl plan       what the next tick makes of it
planctonctl start      turn the timer on, if it is off"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the verb has no options of its own."""


def run(options: argparse.Namespace) -> int:
    """Take the drain out of the ledger, and say so."""
    site = open_site(options.config)
    before = change_drain(site.engine, None).before
    remove_request(runtime_folder(user=options.user))
    if before is None:
        said = ["There is no drain: nothing changed."]
    else:
        why = f": {before.why}" if before.why else ""
        said = [f"The drain by {before.by}{why} has ended."]
    timer = read_timer(user=options.user)
    if timer.error is not None:
        said.append(f"Pilots are started by the next tick, which you fire ({timer.error}).")
    elif timer.is_on:
        said.append("The next tick starts pilots where there is room.")
    else:
        said.append("The timer is off: planctonctl start turns it on.")
    tell("resume", *said)
    return site.exit_code
