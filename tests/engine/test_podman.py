"""Plancton on Podman's socket that speaks Docker's API, where Podman answers otherwise."""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plancton_tick.container import for_podman, make_body
from plancton_tick.ctl.busybox_image import build_image
from plancton_tick.engine import Engine
from plancton_tick.errors import ConflictError, NameTakenError, NotFoundError, PlanctonError
from plancton_tick.model import Ledger, PilotState
from tests.engine.faults import Request
from tests.engine.podman import PodmanService, remove_slice
from tests.engine.proxy import FaultProxy
from tests.engine.rest import Rest
from tests.engine.test_ledger_engine import writer
from tests.engine.ticks import STUBBORN, Node, finish, in_parallel, wait_until

IMAGE = "plancton-test:latest"
# Ends well when told to, as a pilot that hands its job back does.
OBLIGING = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]
SPINNER = ["sh", "-c", "while :; do :; done"]
WRITERS, INCREMENTS = 4, 15


class PodmanNode(Node):
    """A node on Podman: pilots made past the code under test are made Podman's way."""

    def make(self, slot: int, command: list[str] | None = None, **settings: Any) -> str:
        """Make a pilot, started, as an earlier tick would have; ``settings`` has its labels."""
        dockers = make_body(
            next(iter(self.types().values())),
            slot=slot,
            now=time.time() - 10.0,
            node="node",
            instance=self.instance,
            cgroup_driver="cgroupfs",
            has_journald=False,
        )
        body: dict[str, Any] = for_podman(dockers)
        body["Labels"] |= settings.get("labels") or {}
        body["Cmd"] = command or body["Cmd"]
        made: str = self.rest.post("/containers/create", body, name=f"{self.instance}-{slot}")["Id"]
        self.rest.post(f"/containers/{made}/start")
        return made

    def engine(self) -> Engine:
        """Return the code under test, on this node's service."""
        return Engine(self.url, 30.0, self.instance)


@pytest.fixture(scope="module")
def podman() -> Iterator[PodmanService]:
    """Start a Podman service; a missing one is a failure, not a skip."""
    service = PodmanService(Path(tempfile.mkdtemp(prefix="plancton-pod-", dir="/tmp")))
    try:
        try:
            service.start()
            build_image(service.url, IMAGE)
        except PlanctonError as error:
            pytest.fail(f"podman: {error.message}\n{error.hint or ''}", pytrace=False)
        yield service
    finally:
        service.destroy()


@pytest.fixture
def node(podman: PodmanService, tmp_path: Path) -> Iterator[PodmanNode]:
    node = PodmanNode(Rest(podman.socket), IMAGE, f"p-{tmp_path.stat().st_ino}", tmp_path / "node")
    yield node
    podman.remove_containers()
    for name in node.volumes():
        node.rest.delete(f"/volumes/{name}")
    remove_slice(node.instance)


def files_of(node: Node, *names: str) -> list[str]:
    """Read the first of these files that is there, in the group of each of the node's pilots."""
    top = Path("/sys/fs/cgroup")
    return [
        path.read_text().strip()
        for name in names
        for tree in ("", "*/")
        for path in top.glob(f"{tree}{node.instance}.slice/*/libpod-*/{name}")
    ]


def host_seen_by(node: Node) -> dict[str, Any]:
    """Return what a tick sees of the host."""
    seen: dict[str, Any] = json.loads(node.tick("--dry-run", "--json").out)["observation"]["host"]
    return seen


