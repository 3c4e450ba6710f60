"""From the events of a time to its figures. Pure.

What pilots did is summed from events, exactly: CPU time is what the kernel counted of each pilot
that ended in that time. Loads are known from samples alone: each stands for the time up to the
next one, at the most three times the median of these, so that nothing is said of a host that was
off. The last stands for the median.

    idle = Σ (CPUs − owner's cores) · seconds          harvested = Σ pilots' cores · seconds

A veto's cost is the room in cores, where there was any, for as long as samples name the veto.
Several vetoes at once are each charged with all of it: any one of them would have been enough.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from plancton_tick.ctl.history_journal import Entry
from plancton_tick.model import Outcome

MOST_GAPS = 3.0


class TypeHistory(NamedTuple):
    """What the pilots of a type did. ``ended`` has every outcome, also those of none.

    ``cpu_seconds`` is of those whose CPU time is known; ``unmeasured`` is how many others ended,
    ``unmeasured_seconds`` how long they ran. ``wall_seconds`` is how long all ran.
    """

    name: str
    spawned: int
    ended: Mapping[str, int]
    cpu_seconds: float
    wall_seconds: float
    unmeasured: int
    unmeasured_seconds: float


class Reclaims(NamedTuple):
    """How often pilots were given back, and how long the owner's overload had lasted each time."""

    paused: int
    resumed: int
    terminated: int
    overload_seconds: tuple[float, ...]

    @property
    def median_seconds(self) -> float | None:
        """Return the median; None if no pilot was given back for the owner's cores."""
        return median(self.overload_seconds) if self.overload_seconds else None

    @property
    def most_seconds(self) -> float | None:
        """Return the longest."""
        return max(self.overload_seconds, default=None)


class VetoCost(NamedTuple):
    """A veto, with its type behind a colon if it is of one: how long it held, what it kept free."""

    veto: str
    seconds: float
    room_core_seconds: float


class Step(NamedTuple):
    """A sample and the time it stands for. Cores, bytes; None is what it does not tell."""

    at: float
    seconds: float
    ncpus: float
    owner_cores: float
    pilots_cores: float | None
    room_cores: float
    owner_memory: float | None
    pilots_memory: float | None
    memory_total: float | None
    vetoes: tuple[str, ...]


class History(NamedTuple):
    """All of it. ``begins_at`` and ``ends_at`` are of the first and last event, since the epoch."""

    begins_at: float
    ends_at: float
    types: tuple[TypeHistory, ...]
    reclaims: Reclaims
    vetoes: tuple[VetoCost, ...]
    samples: int
    sampled_seconds: float
    idle_core_seconds: float
    harvested_core_seconds: float

    @property
    def harvested_share(self) -> float | None:
        """Return the part of the idle CPU that pilots used; None if none was seen idle."""
        idle = self.idle_core_seconds
        return self.harvested_core_seconds / idle if idle > 0 else None


def sum_up(entries: Sequence[Entry]) -> History:
    """Make the history of these events, which are in order of time, and at least one."""
    steps = make_steps(entries)
    # Only what tells both sides of the sum.
    known = [step for step in steps if step.pilots_cores is not None]
    return History(
        begins_at=entries[0].at,
        ends_at=entries[-1].at,
        types=_sum_types(entries),
        reclaims=_sum_reclaims(entries),
        vetoes=_sum_vetoes(steps),
        samples=len(steps),
        sampled_seconds=sum(step.seconds for step in steps),
        idle_core_seconds=sum(
            max(0.0, step.ncpus - step.owner_cores) * step.seconds for step in known
        ),
        harvested_core_seconds=sum((step.pilots_cores or 0.0) * step.seconds for step in known),
    )


def make_steps(entries: Iterable[Entry]) -> tuple[Step, ...]:
    """Return the samples among the events, each with the time it stands for."""
    samples = [
        entry
        for entry in entries
        if entry.event == "sample"
        and entry.number("PLANCTON_NCPUS") is not None
        and entry.number("PLANCTON_OWNER_CORES") is not None
    ]
    gaps = [after.at - entry.at for entry, after in zip(samples, samples[1:], strict=False)]
    usual = median(gaps) if gaps else 0.0
    lasts = [*(min(gap, MOST_GAPS * usual) for gap in gaps), usual]
    return tuple(map(_step, samples, lasts))


def _step(entry: Entry, seconds: float) -> Step:
    return Step(
        at=entry.at,
        seconds=seconds,
        ncpus=entry.number("PLANCTON_NCPUS") or 0.0,
        owner_cores=entry.number("PLANCTON_OWNER_CORES") or 0.0,
        pilots_cores=entry.number("PLANCTON_PILOT_CORES"),
        room_cores=entry.number("PLANCTON_ROOM_CORES") or 0.0,
        owner_memory=entry.number("PLANCTON_OWNER_MEMORY"),
        pilots_memory=entry.number("PLANCTON_PILOT_MEMORY"),
        memory_total=entry.number("PLANCTON_MEMORY_TOTAL"),
        vetoes=tuple(entry.fields.get("PLANCTON_VETOES", "").split()),
    )


def _sum_types(entries: Sequence[Entry]) -> tuple[TypeHistory, ...]:
    of_type: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.event in ("spawned", "ended"):
            of_type.setdefault(entry.fields.get("PLANCTON_TYPE", ""), []).append(entry)
    return tuple(_sum_type(name, of_type[name]) for name in sorted(of_type))


def _sum_type(name: str, entries: Sequence[Entry]) -> TypeHistory:
    ended = {str(outcome): 0 for outcome in Outcome}
    cpu = wall = unmeasured_seconds = 0.0
    unmeasured = 0
    for entry in entries:
        if entry.event != "ended":
            continue
        outcome = entry.fields.get("PLANCTON_OUTCOME", "")
        ended[outcome] = ended.get(outcome, 0) + 1
        used = entry.number("PLANCTON_CPU_SECONDS")
        ran = entry.number("PLANCTON_WALL_SECONDS") or 0.0
        wall += ran
        if used is None:
            unmeasured += 1
            unmeasured_seconds += ran
        else:
            cpu += used
    spawned = sum(entry.event == "spawned" for entry in entries)
    return TypeHistory(name, spawned, ended, cpu, wall, unmeasured, unmeasured_seconds)


def _sum_reclaims(entries: Iterable[Entry]) -> Reclaims:
    counts = {"paused": 0, "resumed": 0, "terminated": 0}
    lasted = []
    for entry in entries:
        if not is_reclaim(entry) and entry.event != "resumed":
            continue
        counts[entry.event] += 1
        seconds = entry.number("PLANCTON_OVERLOAD_SECONDS")
        if seconds is not None:
            lasted.append(seconds)
    return Reclaims(**counts, overload_seconds=tuple(sorted(lasted)))


def is_reclaim(entry: Entry) -> bool:
    """Tell whether a pilot was given back to the owner."""
    if entry.event == "terminated":
        return entry.fields.get("PLANCTON_OUTCOME") == Outcome.RECLAIMED
    return entry.event == "paused"


def _sum_vetoes(steps: Iterable[Step]) -> tuple[VetoCost, ...]:
    sums: dict[str, list[float]] = {}
    for step in steps:
        for veto in step.vetoes:
            total = sums.setdefault(veto, [0.0, 0.0])
            total[0] += step.seconds
            total[1] += max(0.0, step.room_cores) * step.seconds
    costs = [VetoCost(veto, *total) for veto, total in sums.items()]
    return tuple(sorted(costs, key=lambda cost: (-cost.room_core_seconds, cost.veto)))
