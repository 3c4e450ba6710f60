"""The arguments of ``planctonctl simulate``, and what they make: a day, a host and its tasks."""

import argparse
import os

from plancton_tick.ctl.simulate_fleet import Fleet
from plancton_tick.ctl.simulate_run import Plot
from plancton_tick.ctl.simulate_tasks import Tasks, parse_distribution
from plancton_tick.ctl.simulate_words import read_bytes, read_part, read_span, read_times
from plancton_tick.ctl.simulate_world import Machine
from plancton_tick.ctl.traces import Trace, cut
from plancton_tick.ctl.traces_synthetic import DAY, KINDS, make_synthetic
from plancton_tick.errors import TraceError
from plancton_tick.tick import read_size

TASKS = "lognormal:1h:0.5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    add = parser.add_argument
    add("load", metavar="LOAD", help="the owner's day; a fleet may have several kinds: a,b,c")
    add(
        "--against",
        action="append",
        default=[],
        metavar="FILE",
        help="compare with this configuration too",
    )
    add(
        "--policy",
        default="plancton",
        metavar="NAMES",
        help="some of plancton, 0.6 and slice, with commas (plancton)",
    )
    add(
        "--cpus",
        type=int,
        metavar="N",
        help="the host's CPUs (those recorded, or usual for the kind)",
    )
    add("--memory", type=read_bytes, metavar="SIZE", help="the host's memory (the same)")
    add(
        "--from",
        dest="begin",
        type=read_span,
        default=0.0,
        metavar="SPAN",
        help="leave out so much at the beginning",
    )
    add(
        "--for",
        dest="length",
        type=read_span,
        metavar="SPAN",
        help="how long (all that was recorded, or 24h)",
    )
    add("--since", metavar="TIME", help="with journal: the first sample, as journalctl takes it")
    add("--until", metavar="TIME", help="with journal: the last sample")
    add("--cadence", type=read_span, default=5.0, metavar="SPAN", help="of ticks (5s)")
    add(
        "--tasks",
        type=read_times,
        metavar="TIMES",
        help="how long tasks run: 10min, uniform:5min:1h, exponential:1h (its mean), or "
        "lognormal:1h:0.5 (its median and its spread)",
    )
    add(
        "--latency",
        dest="starts",
        type=read_times,
        default="5s",
        metavar="TIMES",
        help="how long a pilot takes to get its task (5s)",
    )
    add(
        "--stop-time",
        dest="stops",
        type=read_times,
        default="1s",
        metavar="TIMES",
        help="how long it takes to end on SIGTERM (1s)",
    )
    add(
        "--usage",
        type=read_part,
        default=1.0,
        metavar="PART",
        help="what tasks use of their cores (1)",
    )
    add(
        "--memory-usage",
        type=read_part,
        default=0.6,
        metavar="PART",
        help="what tasks use of their memory (0.6)",
    )
    add(
        "--no-work",
        type=read_part,
        default=0.0,
        metavar="PART",
        help="pilots that find no work (0)",
    )
    add("--failed", type=read_part, default=0.0, metavar="PART", help="pilots that fail (0)")
    add("--seed", type=int, default=1, metavar="N", help="of all that is drawn by chance (1)")
    add("--hosts", type=int, metavar="N", help="a fleet: each host has a seed of its own")
    add(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="for a fleet (as many as CPUs)",
    )
    add("--json", action="store_true", help="print a document for programs")
    add("--svg", metavar="FILE", help="draw a picture")
    add("--png", metavar="FILE", help="draw a picture")
    add("--title", metavar="TEXT", help="of the picture")


def read_plot(options: argparse.Namespace) -> tuple[Plot, Fleet | None]:
    """Read the day and all that is not the rules. Raises TraceError for what cannot be."""
    for name, value in (("--cadence", options.cadence), ("--hosts", options.hosts)):
        if value is not None and value <= 0:
            raise TraceError(f"{name}: expected more than 0, got {value:g}")
    if options.processes < 1 or (options.cpus is not None and options.cpus < 1):
        raise TraceError("--cpus and --processes: expected 1 or more")
    if options.no_work + options.failed > 1:
        raise TraceError("--no-work and --failed: expected no more than 1 together")
    kinds = [kind for kind in options.load.split(",") if kind in KINDS]
    if kinds != options.load.split(","):
        kinds = []
    trace = read_trace(options, kinds)
    chosen = KINDS[kinds[0]] if kinds else None
    ncpus, memory = read_size()
    machine = Machine(
        options.cpus or trace.ncpus or ncpus, options.memory or trace.memory_total_bytes or memory
    )
    tasks = Tasks(
        lasts=options.tasks or parse_distribution(chosen.tasks if chosen else TASKS),
        starts=options.starts,
        stops=options.stops,
        usage=options.usage,
        memory_usage=options.memory_usage,
        no_work=options.no_work,
        failed=options.failed,
    )
    plot = Plot(trace, machine, tasks, options.cadence, options.seed)
    if options.hosts is None:
        if len(kinds) > 1:
            raise TraceError("several kinds of a day are for a fleet: give --hosts")
        return plot, None
    length = DAY - options.begin if options.length is None else options.length
    part = (options.begin, length)
    sized = Machine(options.cpus or 0, options.memory or 0)
    fleet = Fleet(options.hosts, options.processes, tuple(kinds), part, sized, options.tasks)
    return plot, fleet


def read_trace(options: argparse.Namespace, kinds: list[str]) -> Trace:
    """Read or draw the owner's load, and cut it as asked."""
    source, _, path = options.load.partition(":")
    if kinds:
        end = options.begin + (options.length or 0.0)
        trace = make_synthetic(kinds[0], options.seed, max(DAY, end))
    elif source == "sar" and path:
        from plancton_tick.ctl.traces_sar import read_sar

        trace = read_sar(path)
    elif source == "journal":
        from plancton_tick.ctl.traces_journal import read_journal

        trace = read_journal(path or None, options.since, options.until)
    elif os.path.exists(options.load):
        from plancton_tick.ctl.traces_csv import read_csv

        trace = read_csv(options.load)
    else:
        known = ", ".join(KINDS)
        raise TraceError(
            f"expected {known}, a CSV file, sar:FILE, journal or journal:FILE, got {options.load!r}"
        )
    length = trace.seconds if options.length is None else options.length
    return cut(trace, options.begin, length)
