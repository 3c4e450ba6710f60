"""The figures of a moment, from what a tick would see: what is exported, whatever to. Pure.

All counters are read from the ledger and the engine's list, and none is kept anywhere else: they
are exact however many ticks were killed. A pilot was started if it was counted when it ended, or is
there, was started and is not counted yet.
"""

from collections.abc import Mapping
from typing import NamedTuple

from plancton_tick import __version__
from plancton_tick.model import Config, HostLoad, Ledger, Observation, Outcome, PilotState, Plan
from plancton_tick.room import read_owner_cores, read_room, sum_cpus


class TypeMeasures(NamedTuple):
    """The figures of one pilot type.

    ``states`` holds how many pilots are in each state now, ``ended`` how many ever ended with each
    outcome; both name all there are, also those with none. ``backoff_seconds`` is what is left of
    the type's wait, 0 if it waits for nothing.
    """

    name: str
    states: Mapping[str, int]
    started: int
    ended: Mapping[str, int]
    pauses: int
    backoff_seconds: float


class World(NamedTuple):
    """What can be told only where engine and host can be read.

    Loads are in cores, sizes in bytes. ``owner_memory_bytes`` is what all but the pilots use;
    what the kernel does not tell is None. A veto is its name, and its type or an empty text.
    """

    ncpus: int
    busy_cores: float
    owner_cores: float
    pilots_cores: float | None
    room_cores: float
    memory_total_bytes: int
    owner_memory_bytes: int | None
    pilots_memory_bytes: int | None
    pilots_cpu_seconds: float | None
    is_draining: bool
    types: tuple[TypeMeasures, ...]
    vetoes: tuple[tuple[str, str], ...]

    def count(self, state: PilotState) -> int:
        """Return how many pilots of all types are in a state."""
        return sum(of_type.states[state] for of_type in self.types)


class LastTick(NamedTuple):
    """The last tick that the timer fired and that has ended.

    ``exit_code`` is None if a signal ended it.
    """

    ended_at: float
    duration_seconds: float
    exit_code: int | None


class Measures(NamedTuple):
    """All figures of a moment.

    ``world`` is None where engine or host could not be read; ``is_engine_up`` is None where that
    was not found out. ``last_tick`` is None where no systemd tells of one.
    """

    taken_at: float
    node: str
    is_engine_up: bool | None
    config_faults: int
    world: World | None = None
    last_tick: LastTick | None = None
    version: str = __version__


def measure(
    config: Config, observation: Observation, plan: Plan, cpu_seconds: float | None
) -> World:
    """Make the figures of what a tick saw; ``cpu_seconds`` is all that the pilots' slice used."""
    host, pilots = observation.host, observation.pilots
    owner_cores = read_owner_cores(host, pilots)
    return World(
        ncpus=host.ncpus,
        busy_cores=host.busy_cores,
        owner_cores=owner_cores,
        pilots_cores=host.pilots_cores,
        room_cores=read_room(config.host, host, owner_cores, sum_cpus(pilots)),
        memory_total_bytes=host.memory_total_bytes,
        owner_memory_bytes=_owner_memory(host, has_pilots=bool(pilots)),
        pilots_memory_bytes=host.pilots_memory_bytes,
        pilots_cpu_seconds=cpu_seconds,
        is_draining=observation.ledger.drain is not None,
        types=tuple(_of_type(name, observation) for name in _names(config, observation)),
        vetoes=tuple(sorted({(veto.name, veto.type or "") for veto in plan.vetoes})),
    )


def _owner_memory(host: HostLoad, *, has_pilots: bool) -> int | None:
    """Return what the host holds less what the pilots do; None if that is not known."""
    held = host.pilots_memory_bytes
    if held is None and has_pilots:
        return None
    return max(0, host.memory_total_bytes - host.memory_available_bytes - (held or 0))


def _names(config: Config, observation: Observation) -> tuple[str, ...]:
    """Name all types there are and ever were: a counter that goes away has not ended at 0."""
    ledger = observation.ledger
    names = {pilot_type.name for pilot_type in config.pilots}
    names |= {pilot.type for pilot in observation.pilots}
    return tuple(sorted(names | ledger.counts.keys() | ledger.pauses.keys()))


def _of_type(name: str, observation: Observation) -> TypeMeasures:
    ledger = observation.ledger
    pilots = [pilot for pilot in observation.pilots if pilot.type == name]
    states = [pilot.state for pilot in pilots]
    ended = {str(each): 0 for each in Outcome} | dict(ledger.counts.get(name, {}))
    # One that is only created may never start, and is then removed without being counted.
    there = sum(
        pilot.state is not PilotState.CREATED and pilot.id not in ledger.counted for pilot in pilots
    )
    return TypeMeasures(
        name=name,
        states={str(state): states.count(state) for state in PilotState},
        started=sum(ended.values()) + there,
        ended=ended,
        pauses=ledger.pauses.get(name, 0),
        backoff_seconds=_backoff(ledger, name, observation.taken_at),
    )


def _backoff(ledger: Ledger, name: str, now: float) -> float:
    wait = ledger.backoffs.get(name)
    return max(0.0, wait.until - now) if wait is not None else 0.0
