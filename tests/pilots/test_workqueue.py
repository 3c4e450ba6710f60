"""Work Queue pilots under real ticks, with a real manager: no task is lost, whatever happens."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from plancton_tick.model import LABEL_CONFIG
from tests.engine.ticks import Event, Events, Node, most_live, wait_until
from tests.pilots.farm import CADENCE_SECONDS, Farm, draw, harvested, print_table
from tests.pilots.workqueue import WorkQueue

CPUS = 0.2
SLOTS = 8
TASKS = 1000
TASK_SECONDS = 0.7
# A worker that gets no task leaves after five or six seconds, for it looks every five; this has to
# be longer, also where the machine is slow.
FIZZLE_SECONDS = 12.0
BACKOFF_SECONDS = 4.0
BACKOFF_MAX_SECONDS = 20.0
DEAD_SECONDS = 120.0
PASSWORD = "/run/secrets/workqueue"


def pilot_type(queue: WorkQueue, gateway: str, password: Path) -> dict[str, object]:
    """Return a type of pilots that work for this manager."""
    return {
        "name": "workqueue",
        "command": None,
        "cpus": CPUS,
        "memory": "64M",
        "network": "bridge",
        "user": "1000:1000",
        "cap_drop": ["ALL"],
        "read_only": True,
        "stop_grace": "10s",
        "fizzle": FIZZLE_SECONDS,
        "backoff": BACKOFF_SECONDS,
        "backoff_max": BACKOFF_MAX_SECONDS,
        "mounts": [f"{password}:{PASSWORD}:ro,rprivate"],
        "env": {
            "WORKQUEUE_MANAGER": f"{gateway}:{queue.port}",
            "WORKQUEUE_PASSWORD_FILE": PASSWORD,
            "WORKQUEUE_IDLE_SECONDS": "1",
            "WORKQUEUE_CONNECT_SECONDS": "3",
        },
    }


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping)
    return value


def leave_room(farm: Farm, pilots: int, *types: Mapping[str, object]) -> None:
    """Let the owner use all but the cores of so many pilots."""
    cpus = len(os.sched_getaffinity(0))
    reserve = {"cpus": cpus - CPUS * pilots - 0.001, "memory": 0, "disk": 0}
    farm.node.configure(
        *types,
        host={"max_pilots": SLOTS, "reserve": reserve},
        spawn={"per_tick": SLOTS},
        reclaim={"action": "pause", "pause_at_most": "14s"},
    )
    farm.room_cores = CPUS * pilots


def test_no_task_is_lost_or_done_twice_while_the_owner_comes_and_goes_and_ticks_are_killed(
    node: Node, queue: WorkQueue, gateway: str, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    its_type = pilot_type(queue, gateway, password)
    farm = Farm(node)
    leave_room(farm, SLOTS, its_type)
    queue.submit(range(TASKS), TASK_SECONDS)
    with Events(node.rest, node.instance) as events, farm.at_work():
        begin = time.monotonic()
        wait_until(lambda: farm.now_running() == SLOTS, 60)
        farm.killing = True
        while not queue.is_idle():
            # Twenty seconds without the owner, then twenty with: at first all but two pilots are
            # too many, after a while two more fit again, and those still paused are ended.
            for pilots, seconds in ((SLOTS, 20), (2, 10), (4, 10)):
                leave_room(farm, pilots, its_type)
                end = time.monotonic() + seconds
                while time.monotonic() < end and not queue.is_idle():
                    time.sleep(0.1)
            assert time.monotonic() < begin + 600, queue.faults()
        wall = time.monotonic() - begin
        again = queue.count_again()
    told = events.so_far()
    counts = node.counts()["workqueue"]
    seen = {action: sum(each.action == action for each in told) for action in ("pause", "unpause")}
    with capsys.disabled():
        print(f"\n{draw(farm.samples, begin)}\n")
        print_table(
            {
                "tasks": TASKS,
                "wall time": f"{wall:.0f} s",
                "slots used, at most": most_live(told),
                "harvested share of idle CPU": f"{harvested(farm.samples, CPUS):.0%}",
                "tasks lost": queue.faults()["lost"],
                "duplicates": queue.faults()["duplicates"],
                "wrong results": queue.faults()["wrong"],
                "tasks run again": again,
                "pilots": sum(counts.values()),
                "outcomes": ", ".join(f"{how} {n}" for how, n in sorted(counts.items())),
                "paused, resumed": f"{seen['pause']}, {seen['unpause']}",
                "ticks, of them killed": f"{len(farm.codes)}, {farm.killed}",
            }
        )
    assert queue.faults() == {"lost": 0, "duplicates": 0, "wrong": 0}
    assert most_live(told) <= SLOTS
    assert counts.get("failed", 0) == 0
    assert counts["reclaimed"] > 0 < seen["unpause"]
    assert farm.killed > 5


def test_a_dry_queue_costs_one_canary_at_a_time_and_new_tasks_fill_the_node_again(
    node: Node, queue: WorkQueue, gateway: str, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The life of a queue: tasks, none, tasks again, a manager that dies, one that comes back.

    Last, the configuration is changed while all pilots are at work.
    """
    its_type = pilot_type(queue, gateway, password)
    farm = Farm(node)
    leave_room(farm, SLOTS, its_type)
    moments: dict[str, float] = {}
    numbers = iter(range(10**6))

    def note(what: str) -> None:
        moments[what] = time.monotonic()

    def submit_for(seconds: float) -> None:
        """Give tasks that keep a full node busy for so long."""
        queue.submit([next(numbers) for _ in range(round(seconds * SLOTS / 2))], 2.0)

    with Events(node.rest, node.instance) as events, farm.at_work():
        begin = time.monotonic()
        submit_for(4)
        wait_until(lambda: farm.now_running() == SLOTS, 60)
        wait_until(queue.is_idle, 120)
        note("the queue is dry")
        wait_until(lambda: wait_of(node) >= 4 * BACKOFF_SECONDS, 200)
        first_canaries = canaries(farm, moments["the queue is dry"])
        submit_for(10)
        note("new tasks")
        longest = wait_of(node)
        wait_until(lambda: farm.now_running() == SLOTS, 120)
        note("full again")
        assert node.snapshot().ledger.backoffs == {}

        queue.kill()
        note("manager killed")
        time.sleep(DEAD_SECONDS)
        assert wait_of(node) == BACKOFF_MAX_SECONDS
        queue.start()
        note("manager is back")
        wait_until(lambda: farm.now_running() == SLOTS, 200)
        note("full once more")
        assert node.snapshot().ledger.backoffs == {}
        submit_for(5)

        old = labels_of(node)
        leave_room(farm, SLOTS, {**its_type, "env": {**_mapping(its_type["env"]), "NEW": "yes"}})
        note("configuration changed")
        wait_until(lambda: set(labels_of(node).values()) - set(old.values()), 200)
        note("first pilot of the new kind")
        kinds = {kind for each, kind in labels_of(node).items() if each not in old}
        wait_until(queue.is_idle, 200)
    told = events.so_far()
    counts = node.counts()["workqueue"]
    steps = sorted((at, what) for what, at in moments.items())
    with capsys.disabled():
        print(f"\n{draw(farm.samples, begin)}\n")
        print_table({what: f"{at - begin:6.1f} s" for at, what in steps})
        outcomes = ", ".join(f"{how} {n}" for how, n in sorted(counts.items()))
        print_table({"tasks": len(queue.answers), **queue.faults(), "outcomes": outcomes})
    assert queue.faults() == {"lost": 0, "duplicates": 0, "wrong": 0}
    # A dry queue: one canary at a time, each wait twice as long as the one before.
    assert len(first_canaries) >= 2
    for first, second in zip(first_canaries, first_canaries[1:], strict=False):
        assert second - first >= 2 * BACKOFF_SECONDS
    # New tasks: the wait that had begun, a canary that lives, and then all slots at the next tick.
    back = moments["manager is back"]
    took = moments["full again"] - moments["new tasks"]
    slack = 2 * (CADENCE_SECONDS + slowest_tick(farm))
    assert took <= longest + FIZZLE_SECONDS + slack, took
    # A dead manager is one line for each pilot that found it dead, and none for the waiting: those
    # that it had when it died, and canaries, fewer and fewer.
    dead = [each for each in canaries(farm, moments["manager killed"]) if each <= back]
    assert 3 <= len(dead) <= DEAD_SECONDS / BACKOFF_MAX_SECONDS + 3
    assert counts["unreachable"] >= len(dead) - 1
    took = moments["full once more"] - back
    assert took <= BACKOFF_MAX_SECONDS + FIZZLE_SECONDS + slack, took
    assert counts.get("failed", 0) == 0
    assert is_one_line_a_state(farm, told), farm.lines
    # A change of the configuration leaves alone the pilots that run, and holds for all others.
    assert len(old) == SLOTS
    assert [each for each in told if each.container_id in old and each.action == "kill"] == []
    assert kinds.isdisjoint(old.values())


