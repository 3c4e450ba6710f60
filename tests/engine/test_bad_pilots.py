"""Pilots that do not start, do not stop, or die in every way there is."""

import time

import pytest

from plancton_tick.ctl.private_engine import PrivateEngine
from plancton_tick.model import Backoff, Ledger
from tests.engine.ticks import STUBBORN, Events, Node, in_parallel, killed_unwarned, wait_until

DEAD = 200
NEVER_PULLED = "127.0.0.1:1/never/pulled:v1"


def wait_of(node: Node, name: str = "pilot") -> Backoff:
    return node.snapshot().ledger.backoffs[name]


def test_a_missing_image_is_said_once_and_its_type_waits_longer_each_time(node: Node) -> None:
    node.configure(
        {"name": "bad", "image": NEVER_PULLED, "backoff": "30s", "backoff_max": "100s"},
        host={"max_pilots": 1},
    )
    first = node.tick()
    assert first.code == 75
    assert len(first.lines) == 1
    assert "no bad pilot" in first.err
    assert NEVER_PULLED in first.err
    assert node.tick().has_done(0, "")
    later = 0.0
    for step in (30, 60, 100, 100):
        assert wait_of(node, "bad").step_seconds == step
        assert node.tick(later=later + step - 10).has_done(0, "")
        later += step + 1
        again = node.tick(later=later)
        assert (again.code, len(again.lines)) == (75, 1)
    assert node.states() == {}
    assert node.counts() == {}


def test_a_type_that_cannot_start_leaves_the_host_to_the_others(node: Node) -> None:
    node.configure({"name": "bad", "image": NEVER_PULLED}, {"name": "good"})
    first = node.tick()
    assert first.code == 75
    assert node.tick().has_done(1, "spawned good")
    assert sorted(node.states().values()) == ["running", "running"]


def test_a_command_that_does_not_exist_fails_and_its_type_waits(node: Node) -> None:
    node.configure({"command": ["/no/such/command"]}, host={"max_pilots": 1})
    assert node.tick().code == 0
    for each in node.containers():
        node.wait_until_exited(each["Id"])
    done = node.tick()
    assert done.has_done(1, "ended, failed: exit code 127")
    assert node.counts() == {"pilot": {"failed": 1}}
    assert wait_of(node).step_seconds == 30
    assert node.tick().has_done(0, "")
    assert node.states() == {}


def test_a_pilot_that_ends_at_once_found_no_work_and_one_canary_comes_after_the_wait(
    node: Node,
) -> None:
    node.configure({"command": ["true"], "fizzle": "30s"}, host={"max_pilots": 3})
    assert node.tick().has_done(3, "spawned")
    for each in node.containers():
        node.wait_until_exited(each["Id"])
    assert node.tick().has_done(3, r"ended, no-work: exit code 0 after \d+ s, sooner than fizzle")
    # All three belong to the same trouble: one wait, not three.
    assert wait_of(node).step_seconds == 30
    assert node.tick().has_done(0, "")
    assert node.tick(later=31).has_done(1, "spawned pilot in slot 0: .*, canary after no-work")
    (canary,) = node.containers()
    node.wait_until_exited(canary["Id"])
    assert node.tick(later=33).has_done(1, "ended, no-work")
    assert wait_of(node).step_seconds == 60
    assert node.counts() == {"pilot": {"no-work": 4}}
    # A canary that lives longer than fizzle ends the waiting.
    node.configure({"fizzle": "30s"}, host={"max_pilots": 3})
    assert node.tick(later=95).has_done(1, "spawned .* canary after no-work")
    assert node.tick(later=100).has_done(0, "")
    assert node.tick(later=130).has_done(2, "spawned")
    assert node.snapshot().ledger.backoffs == {}


def test_a_pilot_that_ignores_sigterm_is_removed_after_its_grace_and_not_before(
    node: Node,
) -> None:
    node.configure({"stop_grace": "20s"}, spawn={"per_tick": 0})
    with Events(node.rest, node.instance) as events:
        node.make_expired(0, STUBBORN)
        assert node.tick().has_done(1, "terminating .*, expired")
        assert node.tick().has_done(0, "")
        assert node.tick(later=15).has_done(0, "")
        assert node.states() == {f"{node.instance}-0": "running"}
        assert node.tick(later=21).has_done(
            1, "ended, expired: still alive 2. s after SIGTERM, grace 20 s"
        )
        told = events.of_all()
    assert node.counts() == {"pilot": {"expired": 1}}
    assert killed_unwarned(told) == []
    assert [event.signal for event in told if event.action == "kill"] == ["15", "9"]


