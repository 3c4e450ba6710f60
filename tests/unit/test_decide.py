"""What one tick decides, as tables whose ids read as rules."""

import pytest

from plancton_tick.decide import NEVER, decide
from plancton_tick.ledger_json import rebase
from plancton_tick.model import (
    Action,
    Announce,
    Ask,
    Backoff,
    Drain,
    Ending,
    ExitCodes,
    HostClock,
    Ledger,
    Outcome,
    Pause,
    PilotState,
    Plan,
    Reap,
    ReclaimAction,
    Resume,
    Spawn,
    Stranger,
    Terminate,
)
from tests.worlds import (
    GIB,
    NOW,
    World,
    make_config,
    make_host,
    make_observation,
    make_pilot,
    make_type,
)

PAUSED, CREATED, REMOVING = PilotState.PAUSED, PilotState.CREATED, PilotState.REMOVING
NO_MORE = make_config(max_pilots=0)


def outline(plan: Plan) -> list[tuple[str, int | None]]:
    """Return what a plan does with which slot."""
    return [
        (
            type(action).__name__.lower(),
            action.slot if isinstance(action, Spawn) else action.pilot.slot,
        )
        for action in plan.actions
        if not isinstance(action, Ask)
    ]


def vetoes(plan: Plan) -> set[str]:
    return {veto.name for veto in plan.vetoes}


def outcomes(plan: Plan) -> list[Outcome | None]:
    return [a.outcome for a in plan.actions if isinstance(a, Reap | Terminate)]


# --- the reclaim ladder --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lasted", "expected"),
    [
        pytest.param(None, [], id="an overload that begins now waits"),
        pytest.param(9.9, [], id="one shorter than reclaim.after waits"),
        pytest.param(10.0, [("pause", 2), ("pause", 1)], id="one of reclaim.after is given back"),
        pytest.param(600.0, [("pause", 2), ("pause", 1)], id="a longer one too, and no more"),
    ],
)
def test_an_overload_is_given_back_once_it_has_lasted(
    lasted: float | None, expected: list[tuple[str, int]]
) -> None:
    listed = [make_pilot(slot, age=500.0 - slot) for slot in range(3)]
    host = make_host(ncpus=4, owner=2.0, pilots_cores=2.0)
    ledger = Ledger(overload_since=None if lasted is None else NOW - lasted)
    plan = decide(make_config(), make_observation(*listed, host=host, ledger=ledger))
    assert outline(plan) == expected
    if expected:
        assert plan.ledger.overload_since is None
        assert plan.ledger.last_reclaim_at == NOW
        assert plan.ledger.paused == {"id-1": NOW, "id-2": NOW}
    else:
        assert plan.ledger.overload_since == (NOW if lasted is None else NOW - lasted)
        assert "overload" in vetoes(plan)


@pytest.mark.parametrize(
    ("ncpus", "reserve", "owner", "spawned"),
    [
        pytest.param(2, 1.0, 0.06, 1, id="the smallest host with a reserve runs one"),
        pytest.param(4, 0.0, 0.1, 4, id="a node without a reserve is exactly full"),
        pytest.param(4, 0.0, 0.2, 3, id="what is more than idle costs a whole pilot"),
    ],
)
def test_what_an_idle_system_uses_costs_no_pilot(
    ncpus: int, reserve: float, owner: float, spawned: int
) -> None:
    config = make_config(make_type(memory=0), max_pilots=9, per_tick=9, reserve_cpus=reserve)
    observation = make_observation(host=make_host(ncpus=ncpus, owner=owner))
    actions = decide(config, observation).actions
    assert sum(isinstance(action, Spawn) for action in actions) == spawned


@pytest.mark.parametrize(
    ("owner", "remembered"),
    [
        pytest.param(1.6, False, id="an overload of the tolerance is none"),
        pytest.param(1.7, True, id="one beyond the tolerance is"),
        pytest.param(0.0, False, id="one that is over is forgotten"),
    ],
)
def test_an_overload_is_remembered_only_beyond_the_tolerance(
    owner: float, remembered: bool
) -> None:
    host = make_host(ncpus=4, owner=owner, pilots_cores=2.0)
    observation = make_observation(
        make_pilot(0), make_pilot(1), host=host, ledger=Ledger(overload_since=NOW - 5)
    )
    plan = decide(make_config(max_pilots=2), observation)
    assert (plan.ledger.overload_since is not None) == remembered