def wait_of(node: Node) -> float:
    """Return how long the type waits now, from one canary to the next."""
    backoff = node.snapshot().ledger.backoffs.get("workqueue")
    return backoff.step_seconds if backoff else 0.0


def canaries(farm: Farm, since: float) -> list[float]:
    """Return when canaries were spawned; each of them must have come alone."""
    spawned = [at for at in farm.said(", canary after") if at >= since]
    assert len(spawned) == len(set(spawned)), "two canaries at one tick"
    return spawned


def labels_of(node: Node) -> dict[str, str]:
    """Return the kind of each live pilot, by id."""
    live = set(node.live())
    listed = [each for each in node.containers() if each["Id"] in live]
    return {each["Id"]: each["Labels"][LABEL_CONFIG] for each in listed}


def slowest_tick(farm: Farm) -> float:
    """Return the seconds of the slowest tick: on a busy machine a tick may take long."""
    return max(farm.seconds)


def is_one_line_a_state(farm: Farm, told: list[Event]) -> bool:
    """Say whether each pilot got one line when it came and one when it had gone, and no more."""
    came = len({each.container_id for each in told if each.action == "create"})
    gone = len({each.container_id for each in told if each.action == "destroy"})
    said = Counter(
        next((word for word in ("spawned", "ended") if f" {word}" in line), line)
        for _, line in farm.lines
    )
    return said == {"spawned": came, "ended": gone}
