"""Find and end processes by what their command line says.

A pid from a file may belong to somebody else by now; a command line that names our own paths
does not.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path


def find_processes(program: str, argument: Path) -> list[int]:
    """Return the pids of processes whose program's name starts so, with this path as argument."""
    wanted = os.fsencode(argument)
    found = []
    for pid in _all_pids():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        name = os.path.basename(os.fsdecode(arguments[0]))
        if name.startswith(program) and any(_value(each) == wanted for each in arguments[1:]):
            found.append(pid)
    return found


def children_of(parents: Iterable[int]) -> list[int]:
    """Return the pids of the live children of these processes."""
    wanted = set(parents)
    return [pid for pid in _all_pids() if _stat(pid)[1] in wanted]


def is_alive(pid: int) -> bool:
    """Say whether the process exists; one that waits to be reaped by a slow parent does not."""
    return _stat(pid)[0] not in ("Z", "X", "")


def send(pids: Iterable[int], which: signal.Signals) -> None:
    """Send a signal to those processes that are still there."""
    for pid in pids:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            continue


def wait_for_end(pids: Iterable[int], seconds: float) -> list[int]:
    """Wait until all these processes are gone, but no longer than so; return those that are not."""
    end = time.monotonic() + seconds
    left = list(pids)
    while True:
        left = [pid for pid in left if is_alive(pid)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def end_processes(pids: Iterable[int], grace_seconds: float) -> None:
    """End processes: SIGTERM, and SIGKILL for those that are there after the grace."""
    pids = list(pids)
    send(pids, signal.SIGTERM)
    left = wait_for_end(pids, grace_seconds)
    send(left, signal.SIGKILL)
    wait_for_end(left, 5.0)


def _value(argument: bytes) -> bytes:
    """Return the path in ``/path``, ``--option=/path`` or ``--option=unix:///path``."""
    if argument.startswith(b"-"):
        argument = argument.partition(b"=")[2]
    return argument.removeprefix(b"unix://")


def _all_pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> tuple[str, int]:
    """Return the state and the parent of a process, proc(5); nothing and 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "", 0
    # The program's name stands in parentheses, and may itself hold spaces and parentheses.
    state, parent = text[text.rindex(")") + 1 :].split()[:2]
    return state, int(parent)
