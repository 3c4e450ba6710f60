"""The ordinary life of ticks: what they do when all goes well, and what they leave alone."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from plancton_tick.model import LABEL_EXPIRES_AT, LABEL_TYPE, Drain, Ledger
from tests.engine.proxy import FaultProxy
from tests.engine.ticks import Node, wait_until


def types_of(node: Node) -> list[str]:
    return sorted(each["Labels"][LABEL_TYPE] for each in node.containers())


def test_pilots_fill_the_host_up_to_the_cap_and_no_further(node: Node) -> None:
    node.configure(host={"max_pilots": 3})
    assert node.tick().has_done(3, r"spawned pilot in slot [012]: room \d\.\d\d cores")
    running = {f"{node.instance}-{slot}": "running" for slot in range(3)}
    assert node.states() == running
    assert node.tick().has_done(0, "")
    assert node.states() == running


def test_no_more_is_spawned_in_one_tick_than_per_tick(node: Node) -> None:
    node.configure(host={"max_pilots": 3}, spawn={"per_tick": 2})
    assert node.tick().has_done(2, "spawned")
    assert node.tick().has_done(1, "spawned pilot in slot 2")


def test_a_pilot_that_is_done_is_counted_and_replaced_in_the_same_tick(node: Node) -> None:
    node.make(0)
    node.make_exited(1, 0)
    done = node.tick()
    assert done.code == 0
    assert [line.partition(":")[2].split()[0:2] for line in done.lines] == [
        [f"{node.instance}-1", "(pilot)"],
        ["spawned", "pilot"],
    ]
    assert f"{node.instance}-1 (pilot) ended, done: exit code 0" in done.err
    assert "spawned pilot in slot 1" in done.err
    assert node.counts() == {"pilot": {"done": 1}}
    assert node.states() == {f"{node.instance}-{slot}": "running" for slot in range(2)}


def test_each_pilot_of_a_slot_is_told_what_it_used_itself(node: Node) -> None:
    def configure(cpu_seconds: int) -> None:
        # It spins until it has had so much CPU time, however long the machine takes to give it.
        spin = (
            "until read -r _ _ _ _ _ _ _ _ _ _ _ _ _ used _ </proc/self/stat && "
            f'[ "$used" -ge {cpu_seconds}00 ]; do :; done'
        )
        node.configure({"cpus": 1, "command": ["sh", "-c", spin]}, host={"max_pilots": 1})

    used: list[float] = []
    for now, later in ((3, 1), (1, 1)):
        configure(now)
        if not used:
            node.tick()
        wait_until(lambda: list(node.states().values()) == ["exited"], patience=60)
        configure(later)
        said = node.tick().err
        found = re.search(r"ended, done: exit code 0 after \d+ s, used ([\d.]+) s of CPU", said)
        assert found is not None, said
        used.append(float(found[1]))
    assert used[0] >= 3
    assert 1 <= used[1] < used[0]


def test_a_quiet_tick_lists_containers_and_volumes_once_and_changes_nothing(
    node: Node, engine_socket: Path, tmp_path: Path
) -> None:
    node.tick()
    before = node.snapshot(), node.containers()
    with FaultProxy(engine_socket, tmp_path) as proxy:
        assert node.tick(url=proxy.url)[:3] == (0, "", "")
        asked = [(request.method, request.path.partition("?")[0]) for request in proxy.requests]
    assert asked == [("GET", "/containers/json"), ("GET", "/volumes")]
    after = node.snapshot(), node.containers()
    assert before[0] == after[0]
    assert [each["Id"] for each in before[1]] == [each["Id"] for each in after[1]]


def test_two_types_share_the_host_as_their_shares_say(node: Node) -> None:
    node.configure(
        {"name": "big", "share": 2}, {"name": "small", "share": 1}, host={"max_pilots": 6}
    )
    node.tick()
    assert types_of(node) == ["big"] * 4 + ["small"] * 2


def test_the_max_of_a_type_leaves_the_rest_to_the_other(node: Node) -> None:
    node.configure({"name": "few", "max": 1}, {"name": "rest"}, host={"max_pilots": 4})
    node.tick()
    assert types_of(node) == ["few", "rest", "rest", "rest"]


def test_draining_spawns_nothing_and_leaves_pilots_to_finish(node: Node) -> None:
    node.make(0)
    node.make_exited(1, 0)
    drain = Drain("ann", time.time(), "new disk")
    node.write_ledger(Ledger(drain=drain))
    assert node.tick().has_done(1, "ended, done")
    assert node.tick().has_done(0, "")
    assert node.states() == {f"{node.instance}-0": "running"}
    found = node.snapshot().ledger.drain
    assert found is not None
    assert found._replace(at=drain.at) == drain


@contextlib.contextmanager
def owner_at_work(jobs: int) -> Iterator[None]:
    """Keep so many cores of the host busy."""
    spin = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(jobs)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def test_a_pilot_is_paused_while_the_owner_works_and_resumed_afterwards(node: Node) -> None:
    ncpus = len(os.sched_getaffinity(0))
    # It fits as long as what else runs on the host leaves a quarter of it.
    node.configure(
        {"cpus": 0.25 * ncpus},
        host={"max_pilots": 1, "sample": "500ms"},
        reclaim={"tolerance": 0.1, "after": "1s", "pause_at_most": "10min"},
    )
    name = f"{node.instance}-0"

    def ticks_until(state: str) -> str:
        said: list[str] = []

        def is_there() -> bool:
            done = node.tick(at_rest=False)
            assert done.code == 0, done.err
            said.extend(done.lines)
            return node.states().get(name) == state

        wait_until(is_there, patience=90.0)
        return said[-1]

    assert "spawned pilot in slot 0" in ticks_until("running")
    with owner_at_work(2 * ncpus):
        begin = time.monotonic()
        assert f"paused {name} (pilot): owner uses" in ticks_until("paused")
        assert time.monotonic() - begin > 1.0, "sooner than reclaim.after"
    assert f"resumed {name} (pilot): room" in ticks_until("running")
    assert node.counts() == {}


def test_a_pilot_past_its_lifetime_is_ended_and_replaced(node: Node) -> None:
    node.configure(host={"max_pilots": 1})
    old = node.make_expired(0)
    assert node.tick().has_done(
        1, f"terminating {node.instance}-0 .*, expired: lived 1. s, . s over"
    )
    node.wait_until_exited(old)
    assert node.tick().has_done(2, "ended, expired|spawned pilot in slot 0")
    assert node.counts() == {"pilot": {"expired": 1}}
    new = node.live()
    assert len(new) == 1
    assert new != [old]


def test_a_dry_run_shows_the_plan_and_changes_nothing(
    node: Node, engine_socket: Path, tmp_path: Path
) -> None:
    node.make_exited(0, 0)
    with FaultProxy(engine_socket, tmp_path) as proxy:
        text = node.tick("--dry-run", url=proxy.url)
        told = node.tick("--dry-run", "--json", url=proxy.url)
        assert {request.method for request in proxy.requests} == {"GET"}
    assert (text.code, text.err) == (0, "")
    lines = text.out.splitlines()
    assert lines[0].startswith("owner uses 0.00 of ")
    assert lines[1].startswith(f"would reap {node.instance}-0 (pilot), counted as done: exit code")
    assert lines[2].startswith("would spawn pilot in slot 0: room ")
    assert lines[3].startswith("would spawn pilot in slot 1: room ")
    assert lines[4:] == ["no new pilot (cap): 2 of 2 pilots are live"]
    assert (told.code, told.err) == (0, "")
    plan = json.loads(told.out)
    assert set(plan) == {"actions", "vetoes", "observation"}
    assert [each["action"] for each in plan["actions"]] == ["reap", "spawn", "spawn"]
    assert plan["actions"][0]["outcome"] == "done"
    assert (plan["actions"][1]["type"], plan["actions"][1]["slot"]) == ("pilot", 0)
    assert all(each["reason"] for each in plan["actions"])
    assert [(each["veto"], each["until"]) for each in plan["vetoes"]] == [("cap", None)]
    assert plan["observation"]["pilots"][0]["state"] == "exited"
    assert node.states() == {f"{node.instance}-0": "exited"}
    assert node.volumes() == []


def test_a_bad_configuration_reaps_and_expires_and_spawns_nothing(node: Node) -> None:
    node.configure(host={"max_pilots": 8}, spawn={"per_tick": "many"})
    node.make_exited(0, 0)
    expired = node.make_expired(1)
    node.make(2)
    done = node.tick()
    assert done.code == 78
    assert sum("spawn.per_tick: expected" in line for line in done.lines) == 1
    node.wait_until_exited(expired)
    assert node.tick().code == 78
    assert node.tick().code == 78
    assert node.states() == {f"{node.instance}-2": "running"}
    assert node.counts() == {"pilot": {"done": 1, "expired": 1}}


def test_a_reserve_larger_than_the_hosts_disk_or_memory_spawns_nothing(node: Node) -> None:
    for key, veto in (("disk", "disk"), ("memory", "memory")):
        reserve = {"cpus": 0, "memory": 0, "disk": 0, key: "4000T"}
        node.configure(host={"reserve": reserve})
        assert node.tick("--dry-run").out.count(f"({veto})") == 1
        assert node.tick().has_done(0, "")
        assert node.states() == {}


def test_below_the_memory_reserve_a_pilot_is_ended_and_never_paused(node: Node) -> None:
    node.configure(host={"reserve": {"cpus": 0, "memory": "4000T", "disk": 0}})
    made = node.make(0)
    assert node.tick().has_done(1, f"terminating {node.instance}-0 .*, reclaimed: .* short")
    node.wait_until_exited(made)
    assert node.tick().has_done(1, "ended, reclaimed")
    assert node.counts() == {"pilot": {"reclaimed": 1}}


def test_what_a_pilot_is_told_of_its_end_is_what_its_label_says(node: Node) -> None:
    node.configure({"lifetime": "90s"}, host={"max_pilots": 1})
    node.tick()
    (pilot,) = node.containers()
    expires_at = float(pilot["Labels"][LABEL_EXPIRES_AT])
    assert 60 < expires_at - time.time() <= 90
    assert node.tick(later=80).has_done(0, "")
    assert node.tick(later=91).has_done(1, "terminating .*, expired: lived 9. s, . s over")
