"""The ledger's compare-and-swap on a real engine, by processes that know nothing of each other."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from plancton_tick.model import LABEL_LEDGER, Ledger
from tests.engine.faults import on
from tests.engine.proxy import FaultProxy
from tests.engine.ticks import Node, in_parallel

WRITERS = 8
INCREMENTS = 50
INCREMENT = """\
import sys
from plancton_tick.engine import Engine
from plancton_tick.ledger import update

url, instance, times = sys.argv[1:]
engine = Engine(url, 60.0, instance)

def add_one(ledger):
    count = ledger.counts.get("pilot", {}).get("done", 0)
    return ledger._replace(counts={"pilot": {"done": count + 1}})

for _ in range(int(times)):
    update(engine, instance, add_one)
"""


def writer(node: Node, times: int, url: str | None = None) -> list[str]:
    """Return the command that increments so many times."""
    words = [url or node.url, node.instance, str(times)]
    return [sys.executable, "-I", "-c", INCREMENT, *words]


def test_of_8_processes_with_50_increments_each_none_is_lost(node: Node) -> None:
    command = writer(node, INCREMENTS)
    done = in_parallel(
        lambda _: subprocess.run(command, capture_output=True, text=True, check=False),
        range(WRITERS),
        WRITERS,
    )
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * WRITERS
    assert node.counts() == {"pilot": {"done": WRITERS * INCREMENTS}}
    assert len(node.volumes()) == 1


def test_a_writer_killed_before_it_removes_the_old_ledger_leaves_the_new_one(
    node: Node, engine_socket: Path, tmp_path: Path
) -> None:
    node.configure(spawn={"per_tick": 0})
    node.write_ledger(Ledger(counts={"pilot": {"done": 6}}), generation=9)
    with FaultProxy(engine_socket, tmp_path) as proxy:
        subprocess.run(writer(node, 1, proxy.url), check=True)
        (removal,) = (each for each in proxy.requests if on("DELETE", "/volumes/")(each))
        proxy.reset()
        started = threading.Event()

        def kill() -> None:
            started.wait()
            process.kill()
            process.wait()

        proxy.before(removal.number, kill, forward=False)
        process = subprocess.Popen(writer(node, 1, proxy.url))
        started.set()
        assert process.wait() == -9
    assert node.volumes() == [f"{node.instance}-ledger-{generation}" for generation in (10, 11)]
    assert node.counts() == {"pilot": {"done": 8}}
    assert node.tick().has_done(0, "")
    assert node.volumes() == [f"{node.instance}-ledger-11"]
    assert node.counts() == {"pilot": {"done": 8}}


def test_corrupt_and_foreign_volumes_are_told_of_once_and_never_trusted_or_removed(
    node: Node,
) -> None:
    node.configure(host={"max_pilots": 1})
    node.write_ledger(Ledger(counts={"pilot": {"done": 5}}), generation=6)
    foreign = [
        node.make_volume("7", {}),
        node.make_volume("8", {LABEL_LEDGER: '{"schema": 1, "counts": {"pilot": {"do'}),
        node.make_volume("9", {LABEL_LEDGER: json.dumps({"schema": 1, "counts": [99]})}),
        node.make_volume("010", {LABEL_LEDGER: json.dumps({"schema": 1, "marks": []})}),
        node.make_volume("backup", {"owner": "somebody"}),
    ]
    node.make_exited(0, 0)
    first = node.tick()
    assert first.code == 0
    assert sum("is left alone" in line for line in first.lines) == len(foreign)
    for name in foreign:
        assert sum(f"volume {name} is left alone: " in line for line in first.lines) == 1
    assert node.counts() == {"pilot": {"done": 6}}
    assert node.volumes() == sorted([*foreign, f"{node.instance}-ledger-10"])
    assert node.tick().has_done(0, "")
    node.make_volume("11x", {})
    assert node.tick().has_done(1, "volume .*-ledger-11x is left alone: expected a generation")
    assert node.tick().has_done(0, "")
    assert set(foreign) < set(node.volumes())


def test_with_nothing_but_a_foreign_volume_a_ledger_begins_above_it(node: Node) -> None:
    foreign = node.make_volume("1", {})
    node.make_exited(0, 0)
    assert node.tick().code == 0
    assert node.volumes() == [foreign, f"{node.instance}-ledger-2"]
    assert node.counts() == {"pilot": {"done": 1}}


def test_a_ledger_of_a_newer_version_keeps_what_this_one_does_not_know(node: Node) -> None:
    newer = {"schema": 2, "marks": [], "counts": {"pilot": {"done": 1}}, "weather": {"rain": 3}}
    node.make_volume("4", {LABEL_LEDGER: json.dumps(newer)})
    node.make_exited(0, 0)
    assert node.tick().code == 0
    snapshot = node.snapshot()
    assert snapshot.generation == 5
    assert snapshot.ledger.unknown == {"schema": 2, "weather": {"rain": 3}}
    assert node.counts() == {"pilot": {"done": 2}}