@pytest.mark.parametrize(
    ("action", "pause_at_most", "expected"),
    [
        pytest.param(ReclaimAction.PAUSE, 120.0, Pause, id="pause by default"),
        pytest.param(ReclaimAction.STOP, 120.0, Terminate, id="terminate at once if told to stop"),
        pytest.param(ReclaimAction.PAUSE, 0.0, Terminate, id="no pause that may last no time"),
    ],
)
def test_the_first_step_of_a_reclaim(
    action: ReclaimAction, pause_at_most: float, expected: type[Action]
) -> None:
    config = make_config(action=action, pause_at_most=pause_at_most)
    host = make_host(ncpus=2, owner=2.0, pilots_cores=0.0)
    ledger = Ledger(overload_since=NOW - 60)
    plan = decide(config, make_observation(make_pilot(), host=host, ledger=ledger))
    assert [type(a) for a in plan.actions] == [expected]


@pytest.mark.parametrize(
    ("since", "at_most", "expected"),
    [
        pytest.param(119.0, 120.0, [], id="a pause shorter than pause_at_most goes on"),
        pytest.param(120.0, 120.0, [("terminate", 0)], id="a longer one ends the pilot"),
        pytest.param(None, 120.0, [], id="one made by hand is timed from now"),
        pytest.param(1e9, float("inf"), [], id="one that may last for ever goes on"),
    ],
)
def test_pause_at_most(
    since: float | None, at_most: float, expected: list[tuple[str, int]]
) -> None:
    ledger = Ledger(paused={} if since is None else {"id-0": NOW - since})
    host = make_host(ncpus=2, owner=2.0)
    observation = make_observation(make_pilot(state=PAUSED), host=host, ledger=ledger)
    plan = decide(make_config(pause_at_most=at_most), observation)
    assert outline(plan) == expected
    if expected:
        assert outcomes(plan) == [Outcome.RECLAIMED]
        assert plan.ledger.paused == {}
    elif since is None:
        assert plan.ledger.paused == {"id-0": NOW}
    else:
        assert plan.ledger == observation.ledger
    until = {veto.name: veto.until for veto in plan.vetoes}.get("paused")
    assert until is None or NOW < until < float("inf")


def test_the_whole_ladder_pause_then_terminate_then_remove_after_the_grace() -> None:
    world = World(make_config(max_pilots=1), ncpus=4)
    world.tick()
    world.stubborn = {pilot.id for pilot in world.live()}
    world.owner = 4.0
    happened = []
    for _ in range(40):
        happened += [(world.now - NOW, type(action)) for action in world.tick().actions]
        world.advance(5.0)
    assert happened == [(10.0, Pause), (130.0, Terminate), (165.0, Reap)]
    assert world.ledger.counts == {"default": {Outcome.RECLAIMED: 1}}


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        pytest.param(3.0, [], id="no room, no resume"),
        pytest.param(2.5, [], id="not for half a pilot's room"),
        pytest.param(2.0, [("resume", 1)], id="room for one: the oldest"),
        pytest.param(1.0, [("resume", 1), ("resume", 2)], id="room for two: the two oldest"),
        pytest.param(
            0.0, [("resume", 1), ("resume", 2), ("resume", 0)], id="room for all: oldest first"
        ),
    ],
)
def test_paused_pilots_are_resumed_oldest_first(
    owner: float, expected: list[tuple[str, int]]
) -> None:
    listed = [
        make_pilot(slot, state=PAUSED, age=age) for slot, age in enumerate((100.0, 300.0, 200.0))
    ]
    ledger = Ledger(paused={pilot.id: NOW - 5 for pilot in listed})
    observation = make_observation(*listed, host=make_host(ncpus=4, owner=owner), ledger=ledger)
    plan = decide(make_config(), observation)
    assert outline(plan) == expected
    assert ("paused" in vetoes(plan)) == (len(expected) < 3)


def test_nothing_is_spawned_before_every_paused_pilot_was_resumed() -> None:
    large = make_pilot(0, state=PAUSED, cpus=4.0)
    observation = make_observation(large, host=make_host(ncpus=4))
    plan = decide(make_config(), observation)
    assert outline(plan) == []
    assert "paused" in vetoes(plan)


