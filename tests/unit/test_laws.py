"""The laws of ``decide``, each as properties over random hosts, configurations and histories."""

import itertools
import random
import re
from collections import Counter

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from plancton_tick.decide import decide
from plancton_tick.labels import make_labels, read_pilots
from plancton_tick.model import (
    LABEL_INSTANCE,
    LABEL_TYPE,
    Announce,
    Ask,
    Backoff,
    Config,
    Drain,
    Ending,
    Ledger,
    Observation,
    Outcome,
    Pause,
    Pilot,
    PilotState,
    Reap,
    ReclaimAction,
    Resume,
    Spawn,
    Terminate,
)
from plancton_tick.room import IDLE_CORES
from tests.worlds import (
    CPUS,
    GIB,
    LIVE,
    NOW,
    World,
    by_type,
    configs,
    make_config,
    make_host,
    make_observation,
    make_pilot,
    make_type,
    observations,
    worlds,
)

EPSILON = 1e-6
SEEDS = st.integers(0, 2**32)
HOUR = 3600.0


def running_pilots(
    *, at_least: int = 0, cpus: st.SearchStrategy[float] = CPUS
) -> st.SearchStrategy[tuple[Pilot, ...]]:
    """Draw running pilots in slots of their own, each of another age."""

    def build(sizes: list[float], ages: list[int]) -> tuple[Pilot, ...]:
        return tuple(
            make_pilot(slot, cpus=size, age=float(age), memory=0)
            for slot, (size, age) in enumerate(zip(sizes, ages, strict=False))
        )

    return st.builds(
        build,
        st.lists(cpus, min_size=at_least, max_size=10),
        st.permutations(range(100, 200)),
    )


# --- for every law -------------------------------------------------------------------------------


@settings(max_examples=60)
@given(configs(), observations())
def test_every_observation_has_a_plan_and_the_same_one_each_time(
    config: Config, observation: Observation
) -> None:
    before = repr(observation)
    plan = decide(config, observation)
    assert decide(config, observation) == plan
    assert repr(observation) == before


@settings(max_examples=60)
@given(configs(), observations())
def test_a_plan_does_one_thing_with_a_pilot_and_ends_come_first_and_spawns_last(
    config: Config, observation: Observation
) -> None:
    actions = decide(config, observation).actions
    ids = [action.pilot.id for action in actions if not isinstance(action, Spawn | Ask | Announce)]
    told = [action.pilot.id for action in actions if isinstance(action, Announce)]
    ends = {action.pilot.id for action in actions if isinstance(action, Terminate | Reap)}
    assert len(told) == len(set(told))
    assert not ends & set(told)
    assert len(ids) == len(set(ids))
    order = {Terminate: 0, Pause: 0, Reap: 1, Resume: 2, Announce: 3, Ask: 4, Spawn: 5}
    ranks = [order[type(action)] for action in actions]
    assert ranks == sorted(ranks)
    names = {pilot.slot for pilot in observation.pilots}
    reaped = {action.pilot.slot for action in actions if isinstance(action, Reap)}
    slots = [action.slot for action in actions if isinstance(action, Spawn)]
    assert len(slots) == len(set(slots))
    assert not set(slots) & (names - reaped)


# --- 1. owner first ------------------------------------------------------------------------------


@settings(max_examples=60)
@given(configs(), observations())
def test_law_1_what_is_spawned_and_resumed_fits_beside_owner_reserve_and_all_that_runs(
    config: Config, observation: Observation
) -> None:
    host = observation.host
    plan = decide(config, observation)
    running = [p for p in observation.pilots if p.state is PilotState.RUNNING]
    used = host.pilots_cores
    if used is None:
        used = min(host.busy_cores, sum(p.cpus for p in running))
    owner = max(0.0, host.busy_cores - used - IDLE_CORES)
    gone = {a.pilot.id for a in plan.actions if isinstance(a, Reap | Pause)}
    stays = sum(p.cpus for p in running if p.id not in gone)
    added = sum(
        action.type.cpus if isinstance(action, Spawn) else action.pilot.cpus
        for action in plan.actions
        if isinstance(action, Spawn | Resume)
    )
    if added:
        assert stays + added + owner + config.host.reserve_cpus <= host.ncpus + EPSILON


@given(
    running=st.integers(0, 6),
    owner=st.sampled_from((0.0, 1.0, 1.5)),
    created=st.integers(0, 2),
)
def test_law_1_an_unreadable_slice_counts_the_running_pilots_as_using_all_their_cores(
    running: int, owner: float, created: int
) -> None:
    listed = [make_pilot(slot) for slot in range(running)]
    listed += [
        make_pilot(slot, state=PilotState.CREATED, age=1.0)
        for slot in range(running, running + created)
    ]
    host = make_host(ncpus=16, busy=owner + running, pilots_cores=None)
    plan = decide(make_config(per_tick=100), make_observation(*listed, host=host))
    assert len(plan.actions) == int(16 - 1 - owner - running - created)


