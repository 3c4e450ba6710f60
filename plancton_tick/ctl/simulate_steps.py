"""A trace made quick to go through: what lies within bounds is passed over in blocks."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import mul, sub
from typing import NamedTuple

from plancton_tick.ctl.traces import Trace

BLOCK = 32
INFINITY = float("inf")


class Band(NamedTuple):
    """Bounds within which a decision stays as it is.

    It may change where the owner's cores exceed ``over_cores`` or its memory ``over_memory``, or
    where, for one pair of ``under``, neither exceeds the pair. ``seen_at_most`` is what a tick sees
    of the owner's cores where pilots hold on to the rest.
    """

    over_cores: float
    over_memory: float
    under: tuple[tuple[float, float], ...]
    seen_at_most: float

    def is_left(self, cores: float, memory: float) -> bool:
        """Tell whether this load may change the decision."""
        seen = cores if cores < self.seen_at_most else self.seen_at_most
        if seen > self.over_cores or memory > self.over_memory:
            return True
        return any(seen <= low and memory <= held for low, held in self.under)


class Steps:
    """The steps of a trace on a host; ``ends[i]`` is where step i ends, infinity for the last.

    An owner who wants more cores than the host has wants all of them here.
    """

    def __init__(self, trace: Trace, ncpus: int) -> None:
        self.times: Sequence[float] = trace.times
        self.ends: Sequence[float] = [*trace.times[1:], INFINITY]
        self.cores: Sequence[float] = [min(cores, float(ncpus)) for cores in trace.cores]
        self.memory: Sequence[int] = trace.memory_bytes
        starts = range(0, len(self.times), BLOCK)
        self.most_cores = [max(self.cores[at : at + BLOCK]) for at in starts]
        self.least_cores = [min(self.cores[at : at + BLOCK]) for at in starts]
        self.most_memory = [max(self.memory[at : at + BLOCK]) for at in starts]
        self.least_memory = [min(self.memory[at : at + BLOCK]) for at in starts]

        # Core-seconds wanted until each step begins.
        self._wanted: list[float] = [
            0.0,
            *accumulate(map(mul, self.cores, map(sub, self.ends, self.times))),
        ]

    def index(self, instant: float) -> int:
        """Return the number of the step that holds at an instant."""
        return bisect_right(self.times, instant) - 1

    def wanted_until(self, instant: float) -> float:
        """Return the core-seconds that the owner wanted until an instant."""
        at = self.index(instant)
        rest: float = self.cores[at] * (instant - self.times[at])
        return self._wanted[at] + rest

    def sum_idle(self, cores: float, seconds: float) -> float:
        """Return the core-seconds that the owner leaves of so many cores."""
        total = 0.0
        for start, end, wanted in zip(self.times, self.ends, self.cores, strict=True):
            if start < seconds and wanted < cores:
                total += (cores - wanted) * (min(end, seconds) - start)
        return total

    def find_exit(self, band: Band, tick: int, cadence: float, until: float) -> int | None:
        """Return the first tick from ``tick`` on that sees a load outside of the band.

        None if there is none before the instant ``until``. Steps between two ticks are not seen.
        """
        at, count = self.index(tick * cadence), len(self.times)
        while at < count and self.times[at] < until:
            if at % BLOCK == 0 and not self._may_leave(band, at // BLOCK):
                at += BLOCK
                continue
            if band.is_left(self.cores[at], self.memory[at]):
                seen = max(tick, tick_from(self.times[at], cadence))
                if seen * cadence < self.ends[at]:
                    return seen if seen * cadence < until else None
            at += 1
        return None

    def _may_leave(self, band: Band, block: int) -> bool:
        most = min(self.most_cores[block], band.seen_at_most)
        if most > band.over_cores or self.most_memory[block] > band.over_memory:
            return True
        return band.is_left(self.least_cores[block], self.least_memory[block])


def tick_from(instant: float, cadence: float) -> int:
    """Return the number of the first tick at or after an instant, exactly."""
    tick = max(0, int(instant / cadence) - 1)
    while tick * cadence < instant:
        tick += 1
    return tick
