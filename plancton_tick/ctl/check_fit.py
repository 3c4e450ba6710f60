"""How many pilots fit on a host whose owner is idle: what ``decide`` itself makes of it. Pure."""

from typing import NamedTuple

from plancton_tick.decide import decide
from plancton_tick.model import (
    Config,
    HostLoad,
    Ledger,
    Observation,
    Pilot,
    PilotType,
    Spawn,
    Veto,
)
from plancton_tick.spawning import born

# Each pilot is held against all before it: counting on would take many seconds.
MOST = 500
# What holds always, on an idle host too, by the names of vetoes.
_PASSING = ("per-tick",)


class Fill(NamedTuple):
    """The pilots of a host that is filled until no more fit, and why no more do."""

    pilots: tuple[Pilot, ...]
    vetoes: tuple[Veto, ...]

    @property
    def is_more(self) -> bool:
        """Tell whether counting was given up."""
        return len(self.pilots) >= MOST

    def count(self, name: str) -> int:
        """Count the pilots of a type."""
        return sum(pilot.type == name for pilot in self.pilots)


class TypeFit(NamedTuple):
    """How many pilots of a type fit: with the host to itself, and beside the other types.

    ``on_empty`` is whether one would if all of the host's memory and disk were free.
    """

    type: PilotType
    alone: Fill
    together: int
    on_empty: Fill


class Fit(NamedTuple):
    """What a configuration means on a host."""

    types: tuple[TypeFit, ...]
    together: Fill


def find_fit(config: Config, host: HostLoad) -> Fit:
    """Fill the host with each type alone, and with all of them."""
    idle = as_idle(host)
    empty = idle._replace(memory_available_bytes=host.memory_total_bytes, disk_free_bytes=None)
    together = fill(config, idle)
    types = []
    for pilot_type in config.pilots:
        alone = config._replace(pilots=(pilot_type,))
        types.append(
            TypeFit(
                pilot_type,
                fill(alone, idle) if len(config.pilots) > 1 else together,
                together.count(pilot_type.name),
                fill(alone, empty, most=1),
            )
        )
    return Fit(tuple(types), together)


def as_idle(host: HostLoad) -> HostLoad:
    """Take away what pilots and owner do now; the owner's memory stays."""
    available = host.memory_available_bytes + (host.pilots_memory_bytes or 0)
    return host._replace(
        busy_cores=0.0,
        pilots_cores=0.0,
        memory_available_bytes=min(available, host.memory_total_bytes),
        pilots_memory_bytes=0,
    )


def fill(config: Config, host: HostLoad, most: int = MOST) -> Fill:
    """Let one tick spawn all that it would in many, whatever ``spawn.per_tick`` says."""
    config = config._replace(spawn=config.spawn._replace(per_tick=most))
    plan = decide(config, Observation(taken_at=0.0, host=host, pilots=(), ledger=Ledger()))
    pilots = tuple(
        born(action.type, action.slot, 0.0) for action in plan.actions if isinstance(action, Spawn)
    )
    return Fill(pilots, tuple(veto for veto in plan.vetoes if veto.name not in _PASSING))