@given(st.sampled_from((0.1, 0.2, 0.3, 0.7, 1.1)), st.integers(1, 8))
def test_law_1_a_pilot_of_any_decimal_size_fits_exactly_into_a_room_of_its_size(
    cpus: float, count: int
) -> None:
    config = make_config(make_type(cpus=cpus, memory=0), reserve_cpus=8 - count * cpus, per_tick=99)
    assert len(decide(config, make_observation(host=make_host(ncpus=8))).actions) == count


# --- 2. no flapping ------------------------------------------------------------------------------


@st.composite
def lasting_worlds(draw: st.DrawFn) -> World:
    """Draw a healthy host from its beginning: pilots live long enough to count as done."""
    sizes = draw(st.lists(CPUS.filter(lambda cpus: cpus >= 0.25), min_size=1, max_size=3))
    config = make_config(
        *(
            make_type(name, cpus=cpus, lifetime=draw(st.sampled_from((120.0, 900.0, 43200.0))))
            for name, cpus in zip(("alpha", "beta", "gamma"), sizes, strict=False)
        ),
        tolerance=draw(st.sampled_from((0.1, 0.5, 1.0))),
        after=draw(st.sampled_from((0.0, 10.0))),
        reserve_cpus=draw(st.sampled_from((0.0, 1.0))),
        action=draw(st.sampled_from(tuple(ReclaimAction))),
    )
    ncpus = draw(st.integers(2, 8))
    return World(
        config,
        ncpus=ncpus,
        owner=draw(st.floats(0, ncpus)),
        usage=draw(st.sampled_from((0.0, 0.6, 1.0))),
        memory_total=256 * GIB,
    )


@settings(max_examples=12)
@given(lasting_worlds(), SEEDS)
def test_law_2_a_constant_owner_load_costs_no_reclaim_in_an_hour(world: World, seed: int) -> None:
    chance = random.Random(seed)

    def some_finish() -> None:
        for pilot in world.live():
            if world.now - pilot.spawned_at > 60 and chance.random() < 0.02:
                world.exit(pilot.id, 0)

    world.run(HOUR, every=5.0, before=some_finish)
    assert world.reclaims() == []


@settings(max_examples=12)
@given(lasting_worlds(), SEEDS)
def test_law_2_noise_that_spans_less_than_the_tolerance_costs_no_reclaim_in_an_hour(
    world: World, seed: int
) -> None:
    tolerance = world.config.reclaim.tolerance_cores
    base = max(0.0, world.owner - tolerance)

    chance = random.Random(seed)

    def stir() -> None:
        world.owner = base + chance.random() * tolerance * 0.999

    world.run(HOUR, every=5.0, before=stir)
    assert world.reclaims() == []


@settings(max_examples=12)
@given(lasting_worlds(), st.floats(0, 8))
def test_law_2_an_owner_who_takes_more_for_good_gets_it_once_and_nothing_moves_again(
    world: World, more: float
) -> None:
    world.run(200.0)
    world.owner = min(float(world.ncpus), world.owner + more)
    world.run(60.0)
    settled = world.now
    world.run(HOUR / 2)
    late = [e for e in world.reclaims(settled) if isinstance(e.action, Pause)]
    ended = [e for e in world.reclaims(settled) if isinstance(e.action, Terminate)]
    assert late == []
    # Whoever is ended later was given back before and waited in vain for its room.
    paused = {e.action.pilot.id for e in world.reclaims() if isinstance(e.action, Pause)}
    assert {e.action.pilot.id for e in ended if isinstance(e.action, Terminate)} <= paused


@given(
    overload=st.floats(-4, 4),
    lasted=st.none() | st.floats(0, 60),
    tolerance=st.sampled_from((0.0, 0.5, 1.0)),
)
def test_law_2_nothing_is_given_back_unless_the_overload_exceeds_tolerance_for_long_enough(
    overload: float, lasted: float | None, tolerance: float
) -> None:
    listed = [make_pilot(slot) for slot in range(6)]
    host = make_host(ncpus=8, owner=1.0 + IDLE_CORES + overload, pilots_cores=6.0)
    ledger = Ledger(overload_since=None if lasted is None else NOW - lasted)
    config = make_config(tolerance=tolerance, after=10.0)
    assume(abs(overload - tolerance) > EPSILON)
    plan = decide(config, make_observation(*listed, host=host, ledger=ledger))
    ripe = 1.0 + overload > 0 and overload > tolerance and lasted is not None and lasted >= 10
    assert bool([a for a in plan.actions if isinstance(a, Pause)]) == ripe


