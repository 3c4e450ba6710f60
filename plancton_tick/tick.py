"""One tick, top to bottom: observe, decide, act, report.

Modules that only a tick with something to do needs are imported where it is found out: start-up
is most of what a quiet tick costs, and it costs it every few seconds on every host.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from plancton_tick.config_cache import read_config
from plancton_tick.decide import decide
from plancton_tick.engine import Engine
from plancton_tick.errors import EXIT_CONFIG, EXIT_OK, LostRaceError, PlanctonError
from plancton_tick.ledger import Snapshot
from plancton_tick.loaded import Loaded
from plancton_tick.model import Config, Observation, Plan
from plancton_tick.observe import observe
from plancton_tick.standing import read_lasting, say_what_lasts


class Seen(NamedTuple):
    """What a tick saw and what it makes of it; nothing is changed yet."""

    loaded: Loaded
    engine: Engine
    snapshot: Snapshot
    observation: Observation
    plan: Plan


def look(config_path: str, clock: Callable[[], float] = time.time) -> Seen:
    """Observe and decide, changing nothing.

    ``clock`` tells seconds since the epoch. Raises HostError or EngineUnavailableError; a bad
    configuration raises nothing, but its plan spawns nothing either.
    """
    loaded = read_config(config_path, os.environ.get("RUNTIME_DIRECTORY"), host=read_size())
    return see(loaded, clock)


def see(loaded: Loaded, clock: Callable[[], float] = time.time) -> Seen:
    """Do as ``look`` does, with a configuration that is loaded already."""
    engine = connect(loaded.config)
    try:
        snapshot, observation = observe(loaded, engine, clock)
    except PlanctonError as error:
        # Both are reported; the one that only the operator can mend names the exit.
        error.faults = loaded.faults
        raise
    return Seen(loaded, engine, snapshot, observation, decide(loaded.config, observation))


def run(config_path: str, clock: Callable[[], float] = time.time) -> int:
    """Run one tick and return its exit code. Raises as ``look`` does."""
    seen = look(config_path, clock)
    plan, snapshot, observed = seen.plan, seen.snapshot, seen.observation.ledger
    plan = plan._replace(ledger=plan.ledger._replace(told=told(seen)))
    lasting = read_lasting(seen.loaded.faults, seen.observation, plan)
    say_what_lasts(lasting, seen.observation.taken_at)
    if observed.drain is not None and observed.drain.stops_timer:
        from plancton_tick.stopping import request_when_gone

        request_when_gone(seen.observation.pilots, os.environ.get("RUNTIME_DIRECTORY"))
    if not plan.actions and plan.ledger == observed and not snapshot.lower:
        return EXIT_CONFIG if seen.loaded.faults else EXIT_OK

    from plancton_tick.act import apply
    from plancton_tick.report import report

    try:
        taken_at, node = seen.observation.taken_at, seen.observation.node
        runtime = os.environ.get("RUNTIME_DIRECTORY")
        acted = apply(plan, seen.engine, snapshot, observed, taken_at, node, runtime)
    except LostRaceError:
        # Another tick is at work, and knows more than this one.
        return EXIT_CONFIG if seen.loaded.faults else EXIT_OK
    exit_code = report(seen.observation, snapshot, acted)
    return EXIT_CONFIG if seen.loaded.faults else exit_code


def read_size() -> tuple[int, int]:
    """Return this host's usable CPUs and bytes of RAM: a pilot larger than these is a fault."""
    pages = os.sysconf("SC_PHYS_PAGES")
    return len(os.sched_getaffinity(0)), pages * os.sysconf("SC_PAGE_SIZE")


def connect(config: Config) -> Engine:
    """Return the engine of the configuration, or of $DOCKER_HOST, which overrides it."""
    url = os.environ.get("DOCKER_HOST") or config.engine.socket
    return Engine(url, config.engine.timeout_seconds, config.engine.instance)


def told(seen: Seen) -> Mapping[str, float]:
    """Return what was reported and still holds: volumes with our prefix that are no ledgers."""
    before, now = seen.observation.ledger.told, seen.observation.taken_at
    return {f"volume {name}": before.get(f"volume {name}", now) for name in seen.snapshot.foreign}