def test_pilots_fill_the_host_capped_and_in_the_slice_and_their_load_is_not_the_owners(
    node: PodmanNode,
) -> None:
    pilot = {"command": SPINNER, "cpus": 0.2, "memory": "32M", "pids": 99}
    node.configure(pilot, host={"max_pilots": 2, "sample": "1s"})
    assert node.tick().has_done(2, r"spawned pilot in slot [01]: room")
    assert node.states() == {f"{node.instance}-{slot}": "running" for slot in range(2)}
    assert files_of(node, "cpu.cfs_quota_us", "cpu.max") in (["20000"] * 2, ["20000 100000"] * 2)
    assert files_of(node, "memory.limit_in_bytes", "memory.max") == [str(32 << 20)] * 2
    assert files_of(node, "pids.max") == ["99"] * 2
    for each in node.containers():
        state = node.rest.get(f"/containers/{each['Id']}/json")["State"]
        process = Path(f"/proc/{state['Pid']}")
        # Podman says "running" a moment before the runtime has made way for the init.
        command = process / "cmdline"
        wait_until(lambda: b"podman-init\0--\0sh" in command.read_bytes())  # noqa: B023
        assert (process / "oom_score_adj").read_text() == "1000\n"
        assert "NoNewPrivs:\t1" in (process / "status").read_text()
    assert node.tick().has_done(0, "")
    # On a busy machine pilots of the lowest weight may get nothing for a while.
    wait_until(lambda: host_seen_by(node)["pilots_cores"] > 0)
    assert host_seen_by(node)["disk_free_bytes"] > 0


def test_exited_pilots_are_counted_by_their_codes_and_removed(node: PodmanNode) -> None:
    node.configure(host={"max_pilots": 3}, spawn={"per_tick": 0})
    for slot, code in enumerate((0, 75, 3)):
        node.wait_until_exited(node.make(slot, ["sh", "-c", f"exit {code}"]))
    assert node.tick().code == 0
    assert node.counts() == {"pilot": {"done": 1, "no-work": 1, "failed": 1}}
    assert node.containers() == []


def test_a_pilot_is_paused_thawed_and_terminated(node: PodmanNode) -> None:
    pilot, room = {"command": OBLIGING}, node.room_for(1)
    node.configure(pilot)
    assert node.tick().has_done(2, "spawned")
    node.configure(pilot, host=room)
    assert node.tick().has_done(1, "paused")
    assert sorted(node.states().values()) == ["paused", "running"]
    node.configure(pilot)
    assert node.tick().has_done(1, "resumed")
    assert sorted(node.states().values()) == ["running", "running"]
    node.configure(pilot, host=room, reclaim={"action": "stop"})
    assert node.tick().has_done(1, "terminating")
    wait_until(lambda: sorted(node.states().values()) == ["exited", "running"])
    assert node.tick().has_done(1, "ended, reclaimed: exit code 0")
    assert node.counts() == {"pilot": {"reclaimed": 1}}


def test_a_pilot_that_ignores_sigterm_is_removed_at_once_when_its_grace_is_over(
    node: PodmanNode,
) -> None:
    pilot = {"command": STUBBORN, "stop_grace": "1h"}
    node.configure(pilot)
    assert node.tick().has_done(2, "spawned")
    room = node.room_for(1)
    node.configure({**pilot, "stop_grace": "1s"}, host=room, reclaim={"action": "stop"})
    assert node.tick().has_done(1, "terminating")
    time.sleep(1.1)
    done = node.tick()
    assert done.has_done(1, "ended, reclaimed: still alive"), done
    assert done.seconds < 20.0
    assert list(node.states().values()) == ["running"]


def test_a_name_is_claimed_once_and_what_is_gone_or_in_another_state_is_told_apart(
    node: PodmanNode,
) -> None:
    engine = node.engine()
    made = node.make(0)
    with pytest.raises(NameTakenError):
        engine.create(f"{node.instance}-0", {"Image": IMAGE})
    assert engine.read_holder(f"{node.instance}-0") == (made, True)
    with pytest.raises(ConflictError):
        engine.resume(made)
    engine.pause(made)
    with pytest.raises(ConflictError):
        engine.pause(made)
    assert [pilot.state for pilot in engine.list_pilots()] == [PilotState.PAUSED]
    engine.resume(made)
    engine.signal(made, "SIGKILL")
    node.wait_until_exited(made)
    with pytest.raises(ConflictError):
        engine.signal(made, "SIGTERM")
    assert engine.read_exit(made).code == 137
    engine.remove(made)
    for call in (engine.remove, engine.pause, engine.start, engine.read_exit):
        with pytest.raises(NotFoundError):
            call(made)
    with pytest.raises(NotFoundError):
        engine.remove_volume(f"{node.instance}-ledger-1")


