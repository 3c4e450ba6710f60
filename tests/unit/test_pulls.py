"""When images are asked for, and what an answer changes."""

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plancton_tick.decide import decide
from plancton_tick.engine import PULL_SECONDS, PULL_SILENCE_SECONDS
from plancton_tick.ledger_json import dump, parse, rebase
from plancton_tick.model import (
    Ask,
    Backoff,
    Config,
    Drain,
    HostClock,
    Ledger,
    Observation,
    Pull,
    PullState,
    Spawn,
)
from plancton_tick.outcome import IMAGE_MISSING, after_failed_spawn
from plancton_tick.pulling import (
    LONGEST_WAIT_SECONDS,
    PULLING_SECONDS,
    after_failed_pull,
    after_pull,
    before_pull,
    due_at,
    images_of,
    stretch,
    wait_after,
)
from tests.worlds import (
    GIB,
    NOW,
    configs,
    make_config,
    make_host,
    make_observation,
    make_type,
    observations,
)

HOUR = 3600.0
INFINITY = float("inf")
SEEN, ASKED, PULLING, PULLED, FAILED = PullState
MISSING = {"default": Backoff(NOW + 25, 30.0, IMAGE_MISSING)}


def asks_of(config: Config, observation: Observation) -> list[str]:
    return [a.image for a in decide(config, observation).actions if isinstance(a, Ask)]


def observe(ledger: Ledger, *, now: float = NOW, **settings: float | bool) -> Observation:
    seen = make_observation(ledger=ledger, now=now, can_ask=True)
    return seen._replace(node="wn1", **settings)  # type: ignore[arg-type]  # fields of it


@pytest.mark.parametrize(
    ("pull", "every", "is_missing", "wait"),
    [
        pytest.param(Pull(SEEN, NOW), HOUR, False, HOUR, id="first seen: after pull"),
        pytest.param(Pull(SEEN, NOW), HOUR, True, 0, id="never pulled and missing: at once"),
        pytest.param(Pull(SEEN, NOW), INFINITY, True, 0, id="missing: at once, infinity or not"),
        pytest.param(Pull(SEEN, NOW), INFINITY, False, INFINITY, id="infinity: never"),
        pytest.param(Pull(PULLED, NOW), HOUR, False, HOUR, id="pulled: after pull"),
        pytest.param(Pull(PULLED, NOW), INFINITY, False, INFINITY, id="pulled, infinity: never"),
        pytest.param(Pull(PULLED, NOW), HOUR, True, 30, id="pulled and missing again: soon"),
        pytest.param(Pull(FAILED, NOW, 1), HOUR, False, 30, id="failed once: soon"),
        pytest.param(Pull(FAILED, NOW, 3), HOUR, True, 120, id="failed three times: later"),
        pytest.param(Pull(FAILED, NOW, 99), HOUR, True, HOUR, id="failed always: each hour"),
        pytest.param(Pull(FAILED, NOW, 10**9), 1.0, True, HOUR, id="failed for years: each hour"),
        pytest.param(Pull(ASKED, NOW), HOUR, True, 120, id="asked: time to take it up"),
        pytest.param(Pull(PULLING, NOW), HOUR, True, 2400, id="pulling: time to pull"),
        pytest.param(Pull(ASKED, NOW, 7), HOUR, True, 1920, id="asked in vain: ever later"),
        pytest.param(Pull(ASKED, NOW, 9), HOUR, True, HOUR, id="asked in vain: at most an hour"),
    ],
)
def test_an_image_is_due(pull: Pull, every: float, is_missing: bool, wait: float) -> None:
    due = due_at(pull, every, is_missing=is_missing, stretch=1.0, booted_at=0.0)
    assert due - NOW == wait


def test_what_was_asked_for_before_the_host_restarted_is_lost_and_asked_for_again() -> None:
    for state in (ASKED, PULLING):
        pull = Pull(state, NOW - 60)
        assert due_at(pull, HOUR, is_missing=True, stretch=1.0, booted_at=NOW - 30) <= NOW
        assert due_at(pull, HOUR, is_missing=True, stretch=1.0, booted_at=NOW - 90) > NOW


def test_a_pull_may_take_no_longer_than_it_is_waited_for() -> None:
    assert PULL_SECONDS + PULL_SILENCE_SECONDS < PULLING_SECONDS


@given(st.integers(1, 10**6))
def test_the_wait_doubles_up_to_an_hour(failures: int) -> None:
    assert wait_after(1) == 30.0
    assert wait_after(failures + 1) == min(2 * wait_after(failures), LONGEST_WAIT_SECONDS)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_host_stretches_the_time_by_a_tenth_at_most_and_always_the_same(
    node: str, image: str
) -> None:
    assert 0.9 <= stretch(node, image) <= 1.1
    assert stretch(node, image) == stretch(node, image)