# --- 3. the shortfall, no more -------------------------------------------------------------------


@settings(max_examples=60)
@given(
    running_pilots(at_least=1),
    st.floats(0, 12),
    st.sampled_from((0.0, 0.5)),
    st.sampled_from(tuple(ReclaimAction)),
)
def test_law_3_exactly_the_shortfall_is_given_back_at_once_the_youngest_first(
    listed: tuple[Pilot, ...], owner: float, tolerance: float, action: ReclaimAction
) -> None:
    config = make_config(make_type(memory=0), tolerance=tolerance, action=action)
    total = sum(pilot.cpus for pilot in listed)
    host = make_host(ncpus=12, owner=owner, pilots_cores=min(total, 12 - owner))
    overload = total + max(0.0, owner - IDLE_CORES) + 1 - 12
    assume(abs(overload - tolerance) > EPSILON)
    observation = make_observation(*listed, host=host, ledger=Ledger(overload_since=NOW - 10))
    plan = decide(config, observation)
    back = [a.pilot for a in plan.actions if isinstance(a, Pause | Terminate)]
    given_back = sum(pilot.cpus for pilot in back)
    if overload <= tolerance:
        assert back == []
        return
    assert given_back >= overload - EPSILON or len(back) == len(listed)
    assert all(given_back - pilot.cpus < overload for pilot in back)
    ages = [NOW - pilot.spawned_at for pilot in back]
    assert ages == sorted(ages)
    for old in back:
        for young in listed:
            if young.spawned_at > old.spawned_at and young not in back:
                assert young.cpus < old.cpus, "an older pilot went where a younger one would do"
    kind = Pause if action is ReclaimAction.PAUSE else Terminate
    assert all(isinstance(a, kind) for a in plan.actions if isinstance(a, Pause | Terminate))


@given(st.integers(1, 8), st.integers(0, 8))
def test_law_3_of_equal_pilots_the_youngest_go(count: int, owner: int) -> None:
    listed = [make_pilot(slot, age=100.0 + 10 * slot) for slot in range(count)]
    host = make_host(ncpus=8, owner=float(owner), pilots_cores=float(min(count, 8 - owner)))
    observation = make_observation(*listed, host=host, ledger=Ledger(overload_since=NOW - 10))
    plan = decide(make_config(), observation)
    back = [a.pilot.slot for a in plan.actions if isinstance(a, Pause)]
    assert back == list(range(max(0, min(count, count + owner + 1 - 8))))


@given(st.integers(0, 6), st.integers(0, 6))
def test_law_3_what_is_being_ended_already_counts_as_given_back(ending: int, owner: int) -> None:
    listed = [make_pilot(slot, age=100.0 + slot) for slot in range(6)]
    world = World(
        make_config(action=ReclaimAction.STOP, after=0, max_pilots=6), ncpus=8, pilots=listed
    )
    world.stubborn = {pilot.id for pilot in listed}
    world.owner = float(ending)
    world.tick()
    world.owner = float(max(ending, owner))
    world.tick()
    assert len(world.reclaims()) == max(0, min(6, max(ending, owner) - 1))


# --- 4. never over the cap -----------------------------------------------------------------------


def cap_of(world: World) -> int:
    match world.config.host.max_pilots:
        case (float(cap),):
            return int(cap)
        case ("ncpus",):
            return world.ncpus
        case ("ncpus", factor, "*"):
            return world.ncpus * int(factor)
        case _:
            return max(0, world.ncpus - 9)


@settings(max_examples=60)
@given(configs(), observations())
def test_law_4_no_plan_exceeds_the_cap(config: Config, observation: Observation) -> None:
    world = World(config, ncpus=observation.host.ncpus)
    plan = decide(config, observation)
    reaped = {a.pilot.id for a in plan.actions if isinstance(a, Reap)}
    live = [p for p in observation.pilots if p.state in LIVE and p.id not in reaped]
    spawned = [a for a in plan.actions if isinstance(a, Spawn)]
    assert not spawned or len(live) + len(spawned) <= cap_of(world)
    assert len(spawned) <= config.spawn.per_tick


