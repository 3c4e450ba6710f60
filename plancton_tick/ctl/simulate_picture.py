"""Runs as the panels of a picture, each with the figures that tell it from the others."""

from collections.abc import Sequence

from plancton_tick.ctl.picture_panel import Panel
from plancton_tick.ctl.picture_series import make_series
from plancton_tick.ctl.simulate_tally import Record, Tally
from plancton_tick.ctl.simulate_text import Report, cpu_time, memory_time

# Steps of time: as many as can be told apart where panels share the width.
STEPS_ALONE = 480
STEPS_BESIDE = 192


def make_panels(report: Report, records: Sequence[Record]) -> list[Panel]:
    """Make a panel of each run."""
    plot = report.plot
    steps = STEPS_ALONE if len(report.runs) == 1 else STEPS_BESIDE
    has_memory = any(plot.trace.memory_bytes)
    panels = []
    for run, tally, record in zip(report.runs, report.tallies, records, strict=True):
        series = make_series(record, plot.trace.seconds, steps)
        panels.append(
            Panel(
                title=run.name,
                figures=figures_of(tally, has_memory=has_memory),
                times=series.times,
                end=series.end,
                owner_cores=series.owner_cores,
                short_cores=series.short_cores,
                pilot_cores=series.pilot_cores,
                ncpus=plot.machine.ncpus,
                limit_cores=plot.machine.ncpus - run.config.host.reserve_cpus,
                owner_memory=series.owner_memory,
                pilot_memory=series.pilot_memory,
                memory_total=plot.machine.memory_bytes if has_memory else None,
                events=series.events,
                starts_at=plot.trace.starts_at,
            )
        )
    return panels


def figures_of(tally: Tally, *, has_memory: bool) -> list[str]:
    """Return the few figures that a picture shows, a line each."""
    share, kept = tally.harvested_share, tally.kept_share
    harvest = "nothing was idle"
    if share is not None and kept is not None:
        harvest = f"harvested {share:.0%} of what was idle, kept {kept:.0%}"
    moves = f"{tally.killed} killed, {tally.paused} paused, {tally.flaps} flaps"
    short = f"owner short of {cpu_time(tally.owner_short_core_seconds)}"
    if has_memory:
        short += f" and {memory_time(tally.memory_short_byte_seconds)}"
    return [harvest, moves, short]
