"""How a pilot ended and what its type waits for it."""

import pytest

from plancton_tick.model import Backoff, Ending, ExitCodes, Outcome, Pilot, PilotState, PilotType
from plancton_tick.outcome import (
    after_exit,
    after_failed_spawn,
    after_survival,
    is_canary,
    judge,
    lengthen,
)
from tests.worlds import GIB, NOW, make_pilot, make_type

TYPE = make_type(fizzle=30.0, backoff=30.0, backoff_max=100.0)
MAPPED = make_type(exit_codes=ExitCodes(done=(3, 4), no_work=(0,), unreachable=()))
WAIT = Backoff(NOW - 50, 30.0, "no-work")


@pytest.mark.parametrize(
    ("pilot", "pilot_type", "outcome"),
    [
        pytest.param(make_pilot(code=0), TYPE, Outcome.DONE, id="0 is done"),
        pytest.param(make_pilot(code=75), TYPE, Outcome.NO_WORK, id="75 found no work"),
        pytest.param(make_pilot(code=69), TYPE, Outcome.UNREACHABLE, id="69 found no pool"),
        pytest.param(make_pilot(code=1), TYPE, Outcome.FAILED, id="1 failed"),
        pytest.param(make_pilot(code=127), TYPE, Outcome.FAILED, id="127 failed"),
        pytest.param(make_pilot(code=143), TYPE, Outcome.FAILED, id="SIGTERM of others is failed"),
        pytest.param(make_pilot(code=0, ran=29.9), TYPE, Outcome.NO_WORK, id="a fizzle"),
        pytest.param(make_pilot(code=0, ran=30.0), TYPE, Outcome.DONE, id="no fizzle any more"),
        pytest.param(make_pilot(code=75, ran=0.0), TYPE, Outcome.NO_WORK, id="75 fizzles as 75"),
        pytest.param(make_pilot(code=1, ran=0.0), TYPE, Outcome.FAILED, id="1 fizzles as failed"),
        pytest.param(make_pilot(code=3), MAPPED, Outcome.DONE, id="a mapped code"),
        pytest.param(make_pilot(code=0), MAPPED, Outcome.NO_WORK, id="0 mapped to no work"),
        pytest.param(make_pilot(code=69), MAPPED, Outcome.FAILED, id="69 mapped to nothing"),
        pytest.param(make_pilot(code=3, ran=1.0), MAPPED, Outcome.NO_WORK, id="a mapped fizzle"),
        pytest.param(make_pilot(code=0, ran=0.0), None, Outcome.DONE, id="no type, no fizzle"),
        pytest.param(make_pilot(code=75), None, Outcome.NO_WORK, id="no type, usual codes"),
        pytest.param(make_pilot(code=137, oom=True), TYPE, Outcome.FAILED, id="out of memory"),
        pytest.param(make_pilot(code=0, oom=True), TYPE, Outcome.DONE, id="a child's, and done"),
        pytest.param(
            make_pilot(state=PilotState.EXITED), TYPE, Outcome.FAILED, id="no news is bad news"
        ),
    ],
)
def test_a_pilot_tells_by_its_exit_code(
    pilot: Pilot, pilot_type: PilotType | None, outcome: Outcome
) -> None:
    how, reason = judge(pilot, pilot_type, None)
    assert how is outcome
    assert reason
    if pilot.exit is not None:
        assert f"exit code {pilot.exit.code}" in reason


@pytest.mark.parametrize("code", [0, 1, 75, 137, 143])
@pytest.mark.parametrize("outcome", [Outcome.RECLAIMED, Outcome.EXPIRED, Outcome.DRAINED])
def test_whom_we_ended_counts_as_what_we_did(code: int, outcome: Outcome) -> None:
    how, reason = judge(make_pilot(code=code), TYPE, Ending(outcome, NOW - 5, signalled=True))
    assert how is outcome
    assert "ended by us" in reason


def test_a_time_that_is_not_known_is_no_fizzle() -> None:
    pilot = make_pilot(code=0)
    assert pilot.exit is not None
    pilot = pilot._replace(exit=pilot.exit._replace(ran_seconds=None))
    assert judge(pilot, TYPE, None) == (Outcome.DONE, "exit code 0")