def test_a_missing_image_is_told_in_words(node: PodmanNode) -> None:
    node.configure({"image": "localhost/nobody:1"}, host={"max_pilots": 1})
    done = node.tick()
    assert done.code == 75
    assert "image localhost/nobody:1 is missing" in done.err
    assert node.containers() == []


def test_a_strangers_container_keeps_its_name_and_the_numbering_goes_further(
    node: PodmanNode,
) -> None:
    stranger = node.rest.run(IMAGE, f"{node.instance}-0", ["sleep", "1000"])
    node.configure(host={"max_pilots": 1})
    node.tick()
    wait_until(lambda: node.tick().code == 0 and f"{node.instance}-1" in node.states())
    assert node.rest.get(f"/containers/{stranger}/json")["State"]["Status"] == "running"


def test_eight_ticks_at_once_stay_below_the_cap_without_a_word_of_error(node: PodmanNode) -> None:
    node.configure(host={"max_pilots": 3})
    done = in_parallel(lambda _: node.tick(), range(8), 8)
    assert [
        (each.code, line) for each in done for line in each.lines if "spawned" not in line
    ] == []
    assert [each.code for each in done] == [0] * 8
    wait_until(lambda: node.tick().code == 0 and len(node.live()) == 3)
    assert len(node.containers()) == 3
    assert len(node.volumes()) == 1


def test_no_increment_of_the_ledger_is_lost(node: PodmanNode) -> None:
    # Podman takes a volume's name for the beginning of a longer one where it is gone, so that all
    # generations need as many digits as the first.
    node.write_ledger(Ledger(), generation=1000)
    command = writer(node, INCREMENTS)
    done = in_parallel(
        lambda _: subprocess.run(command, capture_output=True, text=True, check=False),
        range(WRITERS),
        WRITERS,
    )
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * WRITERS
    assert node.counts() == {"pilot": {"done": WRITERS * INCREMENTS}}
    assert node.volumes() == [f"{node.instance}-ledger-{1000 + WRITERS * INCREMENTS}"]


def test_a_tick_killed_half_way_is_made_good_by_the_next_ticks(
    node: PodmanNode, podman: PodmanService, tmp_path: Path
) -> None:
    """It has counted a pilot and not removed it; or created one, told it or not, not started it."""
    node.configure(host={"max_pilots": 1})
    with FaultProxy(podman.socket, tmp_path) as proxy:
        arrange_exited(node)
        assert node.tick(url=proxy.url).code == 0
        changes = [each for each in proxy.requests if each.method != "GET"]
        noted, removed, created, told, started = changes
        assert (removed.method, told.method) == ("DELETE", "PUT")
        assert started.path.rpartition("/")[2] == "start"
        for change in (noted, created, told):
            arrange_exited(node)
            proxy.reset()
            kill_after(node, proxy, change)
            wait_until(lambda: node.tick(later=61.0).code == 0 and is_made_good(node))
            assert node.counts() == {"pilot": {"done": 1}}, change
            assert node.tick(later=61.0).has_done(0, ""), change


def arrange_exited(node: PodmanNode) -> None:
    """Bring the node into the state with one pilot, which has exited, and no ledger."""
    for each in node.containers():
        node.engine().remove(each["Id"])
    for name in node.volumes():
        node.rest.delete(f"/volumes/{name}")
    node.wait_until_exited(node.make(0, ["sh", "-c", "exit 0"]))


def kill_after(node: Node, proxy: FaultProxy, change: Request) -> None:
    started = threading.Event()

    def kill() -> None:
        started.wait()
        process.kill()
        process.wait()

    proxy.after(change.number, kill, relay=False)
    process = node.start(url=proxy.url)
    started.set()
    assert finish(process).code == -9
    proxy.wait_until_idle()


def is_made_good(node: Node) -> bool:
    return node.states() == {f"{node.instance}-0": "running"} and len(node.volumes()) == 1
