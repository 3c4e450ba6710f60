"""A journal of the tests' own: a real systemd-journald that hears only what they tell it."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

JOURNALD = "/usr/lib/systemd/systemd-journald"
NAMESPACE = "test"
# It has its own folders in place of the host's, and is a namespace's journal: such a one leaves the
# kernel's messages and audit alone.
START = """\
mount --bind "$1/run" /run && mkdir -p /run/systemd && mount -t tmpfs none /var/log &&
    mkdir /var/log/journal && mount --bind "$1/log" /var/log/journal && exec "$2" "$3"
"""
PATIENCE_SECONDS = 60.0


class Journald:
    """A journal in a folder; end it with ``stop``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("run", "log"):
            (folder / name).mkdir(parents=True)
        self.socket = folder / "run" / "systemd" / f"journal.{NAMESPACE}" / "socket"
        self._sent = 0
        arguments = ["sh", "-c", START, "sh", str(folder), JOURNALD, NAMESPACE]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *arguments],
            stderr=subprocess.DEVNULL,
        )
        # What is sent before it asks for the senders' credentials, has none.
        self._wait_for(self._has_begun)

    @property
    def journalctl(self) -> tuple[str, ...]:
        """Return the command that reads it."""
        (folder,) = (self.folder / "log").iterdir()
        return ("journalctl", f"--directory={folder}")

    def tell(self, fields: Mapping[str, str]) -> None:
        """Write an entry, in the form that systemd.io/JOURNAL_NATIVE_PROTOCOL describes."""
        self._sent += 1
        numbered = {**fields, "TEST_NUMBER": str(self._sent)}
        data = "".join(f"{name}={value}\n" for name, value in numbered.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(data.encode(), str(self.socket))

    def wait(self) -> None:
        """Wait until all that was told can be read."""
        self._wait_for(self._has_all)

    def _has_begun(self) -> bool:
        return any((self.folder / "log").glob("*/system.journal"))

    def _has_all(self) -> bool:
        run = subprocess.run(
            [*self.journalctl, "--quiet", f"TEST_NUMBER={self._sent}"],
            capture_output=True,
            check=True,
        )
        return bool(run.stdout)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self._process.poll() is None, "systemd-journald has ended"
            assert time.monotonic() < end, "systemd-journald does not answer"
            time.sleep(0.02)

    def forget(self) -> None:
        """Lose all entries so far, as a journal does that has grown too large."""
        self._process.send_signal(signal.SIGUSR2)
        self._wait_for(lambda: any((self.folder / "log").glob("*/system@*.journal")))
        for path in (self.folder / "log").glob("*/system@*.journal"):
            path.unlink()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
