"""The pilots that have finished, from the journal, onward from where it was read last."""

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from plancton_tick.influx_lines import Ended
from plancton_tick.report import Kind

JOURNALCTL = ("journalctl",)
# A database that was down for long gets no more at once than it takes in a moment.
BATCH = 1000
TIMEOUT_SECONDS = 10.0

_FIELDS = (
    "PLANCTON_PILOT",
    "PLANCTON_TYPE",
    "PLANCTON_OUTCOME",
    "PLANCTON_IMAGE",
    "PLANCTON_WALL_SECONDS",
    "PLANCTON_CPU_SECONDS",
    "PLANCTON_MEMORY_PEAK_BYTES",
    "PLANCTON_OOM",
    "EXIT_STATUS",
    "CONTAINER_NAME",
    "CONTAINER_ID_FULL",
    "_HOSTNAME",
)


class Batch(NamedTuple):
    """Finished pilots, oldest first; ``cursor`` is the place of the last entry that was read."""

    ended: tuple[Ended, ...]
    cursor: str


class JournalError(Exception):
    """The journal cannot be read."""


def read_ended(cursor: str, instance: str, journalctl: Sequence[str] = JOURNALCTL) -> Batch:
    """Read what pilots of this instance finished after ``cursor``, from the beginning if empty.

    Looks at so many entries at most. Raises `JournalError`.
    """
    # --after-cursor with matches leaves out the first entry that matches unless that is the
    # cursor's (systemd 252). --cursor begins with the cursor's entry itself, if that is still
    # there, else with what came after it.
    command = [*journalctl, "--quiet", "--no-pager", "--output=json"]
    command.append(f"--output-fields={','.join(_FIELDS)}")
    if cursor:
        command.append(f"--cursor={cursor}")
    command += [f"MESSAGE_ID={kind.value}" for kind in (Kind.ENDED, Kind.REMOVED)]
    # Anybody may write an entry with these fields, but only in their own name.
    command += sorted({"_UID=0", f"_UID={os.geteuid()}"})
    ended = []
    last = cursor
    # The cursor's own entry is one more.
    for line in _read_lines(command, BATCH + bool(cursor)):
        entry = _parse(line)
        place = entry.get("__CURSOR", "")
        if not place or place == cursor:
            continue
        last = place
        if _is_of(instance, entry):
            ended.append(_ended(entry))
    return Batch(tuple(ended), last)


def _is_of(instance: str, entry: Mapping[str, str]) -> bool:
    """Tell whether an entry is of one of this instance's slots."""
    name, _, slot = entry.get("CONTAINER_NAME", "").rpartition("-")
    return name == instance and slot.isdigit()


def _ended(entry: Mapping[str, str]) -> Ended:
    return Ended(
        at_us=int(entry.get("__REALTIME_TIMESTAMP", "0")),
        node=entry.get("_HOSTNAME", ""),
        pilot=entry.get("PLANCTON_PILOT", ""),
        container_id=entry.get("CONTAINER_ID_FULL", ""),
        type=entry.get("PLANCTON_TYPE", ""),
        outcome=entry.get("PLANCTON_OUTCOME", ""),
        image=entry.get("PLANCTON_IMAGE", ""),
        wall_seconds=_number(entry, "PLANCTON_WALL_SECONDS"),
        cpu_seconds=_number(entry, "PLANCTON_CPU_SECONDS"),
        memory_peak_bytes=_number(entry, "PLANCTON_MEMORY_PEAK_BYTES"),
        exit_status=_number(entry, "EXIT_STATUS"),
        is_oom=_number(entry, "PLANCTON_OOM"),
    )


def _number(entry: Mapping[str, str], name: str) -> float | None:
    try:
        return float(entry[name])
    except (KeyError, ValueError):
        return None


def _parse(line: bytes) -> dict[str, str]:
    """Give an entry's texts; what is no text, as bytes or a field said twice, is left out."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(entry, dict):
        return {}
    return {name: value for name, value in entry.items() if isinstance(value, str)}


def _read_lines(command: Sequence[str], most: int) -> list[bytes]:
    """Run a program and return the first lines it prints. Raises `JournalError`."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise JournalError(f"{command[0]}: {error.strerror}") from error
    # It ends the program, and with it the reading of what that prints.
    alarm = threading.Timer(TIMEOUT_SECONDS, process.kill)
    alarm.daemon = True
    alarm.start()
    with process:
        lines = list(islice(process.stdout or (), most))
        if len(lines) == most:
            process.kill()
            return lines
        said = process.stderr.read().decode("utf-8", "replace") if process.stderr else ""
        code = process.wait()
        alarm.cancel()
    if code:
        problem = said.strip().splitlines() or [f"it ends with {code}"]
        raise JournalError(f"{command[0]}: {problem[-1]}")
    return lines
