"""What came of a simulation, as a table for people: a row a figure, a column a run."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from plancton_tick.ctl.screen import Column, Screen, Shrink
from plancton_tick.ctl.simulate_fleet import Fleet
from plancton_tick.ctl.simulate_run import Plot, Run
from plancton_tick.ctl.simulate_tally import Tally
from plancton_tick.ctl.traces_synthetic import KINDS
from plancton_tick.pulling import span

NAMES = {"plancton": "Plancton", "0.6": "the rules of 0.6", "slice": "a low-weight slice alone"}
GIB = 2**30


class Report(NamedTuple):
    """All that there is to say: a tally for each run; ``took_seconds`` is the real time it took."""

    plot: Plot
    runs: Sequence[Run]
    tallies: Sequence[Tally]
    fleet: Fleet | None
    took_seconds: float

    @property
    def title(self) -> str:
        """Say what was simulated."""
        kinds = self.fleet.kinds if self.fleet is not None and self.fleet.kinds else ()
        names = [KINDS[name].does if name in KINDS else name for name in kinds or (self.load,)]
        title = ", ".join(names)
        return title[:1].upper() + title[1:]

    @property
    def conditions(self) -> str:
        """Say on which host, and with which tasks."""
        machine = self.plot.machine
        size = f"{machine.ncpus} CPUs, {machine.memory_bytes / GIB:.4g} GiB"
        tasks = f"tasks of {self.plot.tasks.lasts.words()}"
        return f"{size}, {tasks}, a tick every {self.plot.cadence:g} s"

    @property
    def load(self) -> str:
        """Return the name of the owner's load."""
        return self.plot.trace.name

    @property
    def host_hours_per_second(self) -> float:
        """Return how many hosts · hours were simulated in a second."""
        hours = sum(tally.seconds for tally in self.tallies) / 3600
        return hours / self.took_seconds


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


ROWS: tuple[tuple[str, Callable[[Tally], str]], ...] = (
    ("idle CPU harvested", lambda tally: _share(tally.harvested_share)),
    ("  kept, not lost with pilots killed", lambda tally: _share(tally.kept_share)),
    ("pilots spawned", lambda tally: f"{tally.spawned:,}"),
    ("  done", lambda tally: f"{tally.done:,}"),
    ("  without work, failed", lambda tally: f"{tally.without_work:,}, {tally.failed:,}"),
    ("  past their lifetime", lambda tally: f"{tally.expired:,}"),
    ("  killed for the owner", lambda tally: f"{tally.killed:,}"),
    ("paused, resumed", lambda tally: f"{tally.paused:,}, {tally.resumed:,}"),
    ("flaps", lambda tally: f"{tally.flaps:,}"),
    ("owner short of CPU", lambda tally: cpu_time(tally.owner_short_core_seconds)),
    ("owner short of memory", lambda tally: memory_time(tally.memory_short_byte_seconds)),
    ("  at the most", lambda tally: f"{tally.memory_short_peak_bytes / GIB:.1f} GiB"),
    ("pilots starved of CPU", lambda tally: cpu_time(tally.stalled_core_seconds)),
)


def show(report: Report) -> None:
    """Print the table, with what it is of above it and how fast it was below."""
    screen = Screen()
    plot, machine = report.plot, report.plot.machine
    hosts = f"{report.fleet.hosts:,} hosts, " if report.fleet is not None else ""
    size = f"{machine.ncpus} CPUs, {machine.memory_bytes / GIB:.4g} GiB"
    where = size if not hosts else f"{hosts}the first with {size}"
    head = f"{report.title}: {span(plot.trace.seconds)}, {where}, a tick every {plot.cadence:g} s"
    tasks = plot.tasks
    work = f"tasks {tasks.lasts}, got after {tasks.starts}, seed {plot.seed}"
    columns = [Column("", shrinks=Shrink.WRAP)]
    columns += [Column(run.name, is_number=True, shrinks=Shrink.WRAP) for run in report.runs]
    rows = [[name, *map(text, report.tallies)] for name, text in ROWS]
    decisions = sum(tally.decisions for tally in report.tallies)
    ticks = sum(tally.ticks for tally in report.tallies)
    speed = (
        f"{ticks:,} ticks by {decisions:,} decisions in {report.took_seconds:.1f} s: "
        f"{report.host_hours_per_second:,.0f} hosts·hours/s"
    )
    screen.show(
        [
            screen.line(head),
            screen.line(work),
            "",
            screen.table(columns, rows),
            "",
            screen.line(speed),
        ]
    )


def cpu_time(core_seconds: float) -> str:
    """Write CPU time with a unit that fits it."""
    if core_seconds >= 3600:
        return f"{core_seconds / 3600:,.1f} core-h"
    return f"{core_seconds:.0f} core-s"


def memory_time(byte_seconds: float) -> str:
    """Write memory held over time."""
    return f"{byte_seconds / GIB / 3600:,.1f} GiB·h"
