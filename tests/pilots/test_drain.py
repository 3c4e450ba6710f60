"""A drain and Work Queue pilots: real ticks tell them, and they leave between two tasks."""

import os
import subprocess
import sys
from pathlib import Path

from tests.engine.ticks import Events, Node, wait_until
from tests.pilots.workqueue import WorkQueue

PASSWORD = "/run/secrets/workqueue"
TASK_SECONDS = 20.0
GRACE_SECONDS = 4.0


def test_a_drain_makes_a_busy_worker_finish_its_task_and_take_no_more(
    node: Node, queue: WorkQueue, gateway: str, password: Path
) -> None:
    node.configure(
        {
            "name": "workqueue",
            "command": None,
            "memory": "64M",
            "cpus": 0.5,
            "network": "bridge",
            "user": "1000:1000",
            "cap_drop": ["ALL"],
            "read_only": True,
            "stop_grace": GRACE_SECONDS,
            "mounts": [f"{password}:{PASSWORD}:ro,rprivate"],
            "env": {
                "WORKQUEUE_MANAGER": f"{gateway}:{queue.port}",
                "WORKQUEUE_PASSWORD_FILE": PASSWORD,
            },
        },
        host={"max_pilots": 1},
    )
    queue.submit([7, 8, 9], TASK_SECONDS)
    with Events(node.rest, node.instance) as events:
        assert node.tick().has_done(1, "spawned")
        (pilot,) = node.live()
        wait_until(lambda: queue.stats()["tasks_dispatched"] == 1)
        drain(node)
        assert node.tick().has_done(1, "drained by root")
        # The task that runs takes longer than stop_grace, and nobody stops the pilot for that.
        assert node.tick().has_done(0, "")
        assert queue.done() == set()
        node.wait_until_exited(pilot)
        wait_until(lambda: len(queue.done()) == 1)
        assert node.tick().code == 0
        told = events.so_far()
    assert [each.action for each in told if each.action == "kill"] == []
    assert node.counts()["workqueue"] == {"done": 1}
    assert node.live() == []
    assert queue.faults() == {"lost": 2, "duplicates": 0, "wrong": 0}


def drain(node: Node) -> None:
    """Let the administrator drain the host."""
    said = subprocess.run(
        [sys.executable, "-I", "-m", "plancton_tick.ctl.main", "drain", "--config", node.config],
        env={**os.environ, "DOCKER_HOST": node.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
