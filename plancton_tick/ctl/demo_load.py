"""The owner's load: processes that spin, outside of the pilots' slice and at normal priority."""

import os
import subprocess
import sys
import time

# A spinner whose parent was killed ends by itself: nobody else would end it.
_SPIN = """\
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100000):
        pass
"""
_USER_HZ = os.sysconf("SC_CLK_TCK")


class OwnerLoad:
    """As many spinning processes as the owner wants cores."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.started_at: float | None = None
        self._spinners: list[subprocess.Popen[bytes]] = []

    @property
    def is_on(self) -> bool:
        """Tell whether the owner is at work."""
        return bool(self._spinners)

    def start(self) -> None:
        """Begin to spin."""
        self.started_at = time.monotonic()
        for _ in range(self.cores):
            spinner = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _SPIN],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._spinners.append(spinner)

    def read_share(self) -> float | None:
        """Return the part of the cores wanted that the spinners got so far; None if it is off."""
        if self.started_at is None or not self._spinners:
            return None
        wanted = self.cores * (time.monotonic() - self.started_at)
        return sum(_read_cpu_seconds(each.pid) for each in self._spinners) / wanted

    def stop(self) -> None:
        """End all spinners; safe to call at any time."""
        for spinner in self._spinners:
            spinner.kill()
        for spinner in self._spinners:
            spinner.wait()
        self._spinners.clear()


def _read_cpu_seconds(pid: int) -> float:
    """Read a process's user and system time: fields 14 and 15 of proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _USER_HZ
