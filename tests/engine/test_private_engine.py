"""The engine of one's own: it starts, runs containers, and leaves nothing."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plancton_tick.ctl import bridge
from plancton_tick.ctl.busybox_image import build_image, find_static_busybox, is_static
from plancton_tick.ctl.engine_http import find_engine, is_answering
from plancton_tick.ctl.private_engine import PrivateEngine
from plancton_tick.ctl.processes import find_processes, is_alive
from plancton_tick.errors import EngineRefusedError, EngineUnavailableError
from tests.engine.rest import Rest, RestError

IMAGE = "own:latest"


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="plancton-own-", dir="/tmp"))
    yield path
    PrivateEngine(path).destroy()


@pytest.fixture
def engine(directory: Path) -> Iterator[PrivateEngine]:
    engine = PrivateEngine(directory)
    engine.start()
    build_image(engine.url, IMAGE, changes=['CMD ["sleep", "1000"]'])
    yield engine
    engine.destroy()


def state(rest: Rest, name: str) -> str:
    return str(rest.get(f"/containers/{name}/json")["State"]["Status"])


def left_of(engine: PrivateEngine) -> list[object]:
    """Return everything of the engine that is still on the host."""
    folder = engine.folder
    return [
        *folder.mounts(),
        *find_processes("", folder.socket),
        *find_processes("containerd", folder.run / "containerd.sock"),
        *find_processes("containerd", folder.directory / "containerd.toml"),
        *(["bridge"] if bridge.is_there(folder.bridge) else []),
        *[path for path in (folder.directory, folder.run) if path.exists()],
    ]


def test_a_container_runs_on_the_default_network_and_nothing_is_left(
    engine: PrivateEngine,
) -> None:
    rest = Rest(engine.socket)
    gateway = rest.get("/networks/bridge")["IPAM"]["Config"][0]["Gateway"]
    rest.run(IMAGE, "pinger", ["ping", "-c", "1", "-w", "5", gateway])
    assert rest.post("/containers/pinger/wait")["StatusCode"] == 0
    rest.run(IMAGE, "sleeper", ["sleep", "1000"], HostConfig={"NetworkMode": "bridge"})
    rest.run(IMAGE, "frozen", ["sleep", "1000"])
    rest.pause("frozen")
    engine.destroy()
    assert left_of(engine) == []


def test_the_bridge_keeps_its_hardware_address_while_containers_come_and_go(
    engine: PrivateEngine,
) -> None:
    address = Path(f"/sys/class/net/{engine.folder.bridge}/address")
    before = address.read_text()
    rest = Rest(engine.socket)
    for number in range(4):
        rest.run(IMAGE, f"port-{number}", ["sleep", "1000"])
        assert address.read_text() == before


def test_a_name_is_looked_up_nowhere(engine: PrivateEngine) -> None:
    rest = Rest(engine.socket)
    # 143 would be one that waits for an answer.
    script = 'grep -qx "nameserver 127.0.0.1" /etc/resolv.conf && timeout 4 nslookup a.example'
    rest.run(IMAGE, "asker", ["sh", "-c", script])
    assert rest.post("/containers/asker/wait")["StatusCode"] == 1


def test_a_container_lives_in_the_slice_with_its_caps(engine: PrivateEngine) -> None:
    rest = Rest(engine.socket)
    # Named as nobody else's, who may be running these tests at the same time.
    parent = f"{engine.folder.bridge}.slice"
    limits = {
        "CgroupParent": parent,
        "NanoCpus": 500_000_000,
        "Memory": 64 << 20,
        "OomScoreAdj": 1000,
        "PidsLimit": 100,
        "Init": True,
        "SecurityOpt": ["no-new-privileges"],
    }
    if rest.get("/info")["CgroupDriver"] != "cgroupfs":
        limits.pop("CgroupParent")
    rest.run(IMAGE, "capped", ["sleep", "1000"], HostConfig=limits)
    assert state(rest, "capped") == "running"
    begin = time.monotonic()
    rest.post("/containers/capped/stop", t=30)
    assert time.monotonic() - begin < 10, "the init does not pass on SIGTERM"
    engine.destroy()
    for group in Path("/sys/fs/cgroup").glob(f"**/{parent}"):
        group.rmdir()


def test_a_restart_keeps_images_and_containers(engine: PrivateEngine) -> None:
    rest = Rest(engine.socket)
    rest.run(IMAGE, "kept", ["sleep", "1000"], HostConfig={"Init": True})
    before = engine.pid
    engine.restart()
    assert engine.pid not in (None, before)
    assert state(rest, "kept") == "exited"
    rest.post("/containers/kept/start")
    assert state(rest, "kept") == "running"


def test_a_killed_engine_starts_again_in_its_folder(engine: PrivateEngine) -> None:
    rest = Rest(engine.socket)
    rest.run(IMAGE, "survivor", ["sleep", "1000"], HostConfig={"Init": True})
    container_pid = rest.get("/containers/survivor/json")["State"]["Pid"]
    engine.kill()
    assert engine.pid is None
    assert not is_answering(engine.url)
    assert is_alive(container_pid)
    engine.start()
    assert state(rest, "survivor") == "exited"
    assert not is_alive(container_pid)


def test_containers_of_a_killed_engine_end_with_it(engine: PrivateEngine) -> None:
    rest = Rest(engine.socket)
    pids = []
    for name in ("running", "frozen"):
        rest.run(IMAGE, name, ["sleep", "1000"])
        pids.append(rest.get(f"/containers/{name}/json")["State"]["Pid"])
    rest.pause("frozen")
    engine.kill()
    engine.stop()
    assert not any(is_alive(pid) for pid in pids)
    engine.destroy()
    assert left_of(engine) == []


def test_an_engine_ends_with_the_process_that_started_it(directory: Path) -> None:
    owner = start_elsewhere(directory)
    engine = PrivateEngine(directory)
    assert is_answering(engine.url)
    with pytest.raises(EngineUnavailableError, match="another process has it in use"):
        engine.start()
    owner.kill()
    owner.wait()
    wait_until(lambda: not is_answering(engine.url))
    wait_until(lambda: not find_processes("containerd", directory / "containerd.toml"))


def test_an_engine_whose_owner_and_guard_were_killed_is_ended_by_the_next(directory: Path) -> None:
    owner = start_elsewhere(directory)
    guards = find_processes("sh", Path("plancton-engine-guard"))
    old = find_processes("dockerd", directory / "docker.pid")
    assert len(old) == 1
    for guard in guards:
        if str(old[0]) in Path(f"/proc/{guard}/cmdline").read_text().split("\0"):
            os.kill(guard, signal.SIGKILL)
    owner.kill()
    owner.wait()
    with PrivateEngine(directory) as engine:
        assert engine.pid is not None
        assert find_processes("dockerd", directory / "docker.pid") == [engine.pid]
        assert not is_alive(old[0])


def test_a_pidfile_that_names_somebody_else_does_no_harm(directory: Path) -> None:
    (directory / "docker.pid").write_text(str(os.getpid()))
    with PrivateEngine(directory) as engine:
        assert is_answering(engine.url)


def test_a_path_too_long_for_sockets_gets_a_short_folder(directory: Path) -> None:
    long = directory / ("x" * 60) / ("y" * 60)
    engine = PrivateEngine(long)
    with engine:
        assert is_answering(engine.url)
        assert str(engine.socket).startswith("/run/plancton-")
        assert engine.log.is_relative_to(long)
    engine.destroy()
    assert left_of(engine) == []


def test_an_engine_that_cannot_start_shows_the_end_of_its_log(directory: Path) -> None:
    (directory / "data").write_text("in the way")
    with pytest.raises(
        EngineUnavailableError, match=r"(?s)dockerd ended with 1.*ends with:\n.*data"
    ):
        PrivateEngine(directory).start()
    assert not find_processes("containerd", directory / "containerd.toml")


def test_find_engine_takes_the_one_named_and_no_other(
    private_engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", private_engine.url)
    assert find_engine() == private_engine.url
    for wrong in (f"unix://{tmp_path}/none.sock", "unix://", "ssh://host", "tcp://127.0.0.1:x"):
        monkeypatch.setenv("DOCKER_HOST", wrong)
        assert find_engine() is None


def test_find_engine_finds_the_users_own(
    private_engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if is_answering("unix:///run/docker.sock") or is_answering("unix:///run/podman/podman.sock"):
        assert str(find_engine()).startswith("unix:///run/")
        return
    assert find_engine() is None
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").symlink_to(private_engine.socket)
    assert find_engine() == f"unix://{tmp_path}/podman/podman.sock"


def test_an_image_holds_busybox_and_what_it_was_given(
    private_engine: PrivateEngine, rest: Rest, instance: str
) -> None:
    name = f"{instance}:v1"
    files = {"usr/bin/hello": '#!/bin/sh\necho "hello $1" >/tmp/said && exit 7\n'}
    changes = ['ENTRYPOINT ["hello"]', 'CMD ["you"]', "ENV A=b"]
    made = build_image(private_engine.url, name, files=files, changes=changes)
    try:
        assert build_image(private_engine.url, name, files=files, changes=changes) == made
        config = rest.get(f"/images/{name}/json")["Config"]
        assert (config["Entrypoint"], config["Cmd"]) == (["hello"], ["you"])
        created = rest.post("/containers/create", {"Image": name}, name=f"{instance}-hello")["Id"]
        rest.post(f"/containers/{created}/start")
        assert rest.post(f"/containers/{created}/wait")["StatusCode"] == 7
        other = build_image(private_engine.url, name, files=files, changes=['CMD ["x"]'])
        assert other != made
        rest.delete(f"/images/{made}", force=1)
    finally:
        rest.delete(f"/images/{name}", force=1)


@pytest.mark.parametrize("program", ["sh", "sleep", "cat", "true", "false", "nc", "timeout"])
def test_the_pilot_image_has_the_usual_programs(
    rest: Rest, pilot_image: str, instance: str, program: str
) -> None:
    rest.run(pilot_image, f"{instance}-x", ["which", program])
    assert rest.post(f"/containers/{instance}-x/wait")["StatusCode"] == 0


def test_a_bad_change_is_an_error_in_words(private_engine: PrivateEngine) -> None:
    with pytest.raises(EngineRefusedError, match="(?i)bogus"):
        build_image(private_engine.url, "bad:latest", changes=["BOGUS x"])


def test_what_is_static_and_what_is_not() -> None:
    assert is_static(find_static_busybox())
    assert not is_static(Path("/bin/sh").resolve())
    assert not is_static(Path(__file__))


def test_an_error_of_the_engine_is_told_in_its_words(rest: Rest) -> None:
    with pytest.raises(RestError, match="404: No such container: nobody"):
        rest.get("/containers/nobody/json")


def start_elsewhere(directory: Path) -> subprocess.Popen[str]:
    """Start an engine in another process, which then waits to be killed."""
    program = (
        "import sys, time\n"
        "from plancton_tick.ctl.private_engine import PrivateEngine\n"
        "engine = PrivateEngine(sys.argv[1])\n"
        "engine.start()\n"
        "print('started', flush=True)\n"
        "time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == "started\n"
    return owner


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.05)