@settings(max_examples=60)
@given(worlds(), st.data())
def test_law_4_ticks_that_interleave_at_every_step_stay_below_the_cap(
    world: World, data: st.DataObject
) -> None:
    world.memory_total = 1024 * GIB
    world.ncpus = 64
    world.config = world.config._replace(
        spawn=world.config.spawn._replace(per_tick=data.draw(st.integers(1, 12)))
    )
    before = len(world.live())
    ticks = [world.interruptible_tick() for _ in range(data.draw(st.integers(2, 4)))]
    while ticks:
        tick = data.draw(st.sampled_from(ticks), label="next to go on")
        if next(tick, "over") == "over":
            ticks.remove(tick)
        if world.live() and data.draw(st.integers(0, 9)) == 0:
            running = [p for p in world.live() if p.state is PilotState.RUNNING]
            if running:
                world.exit(data.draw(st.sampled_from(running)).id, 0)
        assert world.most_live <= max(before, cap_of(world))


def test_law_4_a_pilot_without_a_slot_takes_a_number_from_those_that_racing_ticks_may_claim() -> (
    None
):
    """One tick that still sees a dead pilot's slot as held, one that sees it free: 5 of 4."""
    by_hand = make_pilot(None, id="by-hand", cpus=0.1)
    config = make_config(max_pilots=4)
    first = make_observation(by_hand, make_pilot(0), make_pilot(1, state=PilotState.REMOVING))
    second = make_observation(by_hand, make_pilot(0))
    claimed = {
        action.slot
        for observation in (first, second)
        for action in decide(config, observation).actions
        if isinstance(action, Spawn)
    }
    assert len(claimed) + 2 <= 4


@settings(max_examples=40)
@given(st.integers(1, 8), st.integers(2, 8))
def test_law_4_ticks_on_the_same_stale_world_claim_the_same_names(cap: int, ticks: int) -> None:
    world = World(make_config(max_pilots=cap, per_tick=99), ncpus=32)
    seen = world.observe()
    for _ in range(ticks):
        plan = decide(world.config, seen)
        for _ in world.apply(plan, seen):
            pass
    assert len(world.live()) == cap


# --- 5. fail closed ------------------------------------------------------------------------------


@settings(max_examples=60)
@given(configs(), observations())
def test_law_5_under_a_bad_configuration_pilots_are_reaped_and_expired_and_nothing_else(
    config: Config, observation: Observation
) -> None:
    observation = observation._replace(config_is_bad=True)
    plan = decide(config, observation)
    assert [veto.name for veto in plan.vetoes] == ["config"]
    gone = {action.pilot.id for action in plan.actions if isinstance(action, Reap)}
    ended = {action.pilot.id for action in plan.actions if isinstance(action, Terminate)}
    assert len(plan.actions) == len(gone) + len(ended)
    for pilot in observation.pilots:
        if pilot.state is PilotState.EXITED:
            assert pilot.id in gone
        over = pilot.expires_at is not None and pilot.expires_at <= observation.taken_at
        told = pilot.id in observation.ledger.ending
        if pilot.state in (PilotState.RUNNING, PilotState.PAUSED) and over:
            assert told or pilot.id in gone | ended
        if pilot.id in ended:
            assert over or told


# --- 6. memory is not elastic --------------------------------------------------------------------


@settings(max_examples=60)
@given(configs(), observations())
def test_law_6_memory_promised_to_pilots_never_exceeds_what_is_there(
    config: Config, observation: Observation
) -> None:
    plan = decide(config, observation)
    new = sum(a.type.memory_bytes for a in plan.actions if isinstance(a, Spawn))
    if not any(isinstance(a, Spawn) for a in plan.actions):
        return
    host = observation.host
    reaped = {a.pilot.id for a in plan.actions if isinstance(a, Reap)}
    caps = sum(p.memory_bytes for p in observation.pilots if p.state in LIVE and p.id not in reaped)
    may_still_take = max(0, caps - (host.pilots_memory_bytes or 0))
    left = host.memory_available_bytes - may_still_take - new
    assert left >= config.host.reserve_memory_bytes
    assert host.disk_free_bytes is None or host.disk_free_bytes >= config.host.reserve_disk_bytes