def test_a_pilot_being_terminated_holds_its_cores_until_it_has_gone() -> None:
    going, waiting = make_pilot(0), make_pilot(1, state=PAUSED)
    ledger = Ledger(
        ending={going.id: Ending(Outcome.EXPIRED, NOW - 5, signalled=True)},
        paused={waiting.id: NOW - 5},
    )
    host = make_host(ncpus=2, pilots_cores=1.0)
    plan = decide(make_config(), make_observation(going, waiting, host=host, ledger=ledger))
    assert outline(plan) == []


def test_a_pilot_resumed_by_us_and_paused_by_hand_gets_its_full_time_again() -> None:
    pilot = make_pilot(state=PAUSED)
    world = World(make_config(), pilots=[pilot], ledger=Ledger(paused={pilot.id: NOW - 100}))
    assert ("resume", 0) in outline(world.tick())
    world.owner = 8.0
    world.advance(300.0)
    world.pilots[pilot.id] = world.pilots[pilot.id]._replace(state=PAUSED)
    assert ("terminate", 0) not in outline(world.tick())
    assert world.ledger.paused[pilot.id] == world.now


# --- endings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited", "signalled", "grace", "expected"),
    [
        pytest.param(29.0, True, 30.0, [], id="within its grace it is left alone"),
        pytest.param(30.0, True, 30.0, [], id="to the last second"),
        pytest.param(31.0, True, 30.0, [("reap", 0)], id="after its grace it is removed"),
        pytest.param(
            31.0, False, 30.0, [("terminate", 0)], id="not signalled: signalled, not removed"
        ),
        pytest.param(1.0, False, 30.0, [("terminate", 0)], id="not signalled: signalled at once"),
        pytest.param(1.0, True, 0.0, [("reap", 0)], id="without grace removed at the next tick"),
    ],
)
@pytest.mark.parametrize("state", [PilotState.RUNNING, PAUSED])
def test_a_pilot_told_to_end(
    waited: float,
    signalled: bool,
    grace: float,
    expected: list[tuple[str, int]],
    state: PilotState,
) -> None:
    ledger = Ledger(
        ending={"id-0": Ending(Outcome.EXPIRED, NOW - waited, signalled)},
        drain=Drain("root", NOW, "test"),
    )
    config = make_config(make_type(stop_grace=grace))
    plan = decide(config, make_observation(make_pilot(state=state), ledger=ledger))
    assert outline(plan) == expected
    assert set(outcomes(plan)) <= {Outcome.EXPIRED}
    if expected == [("reap", 0)]:
        assert plan.ledger.counts == {"default": {Outcome.EXPIRED: 1}}
        assert plan.ledger.counted == {"id-0": NOW}
        assert plan.ledger.ending == {}
    if expected == [("terminate", 0)]:
        assert not plan.ledger.ending["id-0"].signalled


def test_a_pilot_whose_type_is_gone_has_half_a_minute_to_end() -> None:
    pilot = make_pilot(type="forgotten")
    for waited, expected in ((29.0, []), (31.0, [("reap", 0)])):
        ledger = Ledger(ending={pilot.id: Ending(Outcome.DRAINED, NOW - waited, signalled=True)})
        assert outline(decide(NO_MORE, make_observation(pilot, ledger=ledger))) == expected


@pytest.mark.parametrize(
    ("state", "left", "expected"),
    [
        pytest.param(PilotState.RUNNING, 1.0, [], id="with time left it stays"),
        pytest.param(PilotState.RUNNING, 0.0, [("terminate", 0)], id="at its end it is ended"),
        pytest.param(PilotState.RUNNING, None, [], id="without an end it stays"),
        pytest.param(PAUSED, -5.0, [("terminate", 0)], id="a paused one is ended too"),
        pytest.param(CREATED, -5.0, [], id="one not started yet has nothing to signal"),
        pytest.param(REMOVING, -5.0, [], id="one being removed is left to the engine"),
    ],
)
@pytest.mark.parametrize("config_is_bad", [False, True])
def test_lifetimes_end_under_a_bad_configuration_as_well(
    state: PilotState, left: float | None, expected: list[tuple[str, int]], config_is_bad: bool
) -> None:
    pilot = make_pilot(state=state, left=left, age=50.0)
    host = make_host(ncpus=2, owner=1.0)
    ledger = Ledger(paused={"id-0": NOW} if state is PAUSED else {})
    observation = make_observation(pilot, host=host, ledger=ledger, config_is_bad=config_is_bad)
    plan = decide(make_config(max_pilots=0), observation)
    assert outline(plan) == expected
    assert set(outcomes(plan)) <= {Outcome.EXPIRED}


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(59.0, [], id="a young one may still be started"),
        pytest.param(61.0, [("reap", 0)], id="after a minute it is a leftover"),
    ],
)
def test_a_container_created_and_not_started(age: float, expected: list[tuple[str, int]]) -> None:
    plan = decide(NO_MORE, make_observation(make_pilot(state=CREATED, age=age)))
    assert outline(plan) == expected
    assert plan.ledger.counts == {}
    assert set(outcomes(plan)) <= {None}


