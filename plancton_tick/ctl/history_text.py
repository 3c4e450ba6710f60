"""A history for people, as tables, and for programs, as a document."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from plancton_tick.ctl.history_sum import History, TypeHistory
from plancton_tick.ctl.screen import HEAD, Column, Drawable, Part, Screen, Shrink
from plancton_tick.ctl.simulate_text import cpu_time
from plancton_tick.model import Outcome
from plancton_tick.pulling import span

FIGURES: tuple[tuple[str, Callable[[TypeHistory], float]], ...] = (
    ("spawned", lambda of_type: of_type.spawned),
    *((str(each), lambda of_type, each=each: of_type.ended.get(each, 0)) for each in Outcome),
)


def draw(screen: Screen, history: History) -> Sequence[Drawable]:
    """Return the tables."""
    drawn: list[Drawable] = [screen.line(period(history)), ""]
    drawn.append(_draw_types(screen, history))
    # A table without captions begins with an empty line.
    drawn.append(screen.table([Column(""), Column("", shrinks=Shrink.WRAP)], _rows(history)))
    if history.vetoes:
        drawn += ["", _draw_vetoes(screen, history)]
    if not history.samples:
        drawn += ["", screen.line("No samples: plancton-metrics.timer makes them.")]
    return drawn


def period(history: History) -> str:
    """Say what time it is of."""
    begins, ends = (datetime.fromtimestamp(at) for at in (history.begins_at, history.ends_at))
    lasted = span(history.ends_at - history.begins_at)
    return f"{begins:%Y-%m-%d %H:%M:%S} to {ends:%Y-%m-%d %H:%M:%S}, {lasted}"


def _draw_types(screen: Screen, history: History) -> Drawable:
    columns = [Column("pilots", shrinks=Shrink.CLIP)]
    columns += [Column(name, is_number=True) for name, _ in FIGURES]
    columns += [Column("CPU used", is_number=True), Column("ran for", is_number=True)]
    rows = [_type_row(of_type) for of_type in history.types]
    if len(rows) != 1:
        rows.append(_type_row(sum_types(history)))
    return screen.table(columns, rows)


def _type_row(of_type: TypeHistory) -> list[str]:
    figures = [f"{figure(of_type):,}" for _, figure in FIGURES]
    return [of_type.name, *figures, cpu_time(of_type.cpu_seconds), span(of_type.wall_seconds)]


def sum_types(history: History) -> TypeHistory:
    """Add up all types."""
    types = history.types
    outcomes = {each: None for of_type in types for each in of_type.ended}
    return TypeHistory(
        name="all",
        spawned=sum(each.spawned for each in types),
        ended={each: sum(one.ended.get(each, 0) for one in types) for each in outcomes},
        cpu_seconds=sum(each.cpu_seconds for each in types),
        wall_seconds=sum(each.wall_seconds for each in types),
        unmeasured=sum(each.unmeasured for each in types),
        unmeasured_seconds=sum(each.unmeasured_seconds for each in types),
    )


def _rows(history: History) -> list[list[str]]:
    rows = []
    whole, reclaims = sum_types(history), history.reclaims
    if whole.unmeasured:
        words = f"{whole.unmeasured:,}, which ran for {span(whole.unmeasured_seconds)}"
        rows.append(["pilots of unknown CPU", words])
    if history.harvested_share is not None:
        harvested, idle = history.harvested_core_seconds, history.idle_core_seconds
        words = f"{history.harvested_share:.1%}, {cpu_time(harvested)} of {cpu_time(idle)}"
        seen = f"{history.samples:,} samples, {span(history.sampled_seconds)}"
        rows.append(["idle CPU harvested", f"{words} ({seen})"])
    words = f"{reclaims.paused:,} paused, {reclaims.terminated:,} terminated"
    rows.append(["given back to the owner", f"{words}; {reclaims.resumed:,} resumed"])
    if reclaims.median_seconds is not None and reclaims.most_seconds is not None:
        words = (
            f"{reclaims.median_seconds:.1f} s in the median, at most {reclaims.most_seconds:.1f} s"
        )
        rows.append(["  after an overload of", words])
    return rows


def _draw_vetoes(screen: Screen, history: History) -> Drawable:
    columns = [
        Column("no new pilots for", shrinks=Shrink.WRAP),
        Column("held for", is_number=True),
        Column("room unused", is_number=True),
    ]
    rows: list[list[Part]] = [
        [(cost.veto, HEAD), span(cost.seconds), cpu_time(cost.room_core_seconds)]
        for cost in history.vetoes
    ]
    return screen.table(columns, rows)


def to_json(history: History) -> str:
    """Return the document. Cores and seconds; instants since the epoch."""
    reclaims = history.reclaims
    document = {
        **history._asdict(),
        "harvested_share": history.harvested_share,
        "types": [of_type._asdict() for of_type in history.types],
        "reclaims": {
            **reclaims._asdict(),
            "median_seconds": reclaims.median_seconds,
            "most_seconds": reclaims.most_seconds,
        },
        "vetoes": [cost._asdict() for cost in history.vetoes],
    }
    return json.dumps(document, indent=2)
