"""The wall clock steps by an hour between two ticks: what lasted ten seconds still has."""

import pytest

from plancton_tick.model import Drain, Ledger
from tests.engine.ticks import STUBBORN, Events, Node, killed_unwarned

HOUR = 3600.0
both_ways = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forwards", "back"])


@both_ways
def test_quiet_ticks_stay_quiet(node: Node, jump: float) -> None:
    assert node.tick().has_done(2, "spawned")
    before = node.live()
    assert node.tick(jump=jump).has_done(0, "")
    assert node.tick().has_done(0, "")
    assert node.tick(jump=jump, later=10).has_done(0, "")
    assert node.live() == before


@both_ways
def test_a_pilot_being_ended_keeps_its_grace_and_gets_no_more(node: Node, jump: float) -> None:
    node.configure({"stop_grace": "30s"}, spawn={"per_tick": 0})
    with Events(node.rest, node.instance) as events:
        node.make_expired(0, STUBBORN)
        assert node.tick().has_done(1, "terminating .*, expired")
        assert node.tick(jump=jump, later=20).has_done(0, "")
        assert node.tick(jump=jump, later=31).has_done(1, "ended, expired: still alive 3. s")
        assert killed_unwarned(events.of_all()) == []
    assert node.counts() == {"pilot": {"expired": 1}}


@both_ways
def test_a_pause_lasts_as_long_as_it_would_have(node: Node, jump: float) -> None:
    node.configure(host=node.room_for(1), reclaim={"pause_at_most": "2min"})
    node.make(0, age=30)
    node.make(1, age=20)
    assert node.tick().has_done(1, f"paused {node.instance}-1")
    assert node.tick(jump=jump, later=100).has_done(0, "")
    assert node.states()[f"{node.instance}-1"] == "paused"
    assert node.tick(jump=jump, later=121).has_done(
        1, "terminating .*, reclaimed: paused for 12. s"
    )


@both_ways
def test_a_type_waits_as_long_as_it_would_have(node: Node, jump: float) -> None:
    node.configure({"command": ["sh", "-c", "exit 75"]}, host={"max_pilots": 1})
    node.make_exited(0, 75)
    assert node.tick().has_done(1, "ended, no-work")
    assert node.tick(jump=jump, later=25).has_done(0, "")
    assert node.tick(jump=jump, later=31).has_done(1, "spawned .*canary after no-work")
    (canary,) = node.containers()
    node.wait_until_exited(canary["Id"])
    assert node.tick(jump=jump, later=33).has_done(1, "ended, no-work")
    assert node.snapshot().ledger.backoffs["pilot"].step_seconds == 60
    assert node.counts() == {"pilot": {"no-work": 2}}


@both_ways
def test_an_overload_is_given_back_after_as_long_as_it_would_have_been(
    node: Node, jump: float
) -> None:
    node.configure(host=node.room_for(1), reclaim={"after": "20s"})
    node.make(0, age=30)
    node.make(1, age=20)
    assert node.tick().has_done(0, "")
    assert node.tick(jump=jump, later=10).has_done(0, "")
    assert node.tick(jump=jump, later=21).has_done(1, "paused .* too many for 2. s")


@both_ways
def test_the_cooldown_after_a_reclaim_lasts_as_long_as_it_would_have(
    node: Node, jump: float
) -> None:
    reclaim = {"action": "stop"}
    node.configure(host=node.room_for(1), spawn={"cooldown": "60s"}, reclaim=reclaim)
    node.make(0, age=30)
    youngest = node.make(1, age=20)
    assert node.tick().has_done(1, "terminating .*, reclaimed")
    node.wait_until_exited(youngest)
    node.configure(spawn={"cooldown": "60s"}, reclaim=reclaim)
    assert node.tick(jump=jump, later=40).has_done(1, "ended, reclaimed")
    assert node.tick(jump=jump, later=55).has_done(0, "")
    assert node.tick(jump=jump, later=62).has_done(1, "spawned")


@both_ways
def test_pilots_are_counted_once_and_the_cap_holds(node: Node, jump: float) -> None:
    node.make_exited(0, 0)
    node.make(1)
    assert node.tick().has_done(2, "ended, done|spawned pilot in slot 0")
    assert node.tick(jump=jump).has_done(0, "")
    node.rest.post(f"/containers/{node.instance}-0/kill")
    node.wait_until_exited(f"{node.instance}-0")
    assert node.tick(jump=jump).code == 0
    assert node.tick().code == 0
    assert node.counts() == {"pilot": {"done": 1, "failed": 1}}
    assert len(node.live()) <= 2


@both_ways
def test_a_drain_holds(node: Node, jump: float) -> None:
    node.write_ledger(Ledger(drain=Drain("ann", 1.0, "")))
    assert node.tick(jump=jump).has_done(0, "")
    assert node.tick().has_done(0, "")
    assert node.states() == {}


def test_a_clock_that_jumps_to_and_fro_ends_no_pilot(node: Node) -> None:
    node.configure({"lifetime": "6h"})
    assert node.tick().has_done(2, "spawned")
    before = node.live()
    for jump in (HOUR, 0.0, -HOUR, HOUR, -HOUR, 0.0):
        assert node.tick(jump=jump).has_done(0, "")
    assert node.live() == before
