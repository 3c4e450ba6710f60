"""What the verbs share: the configuration and engine of a tick, the timer, and who is asking."""

import os
import pwd
import time
from typing import NamedTuple

from plancton_tick.config_cache import read_config
from plancton_tick.ctl.main import say_faults
from plancton_tick.engine import Engine
from plancton_tick.errors import EXIT_CONFIG, EXIT_OK, PlanctonError
from plancton_tick.host import read_clock
from plancton_tick.ledger import update
from plancton_tick.ledger_json import rebase
from plancton_tick.loaded import Loaded
from plancton_tick.model import Drain, Ledger
from plancton_tick.report import report_operator
from plancton_tick.tick import connect, read_size


class Site(NamedTuple):
    """The configuration as a tick reads it, and its engine."""

    loaded: Loaded
    engine: Engine

    @property
    def exit_code(self) -> int:
        """What a verb ends with that has done all it was asked: as a tick, 78 for faults."""
        return EXIT_CONFIG if self.loaded.faults else EXIT_OK


class Timer(NamedTuple):
    """What is known of the timer from here; ``error`` says why nothing is."""

    is_installed: bool
    is_on: bool
    error: str | None


class Drained(NamedTuple):
    """The drain before and after a change; the same object where nothing was changed."""

    before: Drain | None
    after: Drain | None


def open_site(config_path: str) -> Site:
    """Read the configuration, say its faults, and return it with its engine."""
    loaded = read_config(config_path, None, host=read_size())
    say_faults(loaded.faults)
    return Site(loaded, connect(loaded.config))


def change_drain(engine: Engine, wanted: Drain | None) -> Drained:
    """Put a drain into the ledger, or end one (None).

    A drain that is there already stays as it is, but for what is new: a reason, and more that it
    is to do. What it does already is taken back only by ending it.
    """
    found: list[Drain | None] = [None, None]

    def change(fresh: Ledger) -> Ledger:
        found[0] = fresh.drain
        found[1] = wanted if wanted is None or fresh.drain is None else _joined(fresh.drain, wanted)
        if found[1] == fresh.drain:
            return fresh
        # Instants of the ledger are on the clock of its last writer; the drain's is on today's.
        now = time.time()
        return rebase(fresh, read_clock(), now)._replace(drain=found[1])

    update(engine, engine.instance, change)
    return Drained(found[0], found[1])


def _joined(now: Drain, wanted: Drain) -> Drain:
    return now._replace(
        why=wanted.why or now.why,
        ends_pilots=now.ends_pilots or wanted.ends_pilots,
        stops_timer=now.stops_timer or wanted.stops_timer,
    )


def read_timer(*, user: bool) -> Timer:
    """Tell whether the timer is on; raises nothing, for what most verbs do goes without."""
    from plancton_tick import manager

    try:
        with manager.Manager(user=user) as systemd:
            state = systemd.read_timer()
    except PlanctonError as error:
        return Timer(False, False, error.message)
    if not state.is_installed:
        return Timer(False, False, f"{manager.TIMER} is not installed")
    return Timer(True, state.is_on, None)


def who_asks() -> str:
    """Return the name of the person behind this process: root's, or who became root by sudo."""
    sudo_user = os.environ.get("SUDO_USER")
    # Only root's environment says anything: others could say what they like.
    if sudo_user and os.getuid() == 0:
        return one_line(sudo_user)
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def one_line(text: str) -> str:
    """Return a text as one line without control characters: it is shown on many screens."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def tell(verb: str, *sentences: str) -> None:
    """Say what a verb did, on standard output and in the journal with who did it."""
    text = " ".join(filter(None, sentences))
    print(text)
    report_operator(verb, who_asks(), text)


def count(number: int, noun: str) -> str:
    """Return ``1 pilot``, ``2 pilots``, ``no pilot``."""
    return f"{number or 'no'} {noun}{'s' if number > 1 else ''}"
