"""A Docker engine of one's own, started by hand in a folder and leaving nothing behind.

It shares nothing with an engine that the host may run: it has its own containerd, its own bridge,
its own socket, and takes no notice of /etc/docker. It writes no packet filter rule and does not
turn on forwarding, so its containers reach this host and each other, and nobody else. It ends with
the process that started it, even if that is killed.
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from plancton_tick.ctl import bridge, engine_http
from plancton_tick.ctl.engine_folder import SEARCH_PATH, EngineFolder, find_programs
from plancton_tick.errors import EngineRefusedError, EngineUnavailableError

# Waits for the end of its input, which comes when the process that started the engine is gone.
_GUARD = """\
read -r _
kill -TERM "$1"
while kill -0 "$1"; do sleep 0.2; done
kill -TERM "$2"
"""


class PrivateEngine:
    """An engine below ``directory``; a context manager that starts and stops it.

    Images and containers stay there from one start to the next; ``destroy()`` removes them all,
    and the folder. Where the folder's path is too long for unix sockets, they are in a short
    folder of their own in /run.
    """

    def __init__(self, directory: str | Path, *, start_seconds: float = 40.0) -> None:
        self.directory = Path(directory).resolve()
        self.folder = EngineFolder(self.directory)
        self.socket = self.folder.socket
        self.url = f"unix://{self.socket}"
        self.log = self.folder.log
        self._start_seconds = start_seconds
        self._lock: IO[str] | None = None
        self._dockerd: subprocess.Popen[bytes] | None = None
        self._containerd: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The engine's process, None unless it runs."""
        if self._dockerd is None or self._dockerd.poll() is not None:
            return None
        return self._dockerd.pid

    def start(self) -> None:
        """Start the engine and wait until it answers; end one whose process was killed before.

        Raises EngineUnavailableError, with the end of the engine's log if it came to that.
        """
        if self.pid is not None:
            return
        dockerd, containerd = find_programs()
        try:
            self.folder.create()
            self._take_lock()
            self.kill()  # One of the two programs may have died by itself.
            self.folder.end_engines()
            bridge.create_bridge(self.folder.bridge)
            self.folder.write_settings()
            self._containerd = self._spawn([containerd, *self.folder.containerd_arguments()])
            self._dockerd = self._spawn([dockerd, *self.folder.dockerd_arguments()])
            self._guard = _start_guard(self._dockerd.pid, self._containerd.pid)
            self._wait_until_it_answers(self._dockerd, self._containerd)
        except OSError as error:
            self.stop(grace_seconds=2.0)
            raise EngineUnavailableError(
                f"engine in {self.directory}: cannot be started: {error}"
            ) from error
        except BaseException:
            self.stop(grace_seconds=2.0)
            raise

    def stop(self, *, grace_seconds: float = 20.0) -> None:
        """End the engine and its containers, which stay as exited ones for the next start."""
        if self._lock is None:
            return
        self._end_guard()
        for process in (self._dockerd, self._containerd):
            if process is not None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(grace_seconds)
        self.kill()
        self.folder.end_engines()
        self.folder.end_containers()
        self.folder.unmount()
        with contextlib.suppress(OSError):
            bridge.remove_bridge(self.folder.bridge)
        self._lock.close()
        self._lock = None

    def kill(self) -> None:
        """Kill the engine and its containerd outright, as a crash would; containers live on."""
        self._end_guard()
        for process in (self._dockerd, self._containerd):
            if process is not None:
                process.kill()
                process.wait()
        self._dockerd = self._containerd = None

    def restart(self) -> None:
        """Stop the engine, and start it again."""
        self.stop()
        self.start()

    def destroy(self) -> None:
        """End everything and remove all that the engine ever made, its folder included.

        Raises EngineUnavailableError if another process has the engine in use.
        """
        if self.directory.is_dir():
            self._take_lock()
        self._remove_containers()
        self.stop()
        for folder in {self.directory, self.folder.run}:
            if folder.exists():
                shutil.rmtree(folder)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = open(self.folder.lock, "a")  # noqa: SIM115, it is held as long as the engine.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise EngineUnavailableError(
                f"engine in {self.directory}: another process has it in use",
                hint="Wait for that process to end, or use another folder.",
            ) from error
        self._lock = lock

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if key in ("HOME", "LANG") or key.lower().endswith("_proxy")
        }
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=kept | {"PATH": SEARCH_PATH},
                # The terminal's Ctrl-C is for us alone: we stop the engine in good order.
                start_new_session=True,
            )

    def _wait_until_it_answers(
        self, dockerd: subprocess.Popen[bytes], containerd: subprocess.Popen[bytes]
    ) -> None:
        end = time.monotonic() + self._start_seconds
        while not engine_http.is_answering(self.url):
            # containerd first: without it dockerd ends too, and has less to say about it.
            for name, process in (("containerd", containerd), ("dockerd", dockerd)):
                if process.poll() is not None:
                    raise self._start_error(f"{name} ended with {process.returncode}")
            if time.monotonic() > end:
                raise self._start_error(f"no answer within {self._start_seconds:g} s")
            time.sleep(0.02)

    def _start_error(self, what: str) -> EngineUnavailableError:
        tail = self.log.read_text(errors="replace").splitlines()[-12:]
        return EngineUnavailableError(
            f"engine in {self.directory}: {what}; {self.log} ends with:\n" + "\n".join(tail)
        )

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        # Killed before its input ends: it must not signal processes that are no more.
        guard.kill()
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait()

    def _remove_containers(self) -> None:
        """Let the engine, if it runs, remove its containers: that waits for no grace."""
        if self.pid is None:
            return

        def remove(container_id: str) -> None:
            with contextlib.suppress(EngineRefusedError, EngineUnavailableError):
                engine_http.request(self.url, "DELETE", f"/containers/{container_id}?force=1&v=1")

        with contextlib.suppress(EngineRefusedError, EngineUnavailableError):
            listed = json.loads(engine_http.request(self.url, "GET", "/containers/json?all=1"))
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(remove, [each["Id"] for each in listed]))


def _start_guard(dockerd_pid: int, containerd_pid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "plancton-engine-guard", str(dockerd_pid), str(containerd_pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
