"""The Work Queue pilot by itself: how it ends, and that it passes on what it was told."""

import time
from pathlib import Path

import pytest

from tests.engine.rest import Rest
from tests.engine.ticks import in_parallel, wait_until
from tests.pilots.alone import Pilots
from tests.pilots.workqueue import WorkQueue

SECRET = "/run/secrets/workqueue"


@pytest.fixture
def pilots(
    rest: Rest, workqueue_image: str, instance: str, gateway: str, queue: WorkQueue, password: Path
) -> Pilots:
    """Return what starts pilots for this manager."""
    env = {
        "WORKQUEUE_MANAGER": f"{gateway}:{queue.port}",
        "WORKQUEUE_PASSWORD_FILE": SECRET,
        "WORKQUEUE_IDLE_SECONDS": "1",
        "WORKQUEUE_CONNECT_SECONDS": "2",
        "PLANCTON_CPUS": "2",
        "PLANCTON_MEMORY_BYTES": str(100 * 2**20),
        "PLANCTON_EXPIRES_AT": f"{time.time() + 1980:.0f}",
    }
    return Pilots(rest, workqueue_image, instance, env, {SECRET: password})


def test_the_exit_code_says_how_it_ended(pilots: Pilots, gateway: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("sesame\n")
    wrong.chmod(0o444)
    started = {
        pilots.start("no-task"): 75,
        pilots.start("nobody-there", WORKQUEUE_MANAGER=f"{gateway}:9"): 69,
        pilots.start("wrong-password", mounts={SECRET: wrong}): 77,
        pilots.start("no-manager", WORKQUEUE_MANAGER=None): 78,
        pilots.start("no-catalog", WORKQUEUE_MANAGER=None, WORKQUEUE_PROJECT="x"): 78,
        pilots.start("no-secret", WORKQUEUE_PASSWORD_FILE="/run/secrets/other"): 78,
    }
    assert dict(zip(started, in_parallel(pilots.end, started), strict=True)) == started


def test_a_pilot_that_ran_a_task_is_done_and_keeps_to_its_caps(
    pilots: Pilots, queue: WorkQueue
) -> None:
    queue.submit([7], 2)
    pilot = pilots.start("done")
    wait_until(lambda: "work_queue_worker" in pilots.processes(pilot))
    line = pilots.processes(pilot)
    assert "--cores 2 " in line
    assert "--memory 84 " in line
    assert "--wall-time 19" in line
    assert pilots.end(pilot) == 0
    assert queue.faults() == {"lost": 0, "duplicates": 0, "wrong": 0}


def test_sigterm_hands_the_task_back_within_the_grace(pilots: Pilots, queue: WorkQueue) -> None:
    queue.submit([7], 3)
    pilot = pilots.start("stopped")
    wait_until(lambda: "sleep 3" in pilots.processes(pilot))
    pilots.terminate(pilot)
    assert pilots.end(pilot) == 143
    assert queue.done() == set()
    # It is ready for another pilot at once, not when the manager misses the first one.
    assert pilots.end(pilots.start("second")) == 0
    assert queue.faults() == {"lost": 0, "duplicates": 0, "wrong": 0}


def test_a_pilot_asked_to_leave_does_so_between_two_tasks(
    pilots: Pilots, queue: WorkQueue, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    features.mkdir()
    features.chmod(0o755)
    told = features / "shutdowntime_job"
    told.write_text(f"{time.time() + 1000:.0f}")
    queue.submit(range(20), 4)
    pilot = pilots.start("leaves", mounts={"/features": features}, JOBFEATURES="/features")
    wait_until(lambda: "sleep 4" in pilots.processes(pilot))
    assert queue.done() == set()
    told.write_text(f"{time.time():.0f}")
    assert pilots.end(pilot) == 0
    # What ran when it was asked is done, and the rest is left to others.
    wait_until(lambda: len(queue.done()) >= 2)
    assert len(queue.done()) == 2
    assert queue.faults() == {"lost": 18, "duplicates": 0, "wrong": 0}


def test_a_pilot_without_a_task_leaves_when_it_is_asked(
    pilots: Pilots, queue: WorkQueue, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    features.mkdir()
    features.chmod(0o755)
    mounts = {"/features": features}
    pilot = pilots.start(
        "leaves", mounts=mounts, MACHINEFEATURES="/features", WORKQUEUE_IDLE_SECONDS="1000"
    )
    wait_until(lambda: queue.stats()["workers_joined"])
    (features / "shutdowntime").write_text(f"{time.time():.0f}")
    assert pilots.end(pilot) == 0
    # One that is spawned past that time does not even begin.
    assert pilots.end(pilots.start("late", mounts=mounts, MACHINEFEATURES="/features")) == 0


def test_the_password_is_in_nothing_but_the_file(pilots: Pilots, password: Path) -> None:
    pilot = pilots.start("secret")
    told = str(pilots.rest.get(f"/containers/{pilot}/json"))
    image = pilots.rest.get("/images/plancton-workqueue:test/json")
    assert password.read_text().strip() not in told + str(image)
    assert image["Config"]["User"] == "1000:1000"
