"""The owner's load over time, as it was recorded or made up: steps of cores and memory.

Where a trace comes from is in one word: the kind of a synthetic one, a CSV file, ``sar:FILE`` for
sysstat's, ``journal`` for the samples that ticks wrote on this host, ``journal:FILE`` for what
``journalctl -o json`` printed elsewhere.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from plancton_tick.errors import TraceError


class Sample(NamedTuple):
    """The owner's cores and bytes from an instant on. Memory is None where it is not known."""

    at: float
    cores: float
    memory_bytes: int | None


class Trace(NamedTuple):
    """Steps: from ``times[i]`` on the owner wants ``cores[i]`` and ``memory_bytes[i]``.

    Times are seconds since ``starts_at`` (since the epoch; None for a made-up day, which begins at
    midnight), ascending, the first 0; the trace ends at ``seconds``. ``ncpus`` and
    ``memory_total_bytes`` are of the host that was recorded, None where that is not told.
    """

    name: str
    times: Sequence[float]
    cores: Sequence[float]
    memory_bytes: Sequence[int]
    seconds: float
    starts_at: float | None = None
    ncpus: int | None = None
    memory_total_bytes: int | None = None

    def at(self, instant: float) -> int:
        """Return the number of the step that holds at an instant."""
        return bisect_right(self.times, instant) - 1


def make_trace(
    name: str,
    samples: Iterable[Sample],
    *,
    ncpus: int | None = None,
    memory_total_bytes: int | None = None,
) -> Trace:
    """Return recorded samples, in any order, as a trace that begins with the first of them.

    Steps that change nothing are left out. The last sample holds as long as the one before it did.
    Raises TraceError where there are fewer than two instants.
    """
    ordered = sorted(samples)
    if len(ordered) < 2 or ordered[-1].at <= ordered[0].at:
        raise TraceError(f"{name}: expected samples of two instants or more, got {len(ordered)}")
    start = ordered[0].at
    times: list[float] = []
    cores: list[float] = []
    memory: list[int] = []
    for sample in ordered:
        at = sample.at - start
        known = sample.memory_bytes
        held = known if known is not None else (memory[-1] if memory else 0)
        if times and at == times[-1]:
            cores[-1], memory[-1] = sample.cores, held
        elif not times or (sample.cores, held) != (cores[-1], memory[-1]):
            times.append(at)
            cores.append(sample.cores)
            memory.append(held)
    instants = sorted({sample.at for sample in ordered})
    seconds = instants[-1] - start + (instants[-1] - instants[-2])
    return Trace(name, times, cores, memory, seconds, start, ncpus, memory_total_bytes)


def cut(trace: Trace, start: float, seconds: float) -> Trace:
    """Return a part of a trace. Raises TraceError if nothing is left."""
    end = min(trace.seconds, start + seconds)
    if end <= start:
        raise TraceError(
            f"{trace.name}: it is {trace.seconds:.0f} s long, nothing from {start:g} s"
        )
    first, last = trace.at(start), trace.at(end)
    if last > first and trace.times[last] >= end:
        last -= 1
    return trace._replace(
        times=[0.0, *(at - start for at in trace.times[first + 1 : last + 1])],
        cores=trace.cores[first : last + 1],
        memory_bytes=trace.memory_bytes[first : last + 1],
        seconds=end - start,
        starts_at=None if trace.starts_at is None else trace.starts_at + start,
    )
