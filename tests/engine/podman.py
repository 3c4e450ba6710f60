"""A Podman service of the tests' own: started by hand in a folder, leaving nothing behind.

It shares nothing with a Podman of the host: storage, run folder, networks and settings are below
the folder. It listens on the socket that speaks Docker's API.
"""

import contextlib
import json
import resource
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from plancton_tick.ctl import engine_http
from plancton_tick.ctl.engine_folder import SEARCH_PATH
from plancton_tick.ctl.processes import send, wait_for_end
from plancton_tick.errors import EngineRefusedError, EngineUnavailableError

START_SECONDS = 30.0
# After each container its monitor starts a Podman to clean up; a busy machine takes its time.
STOP_SECONDS = 60.0
# As root Podman asks for more than a container of its own may have; where root lacks
# CAP_SYS_RESOURCE nothing would start.
OPEN_FILES, PROCESSES = 1024, 16384


class PodmanService:
    """A Podman below ``directory``, whose path must be short enough for sockets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "podman.sock"
        self.url = f"unix://{self.socket}"
        self.log = directory / "podman.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises EngineUnavailableError."""
        missing = [name for name in ("podman", "conmon", "catatonit") if not find(name)]
        runtime = find("runc") or find("crun")
        if missing or runtime is None:
            raise EngineUnavailableError(
                f"{' and '.join(missing) or 'runc or crun'} not found in {SEARCH_PATH}",
                hint="Install podman and catatonit, or run `make test`, which does.",
            )
        settings = self.directory / "containers.conf"
        limits = ", ".join(
            f'"{name}={limit}:{limit}"'
            for name, limit in (
                ("nofile", capped(resource.RLIMIT_NOFILE, OPEN_FILES)),
                ("nproc", capped(resource.RLIMIT_NPROC, PROCESSES)),
            )
        )
        networks = self.directory / "networks"
        settings.write_text(
            f"[containers]\ndefault_ulimits = [{limits}]\n"
            f'[network]\nnetwork_config_dir = "{networks}"\n'
        )
        command: list[str | Path] = [
            *(find("setpriv") or "setpriv", "--pdeathsig", "TERM"),
            find("podman") or "podman",
            *("--root", self.directory / "root", "--runroot", self.directory / "run"),
            *("--tmpdir", self.directory / "tmp", "--events-backend", "file"),
            # Needs nothing of the kernel or the file system below, and the image is small.
            *("--storage-driver", "vfs"),
            # Not crun by preference: it refuses hosts with cgroup v1 and v2 side by side.
            *("--cgroup-manager", "cgroupfs", "--runtime", runtime),
            *("system", "service", "--time=0", self.url),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={"PATH": SEARCH_PATH, "CONTAINERS_CONF": str(settings)},
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not engine_http.is_answering(self.url):
            if self._process.poll() is not None or time.monotonic() > end:
                said = self.log.read_text(errors="replace").splitlines()[-5:]
                raise EngineUnavailableError("podman does not answer:\n" + "\n".join(said))
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the service, as a crash would; the containers live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def destroy(self) -> None:
        """Remove its containers, end it, and remove its folder."""
        if self._process is not None:
            with contextlib.suppress(EngineUnavailableError):
                self.remove_containers()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self.kill()
        # Monitors, and the Podmans that they start, are no children of the service.
        left = wait_for_end(find_users(self.directory), STOP_SECONDS)
        send(left, signal.SIGKILL)
        wait_for_end(left, STOP_SECONDS)
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for point in [Path(line.split()[4]) for line in reversed(lines)]:
            if point.is_relative_to(self.directory):
                subprocess.run(["umount", "--lazy", point], check=True)
        shutil.rmtree(self.directory)

    def remove_containers(self) -> None:
        """Remove all its containers, without grace."""

        def remove(container_id: str) -> None:
            path = f"/v4.0.0/libpod/containers/{container_id}?force=true&timeout=0&v=true"
            # Podman refuses if the container ends meanwhile: the next round removes it.
            with contextlib.suppress(EngineRefusedError):
                engine_http.request(self.url, "DELETE", path)

        end = time.monotonic() + STOP_SECONDS
        while ids := [each["Id"] for each in self._list()]:
            if time.monotonic() > end:
                raise EngineUnavailableError(f"podman keeps {ids}")
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(remove, ids))

    def _list(self) -> list[dict[str, str]]:
        listed = engine_http.request(self.url, "GET", "/containers/json?all=1")
        containers: list[dict[str, str]] = json.loads(listed)
        return containers


def find(program: str) -> str | None:
    """Return the path of a program; helpers of containers have a folder of their own."""
    return shutil.which(program, path=f"{SEARCH_PATH}:/usr/libexec/podman:/usr/lib/podman")


def find_users(directory: Path) -> list[int]:
    """Return the pids of the processes that have a path below the folder in their command line."""
    wanted = f"{directory}/".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def capped(limit: int, wanted: int) -> int:
    """Return what is wanted of a limit, or as much as may be had."""
    _, hard = resource.getrlimit(limit)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def remove_slice(instance: str) -> None:
    """Remove the control groups of an instance, with that of Podman's monitors in them.

    A monitor lives a moment longer than its container.
    """
    end = time.monotonic() + STOP_SECONDS
    top = Path("/sys/fs/cgroup")
    while slices := [*top.glob(f"{instance}.slice"), *top.glob(f"*/{instance}.slice")]:
        for folder in [*(slot for each in slices for slot in each.glob("*-slot*.slice")), *slices]:
            for each in (folder / "conmon", folder):
                try:
                    each.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    if time.monotonic() > end:
                        raise
        time.sleep(0.05)
