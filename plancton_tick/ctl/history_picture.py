"""A history as the panel of a picture: samples averaged over steps as wide as can be told apart."""

from collections.abc import Iterable, Sequence

from plancton_tick.ctl.history_journal import Entry
from plancton_tick.ctl.history_sum import History, Step, is_reclaim, make_steps
from plancton_tick.ctl.history_text import period, sum_types
from plancton_tick.ctl.picture_panel import Panel
from plancton_tick.ctl.simulate_text import cpu_time
from plancton_tick.errors import TraceError

STEPS = 480


def make_panel(history: History, entries: Sequence[Entry]) -> Panel:
    """Make the panel. Raises TraceError without samples: there is nothing to draw."""
    steps = make_steps(entries)
    if not history.sampled_seconds:
        raise TraceError("a picture needs two samples or more: plancton-metrics.timer makes them")
    start = min(history.begins_at, steps[0].at)
    end = max(history.ends_at, steps[-1].at + steps[-1].seconds) - start
    # No finer than the samples are, or there would be gaps between them.
    number = max(1, min(STEPS, int(end / steps[-1].seconds)))
    totals = [step.memory_total for step in steps if step.memory_total is not None]
    has_memory = bool(totals) and any(step.owner_memory is not None for step in steps)
    columns = [
        [
            step.owner_cores,
            step.pilots_cores or 0.0,
            max(0.0, step.room_cores),
            step.owner_memory or 0.0,
            step.pilots_memory or 0.0,
        ]
        for step in steps
    ]
    owner, pilots, _, owner_memory, pilot_memory = _average(
        steps, columns, start, end / number, number
    )
    return Panel(
        title=period(history),
        figures=figures_of(history),
        times=[at * end / number for at in range(number)],
        end=end,
        owner_cores=owner,
        pilot_cores=pilots,
        ncpus=max(step.ncpus for step in steps),
        owner_memory=owner_memory if has_memory else (),
        pilot_memory=pilot_memory if has_memory else (),
        memory_total=totals[-1] if has_memory else None,
        events=_events(entries, start),
        starts_at=start,
    )


def figures_of(history: History) -> list[str]:
    """Return the few figures that a picture shows, a line each."""
    whole, reclaims = sum_types(history), history.reclaims
    share = history.harvested_share
    harvest = "nothing was idle" if share is None else f"harvested {share:.0%} of what was idle"
    ended = ", ".join(f"{number:,} {how}" for how, number in whole.ended.items() if number)
    moves = f"{reclaims.paused:,} paused, {reclaims.terminated:,} killed for the owner"
    return [
        f"{harvest}; pilots that ended used {cpu_time(whole.cpu_seconds)}",
        f"{whole.spawned:,} spawned; ended: {ended or 'none'}",
        moves,
    ]


def _average(
    steps: Sequence[Step],
    columns: Sequence[Sequence[float]],
    start: float,
    width: float,
    number: int,
) -> list[list[float]]:
    """Average each column over equal steps of time, over as much of each as is known."""
    sums = [[0.0] * len(columns[0]) for _ in range(number)]
    known = [0.0] * number
    for step, values in zip(steps, columns, strict=True):
        begins, ends = step.at - start, step.at - start + step.seconds
        at = int(begins / width)
        while at < number and at * width < ends:
            seconds = min(ends, (at + 1) * width) - max(begins, at * width)
            if seconds > 0:
                known[at] += seconds
                for column, value in enumerate(values):
                    sums[at][column] += value * seconds
            at += 1
    means = [
        [total / seconds if seconds else 0.0 for total in row]
        for row, seconds in zip(sums, known, strict=True)
    ]
    return [list(column) for column in zip(*means, strict=True)]


def _events(entries: Iterable[Entry], start: float) -> dict[str, list[float]]:
    events: dict[str, list[float]] = {"spawned": [], "paused": [], "killed": []}
    for entry in entries:
        if entry.event in ("spawned", "paused"):
            events[entry.event].append(entry.at - start)
        elif is_reclaim(entry):
            events["killed"].append(entry.at - start)
    return events
