"""What is not ours is never touched, whatever its name; what is ours is minded always."""

from pathlib import Path

from plancton_tick.model import LABEL_INSTANCE, LABEL_TYPE
from tests.engine.proxy import FaultProxy
from tests.engine.ticks import SLEEPER, Node, another

HOUR_LATER = 3700.0


def untouched(node: Node, container_id: str) -> object:
    """Return what would change if anybody did anything to a container."""
    found = node.rest.get(f"/containers/{container_id}/json")
    return found["Id"], found["Name"], found["RestartCount"], found["State"]


def test_a_strangers_container_in_a_slot_is_left_out_told_of_once_and_never_touched(
    node: Node,
) -> None:
    stranger = node.rest.run(node.image, f"{node.instance}-0", SLEEPER)
    before = untouched(node, stranger)
    first = node.tick()
    assert first.code == 0
    assert sum("slot 0 is left out" in line for line in first.lines) == 1
    assert stranger[:12] in first.err
    assert node.tick().has_done(1, "spawned pilot in slot 2")
    assert node.states() == {f"{node.instance}-{slot}": "running" for slot in (1, 2)}
    assert node.tick().has_done(0, "")
    # A slot that becomes free is filled again without asking for the stranger's.
    node.rest.delete(f"/containers/{node.live()[0]}", force=1)
    assert node.tick().has_done(1, "spawned pilot in slot [12]")
    assert len(node.live()) == 2
    assert untouched(node, stranger) == before


def test_a_slot_is_used_again_when_the_stranger_has_left_it(node: Node) -> None:
    stranger = node.rest.run(node.image, f"{node.instance}-0", SLEEPER)
    node.configure(host={"max_pilots": 1})
    assert node.tick().has_done(1, "slot 0 is left out")
    # It is looked at again after an hour, and still there: that is not news.
    assert node.tick(later=HOUR_LATER).has_done(0, "")
    assert node.tick().has_done(1, "spawned pilot in slot 1")
    node.rest.delete(f"/containers/{stranger}", force=1)
    node.rest.delete(f"/containers/{node.live()[0]}", force=1)
    assert node.tick(later=2 * HOUR_LATER).has_done(1, "spawned pilot in slot 0")


def test_containers_with_our_prefix_and_no_label_of_ours_are_none_of_ours(
    node: Node, engine_socket: Path, tmp_path: Path
) -> None:
    mine = {LABEL_INSTANCE: node.instance}
    strangers = [
        node.rest.run(node.image, f"{node.instance}-helper", SLEEPER),
        node.rest.run(node.image, f"{node.instance}-7", SLEEPER),
        node.rest.run(node.image, f"{node.instance}-8", ["true"]),
        # The instance alone makes no pilot.
        node.rest.run(node.image, f"{node.instance}-x", ["true"], Labels=mine),
    ]
    for each in strangers[2:]:
        node.wait_until_exited(each)
    before = [untouched(node, each) for each in strangers]
    with FaultProxy(engine_socket, tmp_path) as proxy:
        assert node.tick(url=proxy.url).has_done(2, "spawned pilot in slot [01]")
        assert node.tick(url=proxy.url, later=HOUR_LATER).has_done(0, "")
        paths = " ".join(request.path for request in proxy.requests)
    assert not [each for each in strangers if each in paths]
    assert [untouched(node, each) for each in strangers] == before
    node.rest.delete(f"/containers/{strangers[3]}")


def test_a_pilot_started_by_hand_counts_against_the_cap_and_is_reaped(node: Node) -> None:
    labels = {LABEL_TYPE: "mine", LABEL_INSTANCE: node.instance}
    by_hand = node.rest.run(node.image, f"{node.instance}-by-hand", SLEEPER, Labels=labels)
    assert node.tick().has_done(1, "spawned pilot in slot 0")
    assert node.tick(later=HOUR_LATER).has_done(0, "")
    assert by_hand in node.live()
    node.rest.post(f"/containers/{by_hand}/kill")
    node.wait_until_exited(by_hand)
    done = node.tick()
    assert f"{node.instance}-by-hand (mine) ended, failed: exit code 137" in done.lines[0]
    assert "spawned pilot in slot 1" in done.lines[1]
    assert node.counts() == {"mine": {"failed": 1}}
    assert by_hand not in node.live()


def test_pilots_of_another_instance_are_none_of_ours(node: Node) -> None:
    with another(node, "b") as other:
        other.configure(host={"max_pilots": 1})
        assert other.tick().has_done(1, "spawned")
        exited = other.make_exited(1, 0)
        before = [untouched(node, each["Id"]) for each in other.containers()]
        assert node.tick().has_done(2, "spawned pilot in slot [01]")
        assert node.tick(later=HOUR_LATER).has_done(0, "")
        assert [untouched(node, each["Id"]) for each in other.containers()] == before
        assert other.counts() == {}
        assert other.tick().has_done(1, "ended, done")
        assert node.counts() == {}
        assert exited not in other.live()
