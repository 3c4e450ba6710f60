"""What a picture of a day is made from: plain series, and what is reckoned of them. Pure."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

HOUR = 3600.0
# Of time on the axis, the first that gives at most as many marks as there is room for.
STEPS = (60.0, 300.0, 900.0, 1800.0, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR)
# Into how many parts of the day its events are counted.
EVENT_BINS = 144


class Panel(NamedTuple):
    """One picture of a day, or a part of a larger one.

    Series have a value for each step: step i begins at ``times[i]``, and the last ends at ``end``,
    in seconds. ``starts_at`` is when that clock began (since the epoch; None: at midnight). Cores
    and bytes are means over the step. ``short_cores`` is what the owner wanted and did not get.
    ``limit_cores`` is what pilots may use at the most, and ``room_cores``, where it is known, a
    line of its own. Memory is not drawn where ``memory_total`` is None. ``events`` holds instants
    by what happened.
    """

    title: str
    figures: Sequence[str]
    times: Sequence[float]
    end: float
    owner_cores: Sequence[float]
    pilot_cores: Sequence[float]
    ncpus: float
    limit_cores: float | None = None
    short_cores: Sequence[float] = ()
    room_cores: Sequence[float] = ()
    owner_memory: Sequence[float] = ()
    pilot_memory: Sequence[float] = ()
    memory_total: float | None = None
    events: Mapping[str, Sequence[float]] = {}
    starts_at: float | None = None


def count_events(panel: Panel, name: str) -> list[int]:
    """Return how many events of a kind fell into each part of the day."""
    counts = [0] * EVENT_BINS
    for at in panel.events.get(name, ()):
        counts[min(EVENT_BINS - 1, int(at / panel.end * EVENT_BINS))] += 1
    return counts


def time_marks(panel: Panel, at_most: int) -> Iterator[tuple[float, str]]:
    """Say where on the time axis to write which time of the day."""
    step = next((each for each in STEPS if panel.end / each <= at_most), STEPS[-1])
    start = panel.starts_at
    # Seconds since midnight, where the day began.
    local = time.localtime(start) if start is not None else time.gmtime(0)
    first = local.tm_hour * HOUR + local.tm_min * 60.0 + local.tm_sec
    at = -first % step
    while at <= panel.end + 1e-6:
        minutes = round((first + at) / 60)
        text = f"{minutes // 60 % 24:02}:{minutes % 60:02}"
        yield at, text
        at += step