@settings(max_examples=60)
@given(
    running_pilots(at_least=1, cpus=st.just(0.5)),
    st.integers(0, 4 * GIB),
    st.none() | st.integers(1, 10 * GIB),
    st.sampled_from((PilotState.RUNNING, PilotState.PAUSED)),
)
def test_law_6_below_the_floor_the_youngest_are_terminated_until_the_shortfall_is_met(
    listed: tuple[Pilot, ...], available: int, used: int | None, state: PilotState
) -> None:
    listed = tuple(pilot._replace(memory_bytes=GIB, state=state) for pilot in listed)
    used = None if used is None else min(used, GIB * len(listed))
    host = make_host(ncpus=16, available=available, pilots_memory=used)
    config = make_config(reserve_memory=2 * GIB)
    plan = decide(config, make_observation(*listed, host=host))
    ended = [a.pilot for a in plan.actions if isinstance(a, Terminate)]
    assert not any(isinstance(a, Pause | Spawn) for a in plan.actions) or available >= 2 * GIB
    each = GIB if used is None else used / len(listed)
    needed = max(0, 2 * GIB - available)
    fewest = 0 if needed == 0 else min(len(listed), int(-(-needed // each)))
    assert fewest <= len(ended) <= min(len(listed), fewest + 1)
    youngest = sorted(listed, key=lambda pilot: -pilot.spawned_at)
    assert ended == youngest[: len(ended)]


@given(running_pilots(at_least=1, cpus=st.just(0.5)), st.integers(0, 3 * GIB))
def test_law_6_short_of_disk_pilots_are_terminated_one_after_another_until_it_is_restored(
    listed: tuple[Pilot, ...], free: int
) -> None:
    world = World(make_config(), ncpus=16, pilots=listed, disk_free=free)
    short = free < 2 * GIB
    for _ in range(len(listed)):
        plan = world.tick()
        assert sum(isinstance(a, Terminate) for a in plan.actions) == int(short)
        assert not any(isinstance(a, Pause) for a in plan.actions)
        assert not short or not any(isinstance(a, Spawn) for a in plan.actions)
        world.advance(5.0)
    assert not short or not world.live()


@pytest.mark.parametrize("what", ["memory", "disk"])
def test_law_6_after_memory_or_disk_was_given_back_nothing_is_spawned_during_the_cooldown(
    what: str,
) -> None:
    world = World(make_config(cooldown=60.0), pilots=[make_pilot()], memory_total=8 * GIB)
    if what == "memory":
        world.owner_memory = 7 * GIB
    else:
        world.disk_free = GIB
    assert [type(a) for a in world.tick().actions] == [Terminate]
    world.advance(5.0)
    world.owner_memory, world.disk_free = GIB, 100 * GIB
    plan = world.tick()
    assert not any(isinstance(a, Spawn) for a in plan.actions)
    assert "cooldown" in {veto.name for veto in plan.vetoes}
    world.advance(56.0)
    assert any(isinstance(a, Spawn) for a in world.tick().actions)


# --- 7. broken pilots do not spin ----------------------------------------------------------------


def make_broken_world(**of_type: float) -> World:
    settings_of_type = {"backoff": 30.0, "backoff_max": 3600.0, "fizzle": 30.0, **of_type}
    return World(make_config(make_type(**settings_of_type)), ncpus=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [75, 69, 1, 0])
@pytest.mark.parametrize(("backoff", "longest"), [(10.0, 100.0), (30.0, 3600.0), (30.0, 30.0)])
def test_law_7_waits_double_up_to_the_longest_and_each_is_followed_by_one_canary(
    code: int, backoff: float, longest: float
) -> None:
    world = make_broken_world(backoff=backoff, backoff_max=longest)
    births: list[float] = []
    while world.now < NOW + 1.5 * HOUR:
        plan = world.tick()
        births += [world.now for a in plan.actions if isinstance(a, Spawn)]
        if births:
            assert len(world.live()) <= (4 if births[-1] == NOW else 1)
        world.advance(1.0)
        for pilot in world.live():
            world.exit(pilot.id, code, ran=0.5)
    assert births[:4] == [NOW] * 4
    waits = [later - earlier - 1 for earlier, later in itertools.pairwise(births[3:])]
    expected = [min(backoff * 2**n, longest) for n in range(len(waits))]
    assert len(waits) >= 4
    assert waits == pytest.approx(expected, abs=1)


@given(st.lists(st.sampled_from((75, 69, 1)), min_size=2, max_size=10), st.integers(0, 20))
def test_law_7_ten_pilots_that_run_dry_at_once_double_nothing(
    codes: list[int], spread: int
) -> None:
    world = make_broken_world()
    world.config = make_config(max_pilots=10)
    world.pilots = {p.id: p for p in (make_pilot(slot, age=900) for slot in range(len(codes)))}
    for slot, code in enumerate(codes):
        if spread:
            world.tick()
            world.advance(spread / len(codes))
        world.exit(f"id-{slot}", code)
    world.tick()
    assert world.ledger.backoffs["default"].step_seconds == 30.0


@given(st.integers(2, 10), st.sampled_from((-3600.0, 3600.0)))
def test_law_7_ten_pilots_that_run_dry_at_once_double_nothing_after_the_clock_was_stepped(
    count: int, step: float
) -> None:
    listed = [make_pilot(slot, age=900.0 + step, code=75, ran=900.0) for slot in range(count)]
    plan = decide(make_config(), make_observation(*listed))
    assert plan.ledger.backoffs["default"].step_seconds == 30.0


def test_law_7_a_canary_that_lives_past_fizzle_clears_the_wait_and_the_host_fills_up() -> None:
    world = make_broken_world()
    world.tick()
    world.advance(1.0)
    for pilot in world.live():
        world.exit(pilot.id, 75)
    world.tick()
    world.advance(31.0)
    assert len(world.tick().actions) == 1
    world.advance(29.0)
    assert world.tick().actions == ()
    world.advance(2.0)
    assert len(world.tick().actions) == 4
    assert world.ledger.backoffs == {}


@settings(max_examples=50)
@given(st.lists(st.floats(31, 9000), min_size=1, max_size=8))
def test_law_7_a_healthy_exit_costs_no_waiting_at_all(ran: list[float]) -> None:
    listed = [make_pilot(slot, age=age, code=0) for slot, age in enumerate(ran)]
    plan = decide(make_config(per_tick=99), make_observation(*listed))
    assert plan.ledger.backoffs == {}
    assert sum(isinstance(action, Spawn) for action in plan.actions) == 7


@settings(max_examples=50)
@given(
    st.sampled_from((Outcome.RECLAIMED, Outcome.EXPIRED, Outcome.DRAINED)),
    st.sampled_from((0, 1, 69, 75, 137, 143)),
    st.sampled_from((None, -10.0)),
)
def test_law_7_a_pilot_that_we_ended_is_neutral(
    outcome: Outcome, code: int, wait: float | None
) -> None:
    world = World(make_config(), pilots=[make_pilot(age=5.0)])
    if wait is not None:
        world.ledger = Ledger(backoffs={"default": Backoff(NOW + wait, 30.0, "no-work")})
    pilot = world.live()[0]
    before = world.ledger.backoffs
    plan = decide(world.config, world.observe())
    assert not any(isinstance(action, Terminate) for action in plan.actions)
    ledger = world.ledger._replace(ending={pilot.id: make_ending(outcome)})
    world.ledger = ledger
    world.exit(pilot.id, code)
    after = decide(world.config, world.observe()).ledger
    assert after.backoffs == before
    assert after.counts == {"default": {outcome: 1}}


def make_ending(outcome: Outcome) -> Ending:
    return Ending(outcome, NOW - 1, signalled=True)


@settings(max_examples=60)
@given(configs(), observations())
def test_law_7_a_type_that_waits_is_not_spawned_and_one_that_waited_sends_one_canary(
    config: Config, observation: Observation
) -> None:
    plan = decide(config, observation)
    for name, wait in plan.ledger.backoffs.items():
        spawned = [a for a in plan.actions if isinstance(a, Spawn) and a.type.name == name]
        assert len(spawned) <= (0 if observation.taken_at < wait.until else 1)


# --- 8. fair shares ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    shares=st.lists(st.sampled_from((0.5, 1.0, 2.0, 3.0, 5.0)), min_size=2, max_size=4),
    cap=st.integers(4, 40),
    churn=st.integers(0, 5),
    seed=SEEDS,
)
def test_law_8_types_of_equal_size_come_within_one_pilot_of_their_shares(
    shares: list[float], cap: int, churn: int, seed: int
) -> None:
    types = [make_type(f"t{at}", share=share, memory=0) for at, share in enumerate(shares)]
    world = World(make_config(*types, max_pilots=cap, per_tick=99), ncpus=cap + 1)
    chance = random.Random(seed)
    for _ in range(100 if churn else 1):
        world.tick()
        world.advance(60.0)
        for pilot in chance.sample(world.live(), min(churn, cap)):
            world.exit(pilot.id, 0)
    world.tick()
    counts = by_type(world.live())
    assert sum(counts.values()) == cap
    for at, share in enumerate(shares):
        ideal = share / sum(shares) * cap
        assert abs(counts.get(f"t{at}", 0) - ideal) <= 1 + EPSILON


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from((0.5, 1.0, 2.0, 3.0, 5.0)), min_size=2, max_size=3),
    st.integers(0, 20),
    st.integers(20, 40),
    st.booleans(),
)
def test_law_8_beside_a_type_held_back_the_others_keep_their_shares_of_the_rest(
    shares: list[float], held: int, cap: int, known: bool
) -> None:
    """Held back by its ``max``, or because nobody configures it any more."""
    types = [make_type(f"t{at}", share=share, memory=0) for at, share in enumerate(shares)]
    if known:
        types.append(make_type("held", share=1.0, max_live=held, memory=0))
    listed = [make_pilot(slot, type="held", memory=0) for slot in range(held)]
    config = make_config(*types, max_pilots=cap, per_tick=99)
    world = World(config, ncpus=cap + 1, pilots=listed)
    world.tick()
    counts = by_type(world.live())
    assert counts.get("held", 0) == held
    for at, share in enumerate(shares):
        ideal = share / sum(shares) * (cap - held)
        assert abs(counts.get(f"t{at}", 0) - ideal) <= 1 + EPSILON