def test_a_pilot_counted_before_is_removed_and_not_counted_again() -> None:
    for pilot in (make_pilot(code=0), make_pilot()):
        ledger = Ledger(counted={pilot.id: NOW - 500}, counts={"default": {Outcome.DONE: 3}})
        observation = make_observation(pilot, ledger=ledger)
        plan = decide(NO_MORE, observation)
        assert outline(plan) == [("reap", 0)]
        assert plan.ledger == ledger


def test_ids_counted_long_ago_are_forgotten_when_the_ledger_is_written_and_not_before() -> None:
    ledger = Ledger(counted={"old": NOW - 121, "young": NOW - 119})
    assert decide(NO_MORE, make_observation(ledger=ledger)).ledger is ledger
    plan = decide(NO_MORE, make_observation(make_pilot(code=0), ledger=ledger))
    assert set(plan.ledger.counted) == {"id-0", "young"}


# --- how a pilot ended ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ran", "outcome"),
    [
        pytest.param(0, 600.0, Outcome.DONE, id="0 is done"),
        pytest.param(0, 29.0, Outcome.NO_WORK, id="0 sooner than fizzle found no work"),
        pytest.param(0, 30.0, Outcome.DONE, id="0 after fizzle is done"),
        pytest.param(75, 600.0, Outcome.NO_WORK, id="75 is no work"),
        pytest.param(69, 600.0, Outcome.UNREACHABLE, id="69 is unreachable"),
        pytest.param(1, 600.0, Outcome.FAILED, id="anything else failed"),
        pytest.param(137, 600.0, Outcome.FAILED, id="killed by others is failed"),
    ],
)
def test_an_exit_code_tells_the_outcome_and_makes_the_type_wait_unless_done(
    code: int, ran: float, outcome: Outcome
) -> None:
    plan = decide(make_config(), make_observation(make_pilot(code=code, age=ran)))
    assert outcomes(plan)[:1] == [outcome]
    assert plan.ledger.counts == {"default": {outcome: 1}}
    if outcome is Outcome.DONE:
        assert plan.ledger.backoffs == {}
        assert ("spawn", 0) in outline(plan)
    else:
        assert plan.ledger.backoffs == {"default": Backoff(NOW + 30, 30.0, outcome)}
        assert ("spawn", 0) not in outline(plan)
        assert "backoff" in vetoes(plan)


def test_exit_codes_are_those_of_the_pilots_own_type() -> None:
    odd = ExitCodes(done=(3,), no_work=(0, 4), unreachable=(5,))
    config = make_config(make_type("odd", exit_codes=odd), make_type("usual"), max_pilots=0)
    for code, outcome in ((3, "done"), (0, "no-work"), (4, "no-work"), (5, "unreachable")):
        plan = decide(config, make_observation(make_pilot(type="odd", code=code)))
        assert plan.ledger.counts == {"odd": {outcome: 1}}
    plan = decide(config, make_observation(make_pilot(type="usual", code=3)))
    assert plan.ledger.counts == {"usual": {"failed": 1}}


@pytest.mark.parametrize(
    ("spawned_ago", "step"),
    [
        pytest.param(100.0, 60.0, id="one from before the wait changes nothing"),
        pytest.param(5.0, 120.0, id="the canary doubles the wait"),
    ],
)
def test_only_a_canary_doubles_the_wait(spawned_ago: float, step: float) -> None:
    ledger = Ledger(backoffs={"default": Backoff(NOW - 10, 60.0, "no-work")})
    observation = make_observation(make_pilot(code=75, age=spawned_ago), ledger=ledger)
    assert decide(make_config(), observation).ledger.backoffs["default"].step_seconds == step


def test_a_restart_of_the_host_makes_no_type_wait() -> None:
    listed = [make_pilot(slot, code=255, age=600.0) for slot in range(3)]
    observation = make_observation(*listed, booted_at=NOW - 60)
    plan = decide(make_config(), observation)
    assert plan.ledger.backoffs == {}
    assert outline(plan)[:3] == [("reap", 0), ("reap", 1), ("reap", 2)]
    assert sum(isinstance(action, Spawn) for action in plan.actions) == 4


