"""A day of many hosts, each with a seed of its own, in several processes."""

import multiprocessing
import signal
import time
from collections.abc import Sequence
from typing import NamedTuple

from plancton_tick.ctl.screen import Progress
from plancton_tick.ctl.simulate_run import Plot, Run, run_one
from plancton_tick.ctl.simulate_tally import Tally
from plancton_tick.ctl.simulate_tasks import Distribution, parse_distribution
from plancton_tick.ctl.simulate_world import Machine
from plancton_tick.ctl.traces import cut
from plancton_tick.ctl.traces_synthetic import DAY, KINDS, make_synthetic

# A process takes hosts by the piece: this many pieces for each, but no larger ones than that, so
# that what is done tells early how long the rest takes.
PIECES, LARGEST_PIECE = 50, 16


class Fleet(NamedTuple):
    """How many hosts, in how many processes, and how each differs from the first.

    Made-up days are of each of ``kinds`` in turn; ``part`` is the beginning and the length that
    are asked for. Cpus and bytes of ``machine`` are 0, and ``tasks`` None, where the kind says
    them. A recorded day is the same for all, and only what pilots do differs.
    """

    hosts: int
    processes: int
    kinds: tuple[str, ...]
    part: tuple[float, float]
    machine: Machine
    tasks: Distribution | None


class _Job(NamedTuple):
    """What a process needs to simulate any host."""

    fleet: Fleet
    plot: Plot
    runs: tuple[Run, ...]


_job: list[_Job] = []


def plot_of(fleet: Fleet, plot: Plot, host: int) -> Plot:
    """Return the day of one host of the fleet."""
    seed = plot.seed + host
    if not fleet.kinds:
        return plot._replace(seed=seed)
    name = fleet.kinds[host % len(fleet.kinds)]
    kind, (begin, length) = KINDS[name], fleet.part
    machine = Machine(
        fleet.machine.ncpus or kind.ncpus, fleet.machine.memory_bytes or kind.memory_bytes
    )
    tasks = plot.tasks._replace(lasts=fleet.tasks or parse_distribution(kind.tasks))
    trace = cut(make_synthetic(name, seed, max(DAY, begin + length)), begin, length)
    return Plot(trace, machine, tasks, plot.cadence, seed)


def simulate_fleet(fleet: Fleet, plot: Plot, runs: Sequence[Run]) -> list[Tally]:
    """Simulate all hosts under each run, showing how far it is; return the sums of each run."""
    job = _Job(fleet, plot, tuple(runs))
    sums: list[Tally | None] = [None for _ in runs]
    hours = plot.trace.seconds / 3600
    # Forked, and before any thread is there: what the processes need is then in place.
    context = multiprocessing.get_context("fork")
    began = time.perf_counter()
    pool = context.Pool(fleet.processes, _start, (job,))
    with pool, Progress(fleet.hosts) as progress:
        piece = max(1, min(LARGEST_PIECE, fleet.hosts // (PIECES * fleet.processes)))
        results = pool.imap_unordered(_simulate, range(fleet.hosts), piece)
        for done, tallies in enumerate(results, 1):
            sums = [
                tally if total is None else total.add(tally)
                for total, tally in zip(sums, tallies, strict=True)
            ]
            speed = done * hours * len(runs) / (time.perf_counter() - began)
            progress.tell(done, f"{speed:,.0f} hosts·hours/s")
    return [total for total in sums if total is not None]


def _start(job: _Job) -> None:
    # An interrupt is the parent's business: it ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _job[:] = [job]


def _simulate(host: int) -> tuple[Tally, ...]:
    job = _job[0]
    plot = plot_of(job.fleet, job.plot, host)
    return tuple(run_one(plot, run) for run in job.runs)