def test_a_pilot_that_is_told_to_end_twice_by_two_causes_counts_as_the_first(node: Node) -> None:
    """Reclaimed first; then its lifetime is over too while it does not go."""
    node.configure(
        {"lifetime": "1min"},
        host=node.room_for(1),
        spawn={"per_tick": 0},
        reclaim={"action": "stop"},
    )
    node.make(0, STUBBORN, age=50)
    node.make(1, age=55)
    assert node.tick().has_done(1, f"terminating {node.instance}-0 .*, reclaimed")
    assert node.tick(later=31).has_done(2, "ended, reclaimed|terminating .*-1 .*, expired")
    assert node.counts() == {"pilot": {"reclaimed": 1}}


def test_a_pilot_killed_for_want_of_memory_has_failed(node: Node) -> None:
    node.configure({"command": ["tail", "/dev/zero"], "memory": "16M"}, host={"max_pilots": 1})
    assert node.tick().has_done(1, "spawned")
    (pilot,) = node.containers()
    node.wait_until_exited(pilot["Id"])
    assert node.tick().has_done(1, "ended, failed: exit code 137.*out of memory")
    assert node.counts() == {"pilot": {"failed": 1}}
    assert wait_of(node).why == "failed"


def test_200_dead_pilots_are_counted_once_each_and_removed_in_one_tick(node: Node) -> None:
    node.configure(host={"max_pilots": DEAD}, spawn={"per_tick": 0})
    in_parallel(lambda slot: node.make(slot, ["true"]), range(DEAD), 16)
    wait_until(lambda: set(node.states().values()) == {"exited"}, patience=60)
    done = node.tick()
    assert done.has_done(DEAD, "ended, done: exit code 0")
    assert done.seconds < 60
    assert node.states() == {}
    assert node.counts() == {"pilot": {"done": DEAD}}
    # The ids are remembered for a while, in a ledger that an engine still takes.
    assert len(node.snapshot().ledger.counted) == DEAD
    assert node.tick().has_done(0, "")
    # With the next change they are forgotten.
    node.make_exited(0, 0)
    assert node.tick(later=200).has_done(1, "ended, done")
    assert len(node.snapshot().ledger.counted) == 1
    assert node.counts() == {"pilot": {"done": DEAD + 1}}


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({}, {0: "done", 75: "no-work", 69: "unreachable", 1: "failed", 143: "failed"}),
        (
            {"done": [0, 99], "no_work": [3], "unreachable": [143]},
            {0: "done", 99: "done", 3: "no-work", 143: "unreachable", 75: "failed"},
        ),
    ],
    ids=["usual", "mapped"],
)
def test_a_pilot_tells_by_its_exit_code_how_it_ended(
    node: Node, mapping: dict[str, list[int]], expected: dict[int, str]
) -> None:
    node.configure(
        *({"name": f"code-{code}", "exit_codes": mapping} for code in expected),
        spawn={"per_tick": 0},
    )
    codes = list(expected)
    in_parallel(
        lambda slot: node.make_exited(slot, codes[slot], of_type=f"code-{codes[slot]}"),
        range(len(codes)),
    )
    done = node.tick()
    assert done.code == 0
    assert node.counts() == {f"code-{code}": {how: 1} for code, how in expected.items()}
    waiting = {name: wait.why for name, wait in node.snapshot().ledger.backoffs.items()}
    assert waiting == {f"code-{code}": how for code, how in expected.items() if how != "done"}


def test_pilots_that_died_with_their_engine_are_counted_once_and_replaced(
    node: Node, private_engine: PrivateEngine
) -> None:
    # An engine that is stopped tells 255 of a pilot whose end it did not see.
    node.configure({"exit_codes": {"done": [0, 137, 143, 255]}})
    assert node.tick().has_done(2, "spawned")
    private_engine.restart()
    assert node.tick().has_done(4, "ended, done|spawned")
    assert node.counts() == {"pilot": {"done": 2}}
    assert list(node.states().values()) == ["running", "running"]


def test_a_leftover_that_never_started_is_removed_and_not_counted(node: Node) -> None:
    node.write_ledger(Ledger(counts={"pilot": {"done": 1}}))
    node.make(0, start=False, age=100)
    node.make(1, start=False, age=0)
    assert node.tick().has_done(2, "removed .*-0 .*never started|spawned pilot in slot 0")
    begin = time.monotonic()
    assert node.tick(later=62).has_done(2, "removed .*-1 .*never started|spawned pilot in slot 1")
    assert time.monotonic() - begin < 60
    assert node.counts() == {"pilot": {"done": 1}}
