"""From what was recorded of a simulated day to the plain series that a picture is drawn from."""

from collections.abc import Sequence
from typing import NamedTuple

from plancton_tick.ctl.simulate_tally import Record, Segment

# As many steps as can be told apart on a slide.
STEPS = 480


class Series(NamedTuple):
    """Means over equal steps from 0 to ``end``, in seconds, cores and bytes."""

    times: tuple[float, ...]
    end: float
    owner_cores: tuple[float, ...]
    short_cores: tuple[float, ...]
    pilot_cores: tuple[float, ...]
    owner_memory: tuple[float, ...]
    pilot_memory: tuple[float, ...]
    events: dict[str, list[float]]


def make_series(record: Record, seconds: float, steps: int = STEPS) -> Series:
    """Average what was recorded over equal steps."""
    width = seconds / steps
    sums = [[0.0] * 5 for _ in range(steps)]
    for segment in record.segments:
        _spread(segment, sums, width)
    owner, short, pilots, owner_memory, pilot_memory = (
        tuple(round(each / width, 3) for each in column) for column in zip(*sums, strict=True)
    )
    events: dict[str, list[float]] = {}
    for event in record.events:
        events.setdefault(str(event.kind), []).append(event.at)
    times = tuple(step * width for step in range(steps))
    return Series(times, seconds, owner, short, pilots, owner_memory, pilot_memory, events)


def _spread(segment: Segment, sums: Sequence[list[float]], width: float) -> None:
    """Add a segment to each step that it covers a part of."""
    values = (
        segment.owner_got,
        segment.owner_cores - segment.owner_got,
        segment.pilot_cores,
        segment.owner_memory,
        segment.pilot_memory,
    )
    step = int(segment.start / width)
    while step < len(sums) and step * width < segment.end:
        span = min(segment.end, (step + 1) * width) - max(segment.start, step * width)
        if span > 0:
            total = sums[step]
            for column, value in enumerate(values):
                total[column] += value * span
        step += 1