def test_the_wait_of_a_type_that_is_gone_is_forgotten() -> None:
    ledger = Ledger(backoffs={"forgotten": Backoff(NOW + 10, 30.0, "failed")})
    assert decide(make_config(), make_observation(ledger=ledger)).ledger.backoffs == {}


# --- what keeps pilots from being spawned --------------------------------------------------------


def test_draining_spawns_nothing_resumes_what_waits_and_ends_nothing() -> None:
    ledger = Ledger(drain=Drain("root", NOW - 60, "kernel"), paused={"id-1": NOW - 5})
    plan = decide(
        make_config(), make_observation(make_pilot(0), make_pilot(1, state=PAUSED), ledger=ledger)
    )
    assert outline(plan) == [("resume", 1), ("announce", 0), ("announce", 1)]
    assert vetoes(plan) == {"draining"}
    assert "kernel" in plan.vetoes[0].reason


def test_a_drain_is_announced_once_with_the_grace_and_taken_back_once() -> None:
    world = World(
        make_config(make_type(stop_grace=40.0)),
        pilots=[make_pilot(0), make_pilot(1, left=None)],
        ledger=Ledger(drain=Drain("root", NOW - 5, "kernel")),
    )
    assert outline(world.tick()) == [("announce", 0), ("announce", 1)]
    assert world.ledger.announced == {"id-0": NOW + 35, "id-1": NOW + 35}
    assert world.tick().actions == ()
    world.ledger = world.ledger._replace(drain=None)
    told = [each for each in world.tick().actions if isinstance(each, Announce)]
    assert [(each.pilot.slot, each.until) for each in told] == [
        (0, make_pilot(0).expires_at),
        (1, NEVER),
    ]
    assert world.ledger.announced == {}


def test_pilots_that_a_drain_ends_are_told_with_the_signal_and_not_before() -> None:
    ledger = Ledger(drain=Drain("root", NOW - 5, "kernel", ends_pilots=True))
    plan = decide(
        make_config(make_type(stop_grace=40.0)), make_observation(make_pilot(0), ledger=ledger)
    )
    (end,) = plan.actions
    assert isinstance(end, Terminate)
    assert end.gone_by == NOW + 40


@pytest.mark.parametrize(("ago", "waits"), [(0.0, True), (59.0, True), (60.0, False)])
def test_nothing_is_spawned_during_the_cooldown_after_a_reclaim(ago: float, waits: bool) -> None:
    plan = decide(make_config(), make_observation(ledger=Ledger(last_reclaim_at=NOW - ago)))
    assert (plan.actions == ()) == waits
    assert [v.until for v in plan.vetoes if v.name == "cooldown"] == ([NOW - ago + 60] * waits)


@pytest.mark.parametrize(
    ("expression", "spawned"),
    [
        pytest.param((3.0,), 3, id="a number"),
        pytest.param(("ncpus", 2.0, "-"), 6, id="ncpus - 2"),
        pytest.param(("ram_bytes", 16.0 * GIB, "//"), 4, id="memory over what a pilot takes"),
        pytest.param((2.9,), 2, id="a fraction is rounded down"),
        pytest.param((3.0, "neg"), 0, id="a negative number is none"),
        pytest.param((0.0,), 0, id="zero"),
        pytest.param((1.0, 0.0, "/"), 0, id="a division by zero spawns nothing"),
        pytest.param(("ncpus", "swap_bytes", "/"), 0, id="nor does one by a swap of 0"),
    ],
)
def test_max_pilots_is_worked_out_on_the_host(
    expression: tuple[str | float, ...], spawned: int
) -> None:
    config = make_config(max_pilots=expression, reserve_cpus=0, per_tick=99)
    plan = decide(config, make_observation())
    assert len(plan.actions) == spawned
    assert "cap" in vetoes(plan)


@pytest.mark.parametrize(
    ("free", "spawns"),
    [(None, True), (2 * GIB, True), (2 * GIB - 1, False)],
    ids=["unknown is no veto", "the reserve is enough", "a byte less is not"],
)
def test_short_of_disk_nothing_is_spawned(free: int | None, spawns: bool) -> None:
    plan = decide(make_config(), make_observation(host=make_host(disk_free=free)))
    assert bool(plan.actions) == spawns
    assert ("disk" in vetoes(plan)) != spawns


