"""Read what ticks and samples have left in the journal: the events that a history is made of.

What is read is the output of ``journalctl -o json``: a JSON object a line, its values texts.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from plancton_tick.errors import ToolMissingError, TraceError
from plancton_tick.report import Kind

KINDS = (Kind.SPAWNED, Kind.ENDED, Kind.PAUSED, Kind.RESUMED, Kind.TERMINATED, Kind.SAMPLE)
EVENTS = tuple(kind.name.lower() for kind in KINDS)


class Entry(NamedTuple):
    """One event: when, since the epoch, what, and the fields of the journal that tell more."""

    at: float
    event: str
    fields: Mapping[str, str]

    def number(self, field: str) -> float | None:
        """Return a field as a number; None where it is not there or is none."""
        try:
            value = float(self.fields[field])
        except (KeyError, ValueError):
            return None
        return value if abs(value) < float("inf") else None


def read_file(path: str) -> list[Entry]:
    """Read a file that journalctl wrote, in order of time. Raises TraceError."""
    try:
        with open(path, encoding="utf-8") as file:
            return _read(path, file)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "expected UTF-8"
        raise TraceError(f"{path}: cannot be read: {why}") from None


def read_journal(
    since: str | None = None, until: str | None = None, *, user: bool = False
) -> list[Entry]:
    """Read this host's journal, in order of time; ``since`` and ``until`` as journalctl has them.

    Raises TraceError with journalctl's own words, ToolMissingError where there is none.
    """
    if shutil.which("journalctl") is None:
        raise ToolMissingError(
            "there is no journalctl here", hint="give its output: --journal FILE"
        )
    with subprocess.Popen(
        make_command(since, until, user=user),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        # Line by line: what a month has left is many times as large as what is kept of it.
        entries = _read("the journal", run.stdout)
        words = " ".join(run.stderr.read().split())
    if run.returncode != 0 and words:
        raise TraceError(f"journalctl: {words}")
    return entries


def make_command(since: str | None, until: str | None, *, user: bool) -> Sequence[str]:
    """Return the words of a journalctl that prints what is read here."""
    command = ["journalctl", "-o", "json", "--no-pager", "-q"]
    command += ["--user"] if user else []
    command += [f"--since={since}"] if since else []
    command += [f"--until={until}"] if until else []
    # Matches on one field are alternatives.
    return [*command, *(f"PLANCTON_EVENT={event}" for event in EVENTS)]


def _read(name: str, lines: Iterable[str]) -> list[Entry]:
    return sorted(_read_entries(name, lines), key=lambda entry: entry.at)


def _read_entries(name: str, lines: Iterable[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError
            if entry.get("PLANCTON_EVENT") not in EVENTS:
                continue
            at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError, RecursionError):
            raise TraceError(
                f"{name}:{number}: expected a line of journalctl -o json, got {line[:60]!r}"
            ) from None
        # A field that stands twice, or is no text, is a list here: none of ours is.
        ours = {
            key: value
            for key, value in entry.items()
            if key.startswith("PLANCTON_") and isinstance(value, str)
        }
        yield Entry(at, ours["PLANCTON_EVENT"], ours)