@given(st.integers(0, 6), st.integers(0, 6))
def test_law_8_max_caps_a_type_and_the_other_takes_the_rest(most: int, there: int) -> None:
    config = make_config(
        make_type("alpha", max_live=most, share=9.0), make_type("beta"), per_tick=99
    )
    listed = [make_pilot(slot, type="alpha") for slot in range(there)]
    world = World(config, ncpus=8, pilots=listed)
    world.tick()
    counts = by_type(world.live())
    assert counts.get("alpha", 0) == max(most, there)
    assert sum(counts.values()) == 7


@given(st.sampled_from((0.0, 1.0)))
def test_law_8_a_type_without_a_share_is_never_spawned(share: float) -> None:
    world = World(make_config(make_type("alpha", share=0.0), make_type("beta", share=share)))
    world.tick()
    assert set(by_type(world.live())) == ({"beta"} if share else set())


@settings(max_examples=30)
@given(st.lists(st.tuples(CPUS, st.sampled_from((1.0, 2.0, 4.0))), min_size=2, max_size=3))
def test_law_8_shares_are_of_cores_whatever_the_size_of_a_pilot(
    kinds: list[tuple[float, float]],
) -> None:
    types = [
        make_type(f"t{at}", cpus=cpus, share=share, memory=0)
        for at, (cpus, share) in enumerate(kinds)
    ]
    world = World(make_config(*types, max_pilots=10_000, per_tick=10_000), ncpus=41)
    world.tick()
    total = world.running_cpus()
    largest = max(cpus for cpus, _ in kinds)
    shares = sum(share for _, share in kinds)
    for at, (_, share) in enumerate(kinds):
        has = sum(pilot.cpus for pilot in world.live(f"t{at}"))
        assert abs(has - share / shares * total) <= 2 * largest + EPSILON


