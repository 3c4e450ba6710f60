"""Several ticks at once: never over the cap, nothing counted twice, no lost race shown."""

import re

import pytest

from tests.engine.ticks import Events, Node, in_parallel, most_live

CAP = 4
ROUNDS = 20
# The second is said by a tick that removes what another has counted, and is about to remove.
EVENT = re.compile(
    r"plancton-tick: (spawned pilot in slot \d|\S+ \(pilot\) ended, done): "
    r"|plancton-tick: removed \S+ \(pilot\): counted before, removed now$"
)


@pytest.mark.parametrize("ticks", [2, 8])
def test_ticks_at_once_stay_below_the_cap_and_count_each_pilot_once(node: Node, ticks: int) -> None:
    node.configure({"exit_codes": {"done": [137]}}, host={"max_pilots": CAP})
    said: list[str] = []
    ended = 0
    with Events(node.rest, node.instance) as events:
        for _ in range(ROUNDS):
            together = in_parallel(lambda _: node.tick(), range(ticks), ticks)
            assert [done for done in together if done.code or done.out] == []
            said += [line for done in together for line in done.lines]
            running = [each["Id"] for each in node.containers() if each["State"] == "running"]
            # Half of them are done; the next ticks find them all at once.
            leaving = running[: len(running) // 2]
            in_parallel(lambda each: end(node, each), leaving)
            ended += len(leaving)
        last = node.tick()
        assert last.code == 0
        said += last.lines
        assert list(node.states().values()) == ["running"] * CAP
        assert [line for line in said if not EVENT.match(line)] == []
        assert ended >= ROUNDS
        assert node.counts() == {"pilot": {"done": ended}}
        assert sum("ended, done" in line for line in said) == ended
        assert sum("spawned" in line for line in said) == ended + CAP
        assert len(node.volumes()) == 1
        assert node.tick().has_done(0, "")
        node.clean()
        assert most_live(events.of_all()) == CAP


def end(node: Node, container_id: str) -> None:
    node.rest.post(f"/containers/{container_id}/kill", signal="SIGKILL")
    node.wait_until_exited(container_id)
