"""HTCondor pilots under real ticks, in a real pool: no job is lost and none is left running."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condor.central import Central
from tests.engine.rest import Rest
from tests.engine.ticks import Node, wait_until
from tests.pilots.alone import Pilots
from tests.pilots.farm import Farm, draw, harvested, print_table

JOBS = 100
JOB_SECONDS = 8
SLOTS = 16
CPUS = 0.12
LEASE_SECONDS = 30
TOKENS = "/run/secrets/htcondor"
IDLE, RUNNING = 1, 2


@pytest.fixture
def pilots(
    rest: Rest, htcondor_image: str, instance: str, central: Central, tokens: Path
) -> Pilots:
    """Return what starts pilots for this pool."""
    env = {"HTCONDOR_HOST": central.address, "HTCONDOR_IDLE_SECONDS": "20"}
    return Pilots(rest, htcondor_image, instance, env, {TOKENS: tokens})


@pytest.fixture
def node(rest: Rest, htcondor_image: str, instance: str, tmp_path: Path) -> Iterator[Node]:
    """Return an instance of Plancton; remove all that it leaves."""
    node = Node(rest, htcondor_image, f"{instance}-n", tmp_path / "node")
    yield node
    node.clean()


def test_the_exit_code_says_how_it_ended(pilots: Pilots, gateway: str, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir(mode=0o755)
    started = {
        pilots.start("no-job"): 75,
        pilots.start("no-pool", HTCONDOR_HOST=f"{gateway}:9"): 69,
        pilots.start("no-token", mounts={TOKENS: tmp_path / "none"}): 77,
        pilots.start("no-host", HTCONDOR_HOST=None): 78,
    }
    assert {pilot: pilots.end(pilot) for pilot in started} == started


def test_sigterm_hands_the_job_back_and_another_pilot_does_it(
    pilots: Pilots, central: Central
) -> None:
    central.submit(1, 15)
    pilot = pilots.start("stopped")
    wait_until(lambda: central.count_events("001") == 1, 90)
    pilots.terminate(pilot)
    assert pilots.end(pilot) == 143
    wait_until(lambda: central.count(RUNNING) == 0, 20)
    assert central.count(IDLE) == 1
    assert pilots.end(pilots.start("second")) == 0
    wait_until(central.is_empty)
    assert central.answers() == [0]


def stop_before_the_job_begins(pilots: Pilots, central: Central, pilot: str) -> None:
    """Stop a pilot whose job is on its way; the job must be idle in the queue again."""
    central.wait_for_shadow()
    assert central.count_events("001") == 0
    pilots.terminate(pilot)
    assert pilots.end(pilot) == 143
    wait_until(lambda: central.count(IDLE) == 1, 20)
    assert central.count(RUNNING) == 0


def test_sigterm_hands_a_job_back_that_has_not_begun_yet(pilots: Pilots, central: Central) -> None:
    """The starter of such a job would go without a word, and the job count as running for long."""
    central.submit(1, 15)
    stop_before_the_job_begins(pilots, central, pilots.start("early"))
    assert central.count_events("022") == 0


def test_sigterm_hands_a_job_back_whose_input_takes_longer_than_the_grace(
    pilots: Pilots, central: Central
) -> None:
    central.submit(1, 15, input_size="2G")
    pilot = pilots.start("slow", HTCONDOR_GRACE_SECONDS="0")
    stop_before_the_job_begins(pilots, central, pilot)
    assert central.count_events("001") == 0


def test_a_name_server_that_never_answers_does_not_keep_jobs_waiting(
    pilots: Pilots, central: Central, gateway: str
) -> None:
    seconds = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((gateway, 53))
        for name, options in (("as-it-is", None), ("patient", "timeout:20 attempts:1")):
            central.submit(1, 0)
            begin = time.monotonic()
            pilot = pilots.start(name, dns=gateway, RES_OPTIONS=options, HTCONDOR_IDLE_SECONDS="60")
            assert pilots.end(pilot) == 0
            seconds[name] = time.monotonic() - begin
        assert silent.recv(512)
    assert seconds["as-it-is"] < 0.7 * seconds["patient"], seconds


def test_the_job_of_a_pilot_that_was_killed_is_idle_again_when_its_lease_ends(
    pilots: Pilots, central: Central
) -> None:
    central.submit(1, 1000, LEASE_SECONDS)
    pilot = pilots.start("killed")
    wait_until(lambda: central.count_events("001") == 1, 90)
    pilots.kill(pilot)
    pilots.end(pilot)
    assert central.count(RUNNING) == 1
    wait_until(lambda: central.count(RUNNING) == 0, 3 * LEASE_SECONDS)
    assert central.count(IDLE) == 1
    assert central.count_events("022") == 1


def test_a_pilot_without_a_job_leaves_when_it_is_asked(
    pilots: Pilots, central: Central, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    features.mkdir(mode=0o755)
    pilot = pilots.start(
        "leaves",
        mounts={"/features": features},
        JOBFEATURES="/features",
        HTCONDOR_IDLE_SECONDS="1000",
    )
    wait_until(lambda: "Unclaimed" in central.run("condor_status -af State"), 90)
    (features / "shutdowntime_job").write_text(f"{time.time():.0f}")
    assert pilots.end(pilot) == 0
    wait_until(lambda: central.run("condor_status -af State").strip() == "", 30)


def test_every_job_is_done_once_while_the_owner_comes_and_goes(
    node: Node, central: Central, tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Pilots that a killed tick has created and not started hold their slots for a minute.
    farm = Farm(node, killed_share=0.1)
    cores = len(os.sched_getaffinity(0))

    def leave_room(pilots: int) -> None:
        node.configure(
            {
                "name": "htcondor",
                "command": None,
                "cpus": CPUS,
                "memory": "256M",
                "network": "bridge",
                "user": "1000:1000",
                "cap_drop": ["ALL"],
                "read_only": True,
                # Twice HTCONDOR_GRACE_SECONDS, and time to spare for a busy machine.
                "stop_grace": "30s",
                "backoff": "5s",
                "backoff_max": "5s",
                "mounts": [f"{tokens}:{TOKENS}:ro,rprivate"],
                "env": {
                    "HTCONDOR_HOST": central.address,
                    # On a busy machine the negotiator takes its time to find a pilot.
                    "HTCONDOR_IDLE_SECONDS": "60",
                    "HTCONDOR_GRACE_SECONDS": "5",
                    # The collector here forgets soon whom it does not hear of.
                    "_CONDOR_UPDATE_INTERVAL": "20",
                },
            },
            host={
                "max_pilots": SLOTS,
                "reserve": {"cpus": cores - CPUS * pilots - 0.001, "memory": 0, "disk": 0},
            },
            spawn={"per_tick": SLOTS},
            reclaim={"action": "pause", "pause_at_most": "10s"},
        )

        farm.room_cores = CPUS * pilots

    leave_room(SLOTS)
    central.submit(JOBS, JOB_SECONDS)
    with farm.at_work():
        begin = time.monotonic()
        farm.killing = True
        while not central.is_empty():
            # Twenty seconds without the owner, then twenty with: some pilots that are too many at
            # first fit again in time, the others are ended when they have been paused for too long.
            for pilots, seconds in ((SLOTS, 20), (SLOTS // 4, 8), (SLOTS // 2, 12)):
                leave_room(pilots)
                end = time.monotonic() + seconds
                while time.monotonic() < end and not central.is_empty():
                    time.sleep(2)
            assert time.monotonic() < begin + 1200, central.run("condor_q -allusers")
        wall = time.monotonic() - begin
    counts = node.counts()["htcondor"]
    events = {
        name: central.count_events(code)
        for name, code in (("begun", "001"), ("evicted", "004"), ("done", "005"), ("lost", "022"))
    }
    with capsys.disabled():
        print(f"\n{draw(farm.samples, begin, 5.0)}\n")
        print_table(
            {
                "jobs": JOBS,
                "wall time": f"{wall:.0f} s",
                "slots": SLOTS,
                "harvested share of idle CPU": f"{harvested(farm.samples, CPUS):.0%}",
                "jobs done, of them right": f"{events['done']}, {len(central.answers())}",
                "jobs begun, evicted": f"{events['begun']}, {events['evicted']}",
                "left running by a pilot that went": events["lost"],
                "pilots": sum(counts.values()),
                "outcomes": ", ".join(f"{how} {n}" for how, n in sorted(counts.items())),
                "ticks, of them killed": f"{len(farm.codes)}, {farm.killed}",
            }
        )
    assert central.answers() == sorted(number**2 for number in range(JOBS))
    assert events["done"] == JOBS
    assert events["lost"] == 0
    assert counts.get("failed", 0) == 0
    assert counts["reclaimed"] > 0
    assert farm.killed > 5