@pytest.mark.parametrize("form", ["wn%d", "node%03d.example.org", "%d"])
def test_a_fleet_spreads_evenly_over_the_fifth(form: str) -> None:
    tenths = [0] * 10
    for number in range(1000):
        tenths[min(9, int((stretch(form % number, "site/pilot:1") - 0.9) * 50))] += 1
    assert min(tenths) > 60
    assert max(tenths) < 150


def test_two_images_on_one_host_are_not_due_together() -> None:
    assert len({stretch("wn1", f"image{number}") for number in range(20)}) == 20


def test_an_image_seen_for_the_first_time_is_noted_once_and_not_asked_for() -> None:
    config = make_config()
    plan = decide(config, observe(Ledger()))
    assert asks_of(config, observe(Ledger())) == []
    assert plan.ledger.pulls == {"busybox": Pull(SEEN, NOW)}
    later = observe(plan.ledger, now=NOW + 5)
    assert decide(config, later).ledger is later.ledger


def test_a_missing_image_is_asked_for_once_and_then_waited_for() -> None:
    config = make_config()
    ledger = Ledger(backoffs=MISSING)
    plan = decide(config, observe(ledger))
    assert asks_of(config, observe(ledger)) == ["busybox"]
    assert plan.ledger.pulls == {"busybox": Pull(ASKED, NOW)}
    for later in (5.0, 20.0, 100.0, 119.0):
        assert asks_of(config, observe(plan.ledger, now=NOW + later)) == []
    again = observe(plan.ledger, now=NOW + 121)
    assert asks_of(config, again) == ["busybox"]
    assert decide(config, again).ledger.pulls["busybox"].failures == 1


def test_an_old_image_is_asked_for_within_a_tenth_of_pull() -> None:
    config = make_config()
    ledger = Ledger(pulls={"busybox": Pull(PULLED, NOW, 0, "sha256:1")})
    assert asks_of(config, observe(ledger, now=NOW + 12 * HOUR * 0.899)) == []
    due = observe(ledger, now=NOW + 12 * HOUR * 1.101)
    assert asks_of(config, due) == ["busybox"]
    assert decide(config, due).ledger.pulls["busybox"].digest == "sha256:1"


@pytest.mark.parametrize(
    "image", ["busybox@sha256:" + 64 * "0", "r.example.org:5000/a/b:1@sha256:" + 64 * "0"]
)
def test_a_name_with_a_digest_is_asked_for_only_if_missing(image: str) -> None:
    config = make_config(make_type(image=image))
    old = Ledger(pulls={image: Pull(PULLED, NOW - 1e6)})
    assert asks_of(config, observe(old)) == []
    assert asks_of(config, observe(old._replace(backoffs=MISSING))) == [image]


def test_types_of_one_image_ask_once_as_often_as_the_most_eager_of_them() -> None:
    often = make_type("often")._replace(pull_seconds=HOUR)
    config = make_config(often, make_type("seldom"))
    ledger = Ledger(pulls={"busybox": Pull(PULLED, NOW - 2 * HOUR)})
    assert asks_of(config, observe(ledger)) == ["busybox"]


def test_a_type_that_is_never_spawned_needs_no_image() -> None:
    config = make_config(make_type("alpha", image="a", share=0.0), make_type("beta", image="b"))
    assert list(images_of(config)) == ["b"]
    assert list(images_of(make_config(make_type(max_live=0)))) == []


def test_an_image_no_longer_configured_is_forgotten() -> None:
    ledger = Ledger(pulls={"gone": Pull(FAILED, NOW, 3)})
    assert list(decide(make_config(), observe(ledger)).ledger.pulls) == ["busybox"]


@pytest.mark.parametrize(
    "why",
    [
        pytest.param({"can_ask": False}, id="there is no folder to ask in"),
        pytest.param({"config_is_bad": True}, id="the configuration is bad"),
        pytest.param({"host": make_host(disk_free=GIB)}, id="the disk is short"),
        pytest.param({"ledger": {"drain": Drain("ann", NOW, "")}}, id="draining"),
    ],
)
def test_nothing_is_asked_for_while(why: dict[str, object]) -> None:
    ledger = Ledger(backoffs=MISSING, pulls={"gone": Pull(PULLED, NOW)})
    changes = why.pop("ledger", {})
    assert isinstance(changes, dict)
    seen = observe(ledger._replace(**changes))._replace(**why)  # type: ignore[arg-type]  # fields
    why["ledger"] = changes
    plan = decide(make_config(), seen)
    assert not any(isinstance(action, Ask) for action in plan.actions)
    assert plan.ledger.pulls == ledger.pulls


