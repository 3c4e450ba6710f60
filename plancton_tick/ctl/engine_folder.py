"""The folder of a private engine: what lies where, and clearing up after an engine that died."""

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from plancton_tick.ctl.processes import (
    children_of,
    end_processes,
    find_processes,
    send,
    wait_for_end,
)
from plancton_tick.errors import EngineUnavailableError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The address of a unix socket has room for 107 bytes; the longest one below the run folder is
# exec/libnetwork/0123456789ab.sock.
_LONGEST_RUN = 107 - len("/exec/libnetwork/0123456789ab.sock")

_CONTAINERD_CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{address}"
"""


class EngineFolder:
    """The paths of an engine below ``directory``, and the commands that run it there.

    ``run`` is where the sockets are: the same folder, or one in /run where that one's path is too
    long for them. The bridge's name follows from the path, so that a later start finds it again.
    """

    def __init__(self, directory: Path) -> None:
        mark = hashlib.sha256(os.fsencode(directory)).hexdigest()[:10]
        self.directory = directory
        self.run = directory
        if len(os.fsencode(directory)) > _LONGEST_RUN:
            self.run = Path(f"/run/plancton-{mark}")
        self.socket = self.run / "docker.sock"
        self.log = directory / "docker.log"
        self.lock = directory / "lock"
        self.bridge = f"plt-{mark}"
        self._pidfile = directory / "docker.pid"
        self._settings = directory / "daemon.json"
        self._containerd_config = directory / "containerd.toml"
        self._containerd_socket = self.run / "containerd.sock"

    def create(self) -> None:
        """Make the folders. Others may pass through: users of containers need their files."""
        for folder in (self.directory, self.run):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)

    def write_settings(self) -> None:
        """Write the settings of both programs, and remove what would keep them from starting."""
        for stale in (self._pidfile, self.socket, self._containerd_socket):
            stale.unlink(missing_ok=True)
        # A file of its own, even an empty one, keeps the host's /etc/docker/daemon.json out.
        self._settings.write_text("{}\n")
        self._containerd_config.write_text(
            _CONTAINERD_CONFIG.format(
                root=self.directory / "containerd",
                state=self.run / "containerd-state",
                address=self._containerd_socket,
            )
        )

    def containerd_arguments(self) -> list[str]:
        """Return the arguments of containerd."""
        return ["--config", str(self._containerd_config), "--log-level", "warn"]

    def dockerd_arguments(self) -> list[str]:
        """Return the arguments of dockerd."""
        return [
            f"--config-file={self._settings}",
            f"--data-root={self.directory / 'data'}",
            f"--exec-root={self.run / 'exec'}",
            f"--pidfile={self._pidfile}",
            f"--host=unix://{self.socket}",
            "--group=root",
            f"--containerd={self._containerd_socket}",
            f"--bridge={self.bridge}",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
            # No name server can be reached from there: a lookup fails at once, in place of waiting.
            "--dns=127.0.0.1",
        ]

    def end_engines(self) -> None:
        """End an engine that an earlier process started here; its containers end as it says."""
        end_processes(find_processes("dockerd", self._pidfile), 20.0)
        end_processes(find_processes("containerd", self._containerd_config), 5.0)

    def end_containers(self) -> None:
        """End the containers that outlived their engine. There must be no engine here."""
        shims = find_processes("containerd-shim", self._containerd_socket)
        for left in self.run.glob("exec/runtime-runc/moby/*"):
            # runc knows all processes and control groups of a container, frozen ones too.
            subprocess.run(
                ["runc", f"--root={left.parent}", "delete", "--force", left.name],
                check=False,
                capture_output=True,
                env={"PATH": SEARCH_PATH},
            )
        pids = [*children_of(shims), *shims]
        send(pids, signal.SIGKILL)
        wait_for_end(pids, 5.0)

    def mounts(self) -> list[Path]:
        """Return what is mounted below our folders, inner mounts first, proc_pid_mountinfo(5)."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [Path(_unescaped(line.split()[4])) for line in reversed(lines)]
        mine = {self.directory, self.run}
        return [point for point in points if any(point.is_relative_to(each) for each in mine)]

    def unmount(self) -> None:
        """Unmount all that is mounted below our folders."""
        for point in self.mounts():
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def find_programs() -> tuple[str, str]:
    """Return the paths of dockerd and containerd. Raises EngineUnavailableError."""
    if os.geteuid() != 0:
        raise EngineUnavailableError(
            f"engine: only root can start one, and this is user {os.geteuid()}",
            hint="Run as root, or name an engine that you may use in $DOCKER_HOST.",
        )
    found = {name: shutil.which(name, path=SEARCH_PATH) for name in ("dockerd", "containerd")}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise EngineUnavailableError(
            f"engine: {' and '.join(missing)} not found in {SEARCH_PATH}",
            hint="Install Debian's or Ubuntu's docker.io, or Fedora's moby-engine.",
        )
    return str(found["dockerd"]), str(found["containerd"])


def _unescaped(field: str) -> str:
    for octal, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        field = field.replace(octal, character)
    return field
