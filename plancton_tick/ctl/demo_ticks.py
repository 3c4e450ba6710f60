"""Fire real ticks, each a process of its own, as the timer does."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

_SAID = re.compile(
    r"plancton-tick: (?:(spawned)|\S+ \(\S+\) (ended)|(paused|resumed|terminating)) "
)
_TIMEOUT_SECONDS = 120.0
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Tick(NamedTuple):
    """What a tick said and did. ``cpu_seconds`` is its CPU time."""

    exit_code: int
    said: tuple[str, ...]
    did: Counter[str]
    cpu_seconds: float


class Ticks:
    """Ticks on one configuration file; ``folder`` takes what a tick caches."""

    def __init__(self, config_path: str, folder: str) -> None:
        self._command = [sys.executable, "-m", "plancton_tick"]
        self._config = ["--config", config_path]
        # $DOCKER_HOST would override the engine of the configuration.
        self._environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("DOCKER_HOST", "JOURNAL_STREAM")
        } | {"RUNTIME_DIRECTORY": folder}

    def fire(self) -> Tick:
        """Run one tick to its end."""
        before = _children_seconds()
        process = subprocess.Popen(
            [*self._command, *self._config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
            text=True,
            errors="replace",
            # Ctrl-C is for us: the tick at work is left to finish.
            start_new_session=True,
            # Killed outright we cannot wait for it, and who removes our traces would not see its.
            preexec_fn=_die_with_parent,
        )
        try:
            _, text = process.communicate(timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, text = process.communicate()
            text += f"plancton-tick: killed, it took more than {_TIMEOUT_SECONDS:.0f} s\n"
        said = tuple(line for line in text.splitlines() if line.strip())
        matches = [match for line in said if (match := _SAID.match(line))]
        did = Counter(next(word for word in match.groups() if word) for match in matches)
        return Tick(process.returncode, said, did, _children_seconds() - before)

    def explain(self) -> list[str]:
        """Return in words what a tick would do now, and why nothing more."""
        ran = subprocess.run(
            [*self._command, "--dry-run", *self._config],
            capture_output=True,
            text=True,
            errors="replace",
            env=self._environment,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            start_new_session=True,
        )
        return (ran.stdout + ran.stderr).splitlines()


def _die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it is gone (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system
