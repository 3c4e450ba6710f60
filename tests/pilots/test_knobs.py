"""What a site needs beside the pilot itself: a file system mounted outside, and Parrot inside.

Neither CernVM-FS nor Parrot is here. A FUSE file system stands in for the first, which may crash
and come back; a program that makes the system call which Parrot needs stands in for the second.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick.ctl.busybox_image import build_image
from plancton_tick.ctl.private_engine import PrivateEngine
from tests.engine.ticks import AT_REST, Node, wait_until

EPERM = 1
UNPRIVILEGED: dict[str, object] = {
    "user": "1000:1000",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
# It says what it sees each time it changes.
LOOK = """\
while :; do
    now=$(cat /cvmfs/repository/file 2>&1)
    [ "$now" = "$before" ] || echo "$now"
    before=$now
    sleep 0.2
done"""


@pytest.fixture(scope="module")
def pilot_image(private_engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an image of busybox and the probe, which ``node`` spawns here."""
    probe = tmp_path_factory.mktemp("probe") / "probe"
    source = Path(__file__).with_name("probe.c")
    subprocess.run(["gcc", "-static", "-o", probe, source], check=True)
    image = "plancton-knobs:test"
    build_image(private_engine.url, image, files={"bin/probe": probe.read_bytes()})
    return image


@pytest.fixture
def cvmfs(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a shared mount with an empty ``repository`` in it."""
    folder = tmp_path / "cvmfs"
    (folder / "repository").mkdir(parents=True)
    for each in (tmp_path.parent, tmp_path, folder):
        each.chmod(0o755)
    run("mount", "--bind", folder, folder)
    try:
        run("mount", "--make-shared", folder)
        yield folder
    finally:
        run("umount", "--recursive", "--lazy", folder)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


@contextlib.contextmanager
def fuse(source: Path, target: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Mount a folder over another by FUSE, in a process that serves it until it is killed."""
    program = shutil.which("bindfs")
    assert program, "bindfs: not found; .ci/prepare test installs it"
    with subprocess.Popen([program, "-f", "-r", source, target]) as process:
        try:
            wait_until(lambda: os.path.ismount(target))
            yield process
        finally:
            process.kill()


def test_a_pilot_sees_a_repository_that_is_mounted_crashes_and_is_mounted_again_while_it_runs(
    node: Node, cvmfs: Path, tmp_path: Path
) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "file").write_text("first\n")
    repository = cvmfs / "repository"
    mounts = [f"{cvmfs}:/cvmfs:ro,rslave"]
    node.configure(
        {"command": ["sh", "-c", LOOK], "mounts": mounts, **UNPRIVILEGED}, host={"max_pilots": 1}
    )
    # In a namespace that is told of mounts, as a service's is; the usual one would be private.
    slave = (
        "unshare",
        "--mount",
        "--propagation=slave",
        "sh",
        "-c",
        AT_REST,
        "sh",
        str(node.still),
    )
    assert node.tick(at_rest=False, prefix=slave).has_done(1, "spawned")
    (pilot,) = node.live()

    def seen() -> list[str]:
        printed = subprocess.run(
            ["docker", "logs", pilot],
            env={**os.environ, "DOCKER_HOST": node.url},
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.rpartition(": ")[2] for line in printed.stdout.splitlines()]

    wait_until(lambda: seen() == ["No such file or directory"])
    with fuse(content, repository) as server:
        wait_until(lambda: seen()[-1] == "first")
        server.send_signal(signal.SIGKILL)
        wait_until(
            lambda: seen()[-1] in ("Transport endpoint is not connected", "Socket not connected")
        )
    # What the host's automounter does.
    run("umount", "--lazy", repository)
    (content / "file").write_text("second\n")
    with fuse(content, repository):
        wait_until(lambda: seen()[-1] == "second")
        run("umount", "--lazy", repository)
    assert node.tick().has_done(0, "")
    assert node.live() == [pilot]


def test_a_mount_that_is_missing_or_not_shared_is_told_before_a_pilot_fails(
    node: Node, cvmfs: Path
) -> None:
    run("mount", "--make-private", cvmfs)
    node.configure({"mounts": [f"{cvmfs}:/cvmfs:ro,rslave", "/nowhere:/scratch"]})
    told = check(node)
    assert f"{cvmfs}: expected a shared mount for rslave" in told
    assert f"mount --make-shared {cvmfs}" in told
    assert "/nowhere: expected a file or folder on this host, found none" in told
    run("mount", "--make-shared", cvmfs)
    node.configure({"mounts": [f"{cvmfs}:/cvmfs:ro,rslave"]})
    assert "expected" not in check(node)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, EPERM),
        ({"cap_add": ["SYS_PTRACE"]}, 0),
        ({"security_opt": ["no-new-privileges", "seccomp=unconfined"]}, 0),
    ],
    ids=["neither", "capability", "seccomp"],
)
def test_parrot_needs_a_capability_in_the_bounding_set_or_no_seccomp_filter(
    node: Node, more: dict[str, object], code: int
) -> None:
    node.configure({"command": ["probe"], **UNPRIVILEGED, **more}, host={"max_pilots": 1})
    assert node.tick().has_done(1, "spawned")
    (pilot,) = node.containers()
    assert node.rest.post(f"/containers/{pilot['Id']}/wait")["StatusCode"] == code


def check(node: Node) -> str:
    """Return what `planctonctl check` says of the configuration, as one line."""
    checked = subprocess.run(
        [Path(sys.executable).with_name("planctonctl"), "check", node.config],
        env={**os.environ, "DOCKER_HOST": node.url, "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join((checked.stdout + checked.stderr).split())