def test_reasons_tell_what_the_operator_needs() -> None:
    assert "sooner than fizzle (30 s)" in judge(make_pilot(code=0, ran=2.0), TYPE, None)[1]
    out_of_memory = judge(make_pilot(code=137, oom=True, memory=5 * GIB // 4), TYPE, None)[1]
    assert "out of memory (1.25 GiB)" in out_of_memory
    assert "not by us" in judge(make_pilot(code=137), TYPE, None)[1]
    assert "after 600 s" in judge(make_pilot(code=1), TYPE, None)[1]


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(50.1, False, id="spawned before the wait ended"),
        pytest.param(50.0, True, id="spawned just as it ended"),
        pytest.param(0.0, True, id="spawned now"),
        pytest.param(-1.0, False, id="spawned in the future: the clock was set back"),
    ],
)
def test_a_canary_is_spawned_after_the_wait(age: float, expected: bool) -> None:
    assert is_canary(make_pilot(age=age), WAIT, NOW) == expected


def test_waits_double_up_to_the_longest() -> None:
    steps = []
    wait = None
    for _ in range(5):
        wait = lengthen(wait, TYPE, "failed", NOW)
        steps.append(wait.step_seconds)
        assert wait.until == NOW + wait.step_seconds
    assert steps == [30.0, 60.0, 100.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("wait", "age", "outcome", "step"),
    [
        pytest.param(None, 600.0, Outcome.NO_WORK, 30.0, id="the first waits"),
        pytest.param(None, 600.0, Outcome.UNREACHABLE, 30.0, id="without a pool as well"),
        pytest.param(None, 600.0, Outcome.FAILED, 30.0, id="or failed"),
        pytest.param(None, 600.0, Outcome.DONE, None, id="done waits for nothing"),
        pytest.param(None, 600.0, Outcome.RECLAIMED, None, id="nor does what we ended"),
        pytest.param(WAIT, 600.0, Outcome.FAILED, 30.0, id="an older pilot doubles nothing"),
        pytest.param(WAIT, 600.0, Outcome.DONE, 30.0, id="and clears nothing"),
        pytest.param(WAIT, 10.0, Outcome.FAILED, 60.0, id="the canary doubles"),
        pytest.param(WAIT, 10.0, Outcome.DONE, None, id="or clears"),
        pytest.param(WAIT, 10.0, Outcome.EXPIRED, 30.0, id="or is ended by us, and neutral"),
    ],
)
def test_what_a_type_waits_after_a_pilot(
    wait: Backoff | None, age: float, outcome: Outcome, step: float | None
) -> None:
    before = {} if wait is None else {"default": wait}
    after = after_exit(before, make_pilot(code=0, age=age), TYPE, outcome, NOW)
    assert (after["default"].step_seconds if after else None) == step
    if after == before:
        assert after is before


@pytest.mark.parametrize(
    ("wait", "step"),
    [
        pytest.param(None, 30.0, id="the first failed spawn waits"),
        pytest.param(Backoff(NOW + 1, 30.0, "x"), 30.0, id="others of the same tick add nothing"),
        pytest.param(WAIT, 60.0, id="the next one doubles"),
    ],
)
def test_what_a_type_waits_after_a_failed_spawn(wait: Backoff | None, step: float) -> None:
    before = {} if wait is None else {"default": wait}
    assert after_failed_spawn(before, TYPE, NOW)["default"].step_seconds == step


@pytest.mark.parametrize(
    ("pilot", "cleared"),
    [
        pytest.param(make_pilot(age=31.0), True, id="a canary past fizzle clears"),
        pytest.param(make_pilot(age=29.0), False, id="a younger one not yet"),
        pytest.param(make_pilot(age=51.0), False, id="one that is no canary does not"),
        pytest.param(make_pilot(age=31.0, type="other"), False, id="nor one of another type"),
        pytest.param(make_pilot(age=31.0, state=PilotState.PAUSED), False, id="nor a paused one"),
        pytest.param(make_pilot(age=31.0, code=0), False, id="nor one that has exited"),
    ],
)
def test_who_lives_long_enough_clears_the_wait(pilot: Pilot, cleared: bool) -> None:
    after = after_survival({"default": WAIT}, (pilot,), {"default": TYPE}, NOW)
    assert (after == {}) == cleared


def test_a_wait_of_a_type_nobody_knows_is_left_alone() -> None:
    before = {"gone": WAIT}
    assert after_survival(before, (make_pilot(type="gone", age=31.0),), {}, NOW) is before
