"""One run: an owner's day, a host, a configuration and rules, and what came of it."""

from typing import NamedTuple

from plancton_tick.ctl.simulate_act import Hands
from plancton_tick.ctl.simulate_events import run_day
from plancton_tick.ctl.simulate_rules import PlanctonRules, Rules
from plancton_tick.ctl.simulate_rules_06 import ClassicRules
from plancton_tick.ctl.simulate_rules_slice import SliceRules
from plancton_tick.ctl.simulate_steps import Steps, tick_from
from plancton_tick.ctl.simulate_tally import Record, Tally
from plancton_tick.ctl.simulate_tasks import Fate, Tasks
from plancton_tick.ctl.simulate_world import Machine, World
from plancton_tick.ctl.traces import Trace
from plancton_tick.model import Action, Config

POLICIES = ("plancton", "0.6", "slice")


class Plot(NamedTuple):
    """What a run is of: everything but the rules and their configuration."""

    trace: Trace
    machine: Machine
    tasks: Tasks
    cadence: float
    seed: int


class Run(NamedTuple):
    """Rules and a configuration, under a name to show."""

    name: str
    policy: str
    config: Config


def run_one(
    plot: Plot, run: Run, *, record: Record | None = None, every_tick: bool = False
) -> Tally:
    """Simulate a host's day; ``record`` is filled with what is needed to draw it."""
    return _run(plot, run, record=record, every_tick=every_tick)[0]


def run_and_list(
    plot: Plot, run: Run, *, every_tick: bool = False
) -> tuple[Tally, list[tuple[float, Action]]]:
    """Simulate a host's day; return its sums and each action with the instant of its tick."""
    return _run(plot, run, every_tick=every_tick, keep=True)


def make_rules(run: Run, cadence: float) -> Rules:
    """Return the rules of a policy."""
    if run.policy == "0.6":
        return ClassicRules(run.config)
    if run.policy == "slice":
        return SliceRules(run.config, cadence)
    return PlanctonRules(run.config, cadence)


def _run(
    plot: Plot,
    run: Run,
    *,
    record: Record | None = None,
    every_tick: bool = False,
    keep: bool = False,
) -> tuple[Tally, list[tuple[float, Action]]]:
    rules = make_rules(run, plot.cadence)
    steps = Steps(plot.trace, plot.machine.ncpus)
    fate = Fate(plot.tasks, plot.seed)
    world = World(plot.machine, steps, fate, weight=rules.weight, record=record)
    host = run.config.host
    hands = Hands(world, run.config.reclaim.tolerance_cores, host.reserve_memory_bytes)
    hands.done = [] if keep else None
    seconds = plot.trace.seconds
    decisions = run_day(world, hands, rules, seconds, every_tick=every_tick)
    counts = {name: count for name, count in hands.counts.items() if count}
    tally = Tally(seconds=seconds, decisions=decisions, **counts)._replace(
        ticks=tick_from(seconds, rules.cadence),
        idle_core_seconds=steps.sum_idle(plot.machine.ncpus - host.reserve_cpus, seconds),
        harvested_core_seconds=world.pilot_core_seconds,
        lost_core_seconds=hands.lost_core_seconds,
        stalled_core_seconds=world.stalled_core_seconds,
        owner_core_seconds=steps.wanted_until(seconds),
        owner_short_core_seconds=world.owner_short_core_seconds,
        memory_short_byte_seconds=world.memory_short_byte_seconds,
        memory_short_peak_bytes=world.memory_short_peak_bytes,
    )
    return tally, hands.done or []
