"""A day run from event to event is the day run tick by tick."""

import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from plancton_tick.ctl.simulate_run import Plot, Run, run_and_list, run_one
from plancton_tick.ctl.simulate_tasks import Tasks, parse_distribution
from plancton_tick.ctl.simulate_world import Machine
from plancton_tick.ctl.traces import Trace, cut
from plancton_tick.ctl.traces_synthetic import HOUR, KINDS, make_synthetic
from plancton_tick.model import Config
from tests.worlds import GIB, configs, make_config, make_type

# Days are drawn from seeds: there is nothing to shrink in them, and trying would take minutes.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
DISTRIBUTIONS = st.sampled_from(
    ("0", "20s", "5min", "uniform:1s:10min", "exponential:3min", "lognormal:20min:0.7")
).map(parse_distribution)


@st.composite
def tasks(draw: st.DrawFn) -> Tasks:
    return Tasks(
        lasts=draw(DISTRIBUTIONS),
        starts=draw(DISTRIBUTIONS),
        stops=parse_distribution(draw(st.sampled_from(("0", "1s", "12s", "uniform:0:1min")))),
        usage=draw(st.sampled_from((0.3, 1.0))),
        memory_usage=draw(st.sampled_from((0.1, 0.6, 1.0))),
        no_work=draw(st.sampled_from((0.0, 0.0, 0.3))),
        failed=draw(st.sampled_from((0.0, 0.0, 0.3))),
    )


@st.composite
def random_traces(draw: st.DrawFn) -> Trace:
    """Draw a load that changes at any instant, also between two ticks, and wants memory too."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    mean = draw(st.sampled_from((1.0, 4.0, 30.0, 200.0)))
    times = [0.0]
    while times[-1] < 1800.0:
        times.append(times[-1] + chance.choice((5.0, chance.expovariate(1 / mean))))
    # Whole numbers meet the bounds exactly.
    cores = [chance.choice((chance.uniform(0, 10), float(chance.randint(0, 9)))) for _ in times]
    memory = [chance.randint(0, 16) * GIB for _ in times]
    return Trace("random", times, cores, memory, 1800.0)


def plots(traces: st.SearchStrategy[Trace]) -> st.SearchStrategy[Plot]:
    return st.builds(
        Plot,
        trace=traces,
        machine=st.builds(Machine, st.integers(1, 10), st.sampled_from((8 * GIB, 16 * GIB))),
        tasks=tasks(),
        cadence=st.sampled_from((5.0, 5.0, 1.7, 30.0)),
        seed=st.integers(0, 9),
    )


def assert_same(plot: Plot, config: Config, policy: str = "plancton") -> None:
    """Compare every action, with its instant, its pilot and its reason, and all sums."""
    run = Run("", policy, config)
    sums, actions = run_and_list(plot, run, every_tick=True)
    fast_sums, fast_actions = run_and_list(plot, run, every_tick=False)
    assert fast_actions == actions
    assert fast_sums._replace(decisions=0) == sums._replace(decisions=0)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, phases=UNSHRUNK)
@given(data=st.data())
def test_events_and_ticks_come_to_the_same_on_every_kind_of_day(
    kind: str, data: st.DataObject
) -> None:
    trace = make_synthetic(kind, data.draw(st.integers(0, 99)))
    part = cut(trace, data.draw(st.integers(0, 22)) * HOUR, HOUR)
    assert_same(data.draw(plots(st.just(part))), data.draw(configs()))


@settings(max_examples=80, phases=UNSHRUNK)
@given(plot=plots(random_traces()), config=configs())
def test_events_and_ticks_come_to_the_same_under_any_load(plot: Plot, config: Config) -> None:
    assert_same(plot, config)


@pytest.mark.parametrize("kind", KINDS)
def test_events_and_ticks_come_to_the_same_on_hosts_as_they_are(kind: str) -> None:
    chosen = KINDS[kind]
    part = cut(make_synthetic(kind, 1), 9 * HOUR, 2 * HOUR)
    machine = Machine(chosen.ncpus, chosen.memory_bytes)
    config = make_config(make_type(memory=2 * GIB), max_pilots=("ncpus",))
    plot = Plot(part, machine, Tasks(parse_distribution(chosen.tasks)), 5.0, 1)
    assert run_and_list(plot, Run("", "plancton", config))[1]
    assert_same(plot, config)
    assert_same(plot, config, "slice")


def test_a_quiet_day_takes_few_decisions() -> None:
    plot = Plot(
        make_synthetic("noisy", 1),
        Machine(8, 32 * GIB),
        Tasks(parse_distribution("1h")),
        5.0,
        1,
    )
    tally = run_one(plot, Run("", "plancton", make_config(max_pilots=("ncpus",))))
    assert tally.ticks == 17280
    assert tally.decisions < tally.ticks / 50
    assert tally.spawned > 100