def test_a_successful_pull_lets_the_type_spawn_at_once() -> None:
    pilot_type = make_type()
    config = make_config(pilot_type)
    backoffs = after_failed_spawn({}, pilot_type, NOW, IMAGE_MISSING)
    ledger = decide(config, observe(Ledger(backoffs=backoffs))).ledger
    waiting = decide(config, observe(ledger, now=NOW + 5))
    assert waiting.actions == ()
    assert "image missing: waits 30 s" in [veto.reason for veto in waiting.vetoes]
    ledger = after_pull(ledger, "busybox", [pilot_type], "sha256:1", NOW + 6)
    assert ledger.pulls == {"busybox": Pull(PULLED, NOW + 6, 0, "sha256:1")}
    plan = decide(config, observe(ledger, now=NOW + 7))
    assert len(plan.actions) == 4
    assert all(isinstance(action, Spawn) for action in plan.actions)


def test_a_successful_pull_ends_no_wait_of_another_cause_or_of_another_type() -> None:
    waits = {
        "alpha": Backoff(NOW + 9, 30.0, "failed"),
        "beta": Backoff(NOW + 9, 30.0, IMAGE_MISSING),
    }
    ledger = after_pull(Ledger(backoffs=waits), "busybox", [make_type("alpha")], "d", NOW)
    assert ledger.backoffs == waits


def test_a_pull_that_has_begun_keeps_what_is_known() -> None:
    ledger = Ledger(pulls={"busybox": Pull(ASKED, NOW - 9, 2, "d")})
    assert before_pull(ledger, "busybox", NOW).pulls == {"busybox": Pull(PULLING, NOW, 2, "d")}


def test_a_failed_pull_counts_on_and_keeps_the_digest() -> None:
    ledger = Ledger(pulls={"busybox": Pull(ASKED, NOW - 9, 2, "d")})
    ledger = after_failed_pull(ledger, "busybox", NOW)
    assert ledger.pulls == {"busybox": Pull(FAILED, NOW, 3, "d")}
    assert after_failed_pull(Ledger(), "new", NOW).pulls == {"new": Pull(FAILED, NOW, 1)}


def test_pulls_are_kept_in_the_ledger_and_move_with_the_clock() -> None:
    pulls = {
        image: Pull(state, NOW, 2, "d") for image, state in zip("abcde", PullState, strict=True)
    }
    ledger = Ledger(pulls=pulls, clock=HostClock("boot", 1000.0))
    assert parse(dump(ledger, ()))[0] == ledger
    moved = rebase(ledger, HostClock("boot", 1060.0), NOW + 60)
    assert {pull.since for pull in moved.pulls.values()} == {NOW + 60}


@pytest.mark.parametrize(
    "broken",
    ['{"a":1}', '{"a":{"state":"lost","since":1,"failures":0,"digest":""}}', "[]"],
)
def test_pulls_that_make_no_sense_make_the_ledger_unreadable(broken: str) -> None:
    with pytest.raises(ValueError, match="not a readable ledger"):
        parse(f'{{"schema":1,"marks":[],"pulls":{broken}}}')


@settings(max_examples=100)
@given(configs(), observations())
def test_after_asking_nothing_more_is_asked_for(config: Config, observation: Observation) -> None:
    assume(not observation.config_is_bad)
    plan = decide(config, observation)
    again = decide(config, observation._replace(ledger=plan.ledger))
    assert not any(isinstance(action, Ask) for action in again.actions)
    assert again.ledger.pulls == plan.ledger.pulls


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_a_registry_that_comes_back_is_asked_within_the_hour_and_seldom_while_it_is_down(
    seed: int, is_here: bool
) -> None:
    config, chance, now = make_config(), random.Random(seed), NOW
    ledger = Ledger(backoffs={} if is_here else MISSING, pulls={"busybox": Pull(PULLED, NOW - 1e5)})
    asked: list[float] = []
    while now < NOW + 6 * HOUR:
        plan = decide(config, observe(ledger, now=now))
        ledger = plan.ledger
        if any(isinstance(action, Ask) for action in plan.actions):
            asked.append(now)
            ledger = after_failed_pull(ledger, "busybox", now + chance.random() * 5)
        now += 10.0
    assert 9 <= len(asked) <= 14
    assert all(
        later - earlier <= 1.12 * HOUR for earlier, later in zip(asked, asked[1:], strict=False)
    )
