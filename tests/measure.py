"""Measure the CPU time of commands, against one another, on a machine that others use too."""

import os
import statistics
import sys
from collections.abc import Mapping, Sequence

Command = Sequence[str]
BARE_PYTHON: Command = (sys.executable, "-I", "-c", "pass")


def cpu_seconds(command: Command, environment: Mapping[str, str]) -> float:
    """Run the command to its end and return its user and system CPU time.

    Raises RuntimeError if it fails: what did not work is not worth a number.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawn(command[0], list(command), dict(environment), file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def compare(
    commands: Mapping[str, Command], environment: Mapping[str, str], rounds: int
) -> dict[str, float]:
    """Return the median CPU seconds of each command.

    They run in turn, round after round, so that what else the machine does falls on all alike;
    one run of each before that fills the caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = cpu_seconds(command, environment)
            if number:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with changes, and with byte code kept as usual."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | changes