@pytest.mark.parametrize(
    ("available", "used", "spawned"),
    [
        pytest.param(5 * GIB, 2 * GIB, 2, id="what two pilots of 1 GiB may still take is held"),
        pytest.param(5 * GIB, GIB, 1, id="the less they use the more they may still take"),
        pytest.param(5 * GIB, None, 0, id="what is not known to be used may still be taken"),
        pytest.param(5 * GIB, 3 * GIB + 1, 2, id="more than their caps they will not take"),
    ],
)
def test_memory_is_promised_once(available: int, used: int | None, spawned: int) -> None:
    listed = [make_pilot(slot) for slot in range(2)]
    config = make_config(make_type(memory=2 * GIB), per_tick=99)
    listed = [pilot._replace(memory_bytes=GIB + GIB // 2) for pilot in listed]
    host = make_host(available=available, pilots_memory=used)
    plan = decide(config, make_observation(*listed, host=host))
    promised = max(0, 3 * GIB - (used or 0))
    assert len(plan.actions) == max(0, (available - promised - GIB) // (2 * GIB))
    assert len(plan.actions) <= spawned


# --- slots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "cap", "expected"),
    [
        pytest.param([], 2, [0, 1], id="from 0 upwards"),
        pytest.param([0, 2], 4, [1, 3], id="lowest free first"),
        pytest.param([5], 3, [0, 1], id="a slot from a higher cap counts"),
        pytest.param([None], 3, [0, 1], id="one started by hand counts"),
        pytest.param([0, 1], 2, [], id="none beyond the cap"),
    ],
)
def test_the_lowest_free_slot_is_taken_first(
    held: list[int | None], cap: int, expected: list[int]
) -> None:
    listed = [make_pilot(slot) for slot in held]
    plan = decide(make_config(max_pilots=cap, per_tick=99), make_observation(*listed))
    assert outline(plan) == [("spawn", slot) for slot in expected]


@pytest.mark.parametrize(
    ("seen_ago", "expected"),
    [
        pytest.param(5.0, [0, 2, 3], id="its number is left out and numbering goes one further"),
        pytest.param(3599.0, [0, 2, 3], id="for an hour"),
        pytest.param(3601.0, [0, 1, 2], id="then it is looked at again"),
    ],
)
def test_a_strangers_slot(seen_ago: float, expected: list[int]) -> None:
    ledger = Ledger(strangers={"1": Stranger("f00", NOW - seen_ago)})
    plan = decide(make_config(max_pilots=3), make_observation(ledger=ledger))
    assert outline(plan) == [("spawn", slot) for slot in expected]


def test_the_slot_of_a_pilot_reaped_now_is_free_and_of_one_being_removed_not() -> None:
    listed = [make_pilot(0, code=0), make_pilot(1, state=REMOVING)]
    plan = decide(make_config(max_pilots=3), make_observation(*listed))
    assert outline(plan) == [("reap", 0), ("spawn", 0), ("spawn", 2)]
    assert "slots" in vetoes(plan)


def test_paused_terminating_and_created_pilots_count_against_the_cap() -> None:
    listed = [
        make_pilot(0, state=PAUSED),
        make_pilot(1),
        make_pilot(2, state=CREATED, age=1.0),
        make_pilot(3, state=REMOVING),
    ]
    ledger = Ledger(ending={"id-1": Ending(Outcome.EXPIRED, NOW - 1, signalled=True)})
    plan = decide(make_config(max_pilots=4, per_tick=9), make_observation(*listed, ledger=ledger))
    assert [name for name, _ in outline(plan)] == ["resume"]
    assert "slots" in vetoes(plan)
    plan = decide(make_config(max_pilots=3), make_observation(*listed, ledger=ledger))
    assert "cap" in vetoes(plan)


@pytest.mark.parametrize("per_tick", [0, 1, 3])
def test_no_more_than_per_tick_are_spawned_and_the_next_tick_goes_on(per_tick: int) -> None:
    world = World(make_config(per_tick=per_tick))
    assert len(world.tick().actions) == per_tick
    plan = world.tick()
    assert len(plan.actions) == per_tick
    assert [v.until for v in plan.vetoes if v.name == "per-tick"] == [NOW]


# --- a clock that was stepped --------------------------------------------------------------------

BOOT = HostClock("boot", 1000.0)


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forwards", "back"])
@pytest.mark.parametrize("same_boot", [True, False], ids=["running on", "rebooted"])
def test_an_hours_step_of_the_clock_shortens_and_lengthens_nothing(
    step: float, same_boot: bool
) -> None:
    ledger = Ledger(
        clock=BOOT,
        drain=Drain("root", NOW - 7, "test"),
        overload_since=NOW - 8,
        last_reclaim_at=NOW - 9,
        paused={"p": NOW - 10},
        ending={"e": Ending(Outcome.EXPIRED, NOW - 11, signalled=True)},
        backoffs={"t": Backoff(NOW + 12, 30.0, "failed")},
        counted={"c": NOW - 13},
        strangers={"1": Stranger("f00", NOW - 14)},
        told={"volume x": NOW - 15},
    )
    now = NOW + step
    clock = HostClock("boot" if same_boot else "other", BOOT.offset_seconds + step)
    after = rebase(ledger, clock, now)
    assert after.clock == clock
    assert after.drain is not None
    assert after.overload_since is not None
    assert after.last_reclaim_at is not None
    past = {
        7: after.drain.at,
        8: after.overload_since,
        9: after.last_reclaim_at,
        10: after.paused["p"],
        11: after.ending["e"].since,
        13: after.counted["c"],
        14: after.strangers["1"].seen_at,
        15: after.told["volume x"],
    }
    ages = {expected: now - instant for expected, instant in past.items()}
    wait = after.backoffs["t"].until - now
    if same_boot:
        assert ages == {expected: expected for expected in ages}
        assert wait == 12
    else:
        assert all(age >= 0 for age in ages.values())
        assert wait <= 30
    assert rebase(after, clock, now) is after


@pytest.mark.parametrize(
    "clock",
    [BOOT, HostClock("boot", 1000.0 + 1.9), HostClock("boot", 1000.0 - 1.9)],
    ids=["no step", "drift forwards", "drift back"],
)
def test_drift_is_no_step_and_writes_nothing(clock: HostClock) -> None:
    ledger = Ledger(clock=BOOT, overload_since=NOW - 5)
    assert rebase(ledger, clock, NOW) is ledger


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forwards", "back"])
def test_after_a_step_of_the_clock_a_host_goes_on_as_it_was(step: float) -> None:
    """The overload of 8 s is given back 2 s later, and no pilot is ended for its grace."""
    listed = [make_pilot(0, now=NOW), make_pilot(1, now=NOW, age=500.0)]
    ledger = rebase(
        Ledger(
            clock=BOOT,
            overload_since=NOW - 8,
            ending={"id-0": Ending(Outcome.EXPIRED, NOW - 11, signalled=True)},
        ),
        HostClock("boot", BOOT.offset_seconds + step),
        NOW + step,
    )
    host = make_host(ncpus=2, owner=2.0, pilots_cores=0.0)
    soon = make_observation(*listed, host=host, ledger=ledger, now=NOW + step + 1)
    assert outline(decide(make_config(), soon)) == []
    later = soon._replace(taken_at=NOW + step + 2)
    assert outline(decide(make_config(), later)) == [("pause", 1)]


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(-5.0, [], id="a little ahead of the clock it is left alone"),
        pytest.param(-3600.0, [("reap", 0)], id="an hour ahead the clock was set back: a leftover"),
    ],
)
def test_a_created_container_from_before_the_clock_was_set_back(
    age: float, expected: list[tuple[str, int]]
) -> None:
    """It would hold its slot for an hour and a minute."""
    plan = decide(NO_MORE, make_observation(make_pilot(state=CREATED, age=age)))
    assert outline(plan) == expected


def test_resume_and_pause_of_one_tick_never_name_the_same_pilot() -> None:
    """A large running pilot makes way; what is left of its cores goes to a small paused one."""
    small, large = make_pilot(0, state=PAUSED, cpus=0.5), make_pilot(1, cpus=4.0, age=5.0)
    ledger = Ledger(overload_since=NOW - 10, paused={"id-0": NOW - 5})
    host = make_host(ncpus=8, owner=4.0, pilots_cores=4.0)
    plan = decide(make_config(), make_observation(small, large, host=host, ledger=ledger))
    assert [(type(a), a.pilot.slot) for a in plan.actions if isinstance(a, Pause | Resume)] == [
        (Pause, 1),
        (Resume, 0),
    ]