# --- 9. only ours --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def containers(draw: st.DrawFn) -> dict[str, object]:
    labels = draw(
        st.dictionaries(
            st.sampled_from((LABEL_TYPE, LABEL_INSTANCE, "io.plancton", "io.plancton.slot", "x")),
            st.sampled_from(("plancton", "other", "", "3", "-1", "nan", "1e400")),
        )
    )
    return {
        "Id": draw(st.uuids()).hex,
        "Names": [f"/{draw(st.sampled_from(('plancton-0', 'plancton-7', 'web')))}"],
        "State": draw(st.sampled_from(("running", "exited", "created", "paused"))),
        "Created": draw(st.integers(0, int(NOW))),
        "Labels": draw(st.none() | st.just(labels) | st.just({})),
    }


@settings(max_examples=60)
@given(st.lists(containers(), max_size=6), st.sampled_from(("plancton", "other")))
def test_law_9_a_container_without_our_label_or_of_another_instance_is_never_listed(
    listing: list[dict[str, object]], instance: str
) -> None:
    ours = []
    for entry in listing:
        labels = entry["Labels"]
        assert labels is None or isinstance(labels, dict)
        if labels and LABEL_TYPE in labels:
            owner = labels.get(LABEL_INSTANCE, "plancton")
            ours += [entry["Id"]] if owner == instance else []
    assert [pilot.id for pilot in read_pilots(listing, instance)] == ours


@settings(max_examples=60)
@given(configs(), observations())
def test_law_9_every_action_is_on_a_pilot_that_was_listed(
    config: Config, observation: Observation
) -> None:
    ids = {pilot.id for pilot in observation.pilots}
    for action in decide(config, observation).actions:
        assert isinstance(action, Spawn | Ask) or action.pilot.id in ids


@settings(max_examples=60)
@given(configs(), st.integers(0, 99))
def test_law_9_what_we_spawn_is_ours_when_it_is_listed(config: Config, slot: int) -> None:
    labels = make_labels(config.pilots[0], slot, NOW, "plancton", "cafe")
    entry = {"Id": "f00", "Names": [f"/plancton-{slot}"], "State": "running", "Labels": labels}
    (pilot,) = read_pilots([entry], "plancton")
    assert pilot.slot == slot
    assert read_pilots([entry], "other") == ()


# --- 10. converges -------------------------------------------------------------------------------


@settings(max_examples=100)
@given(worlds(), st.booleans())
def test_law_10_a_second_tick_at_once_finds_nothing_to_do(world: World, readable: bool) -> None:
    world.slice_is_readable = readable
    if not readable:
        world.usage = 1.0
        world.owner = min(world.owner, world.ncpus - world.running_cpus())
        assume(world.owner >= 0)
    # A stranger is found only by running into it: what the tick learns there is for the next.
    world.strangers = frozenset()
    # Below nothing the kernel cannot tell how much is missing.
    assume(world.observe().host.memory_available_bytes > 0)
    plan = world.tick()
    assume("per-tick" not in {veto.name for veto in plan.vetoes})
    if not readable:
        assume(world.owner + world.running_cpus() <= world.ncpus)
    # The memory of one that is removed while it runs is seen to be free only afterwards.
    used_memory = (PilotState.RUNNING, PilotState.PAUSED)
    assume(not any(isinstance(a, Reap) and a.pilot.state in used_memory for a in plan.actions))
    again = decide(world.config, world.observe())
    assert again.actions == ()
    assert again.ledger == world.ledger


@settings(max_examples=60)
@given(worlds())
def test_law_10_whatever_its_past_a_host_comes_to_rest(world: World) -> None:
    """Within ten minutes of peace no tick has anything to do but follow the pilots' lives."""
    world.run(900.0, every=10.0)
    since = world.now
    world.run(60.0, every=10.0)
    restless = [e for e in world.happened if e.at >= since and isinstance(e.action, Pause | Resume)]
    assert restless == []


# --- 11. explains --------------------------------------------------------------------------------

# Reasons that have no numbers to tell.
WITHOUT_NUMBERS = re.compile(
    r"counted before|does not tell how|drained by|the configuration is bad|not signalled yet"
)


@settings(max_examples=60)
@given(configs(), observations())
@example(
    make_config(make_type(fizzle=5.0)),
    make_observation(
        make_pilot(0, state=PilotState.PAUSED, age=60.0),
        make_pilot(1, age=90000.0),
        host=make_host(ncpus=2, owner=1.0, pilots_cores=0.0),
        ledger=Ledger(backoffs={"default": Backoff(NOW - 100, 30.0, "failed")}),
    ),
)
def test_law_11_every_action_and_veto_has_its_reason_with_numbers_and_no_veto_ends_in_the_past(
    config: Config, observation: Observation
) -> None:
    plan = decide(config, observation)
    for reason in (entry.reason for entry in (*plan.actions, *plan.vetoes)):
        assert reason.strip() == reason
        assert re.search(r"\d", reason) or WITHOUT_NUMBERS.search(reason), reason
        assert "\n" not in reason
    for veto in plan.vetoes:
        assert veto.name
        assert veto.until is None or observation.taken_at <= veto.until < float("inf"), veto


@settings(max_examples=60)
@given(configs(), observations())
def test_law_11_a_type_that_is_not_spawned_any_more_has_a_veto(
    config: Config, observation: Observation
) -> None:
    plan = decide(config, observation)
    vetoed = {veto.type for veto in plan.vetoes}
    assert None in vetoed or {pilot_type.name for pilot_type in config.pilots} <= vetoed
    assert len({(veto.name, veto.type) for veto in plan.vetoes}) == len(plan.vetoes)


def test_law_11_all_vetoes_are_told_not_the_first() -> None:
    ledger = Ledger(
        drain=Drain("root", NOW - 5, "kernel"),
        last_reclaim_at=NOW - 5,
        paused={"id-0": NOW - 5},
        backoffs={"alpha": Backoff(NOW + 7, 30.0, "no-work")},
    )
    config = make_config(
        make_type("alpha", max_live=1),
        make_type("beta", share=0.0),
        max_pilots=1,
        reserve_memory=0,
    )
    observation = make_observation(
        make_pilot(0, type="alpha", state=PilotState.PAUSED),
        host=make_host(ncpus=2, owner=2.0, disk_free=0, available=GIB),
        ledger=ledger,
    )
    # The disk is short, so that the paused pilot is ended and no longer in the way of others.
    vetoes = decide(config, observation).vetoes
    told = Counter((veto.name, veto.type) for veto in vetoes)
    assert set(told) == {
        ("draining", None),
        ("cap", None),
        ("cooldown", None),
        ("disk", None),
        ("backoff", "alpha"),
        ("max", "alpha"),
        ("cpus", "alpha"),
        ("memory", "alpha"),
        ("cpus", "beta"),
        ("memory", "beta"),
        ("share", "beta"),
    }
    until = {(veto.name, veto.type): veto.until for veto in vetoes}
    assert until["backoff", "alpha"] == NOW + 7
    # The disk was given back just now, which starts the cooldown anew.
    assert until["cooldown", None] == NOW + 60
