"""Read the owner's load from the samples that ticks leave in the journal.

A sample is an entry with ``PLANCTON_EVENT=sample`` and, in cores, ``PLANCTON_OWNER_CORES``; where
it is known with ``PLANCTON_OWNER_MEMORY``, the bytes that all but the pilots use. What is read is
the output of ``journalctl -o json``: a JSON object a line, its values texts.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from plancton_tick.ctl.traces import Sample, Trace, make_trace
from plancton_tick.errors import ToolMissingError, TraceError

EVENT = "sample"
FIELD_CORES = "PLANCTON_OWNER_CORES"
FIELD_MEMORY = "PLANCTON_OWNER_MEMORY"
FIELD_NCPUS = "PLANCTON_NCPUS"
FIELD_MEMORY_TOTAL = "PLANCTON_MEMORY_TOTAL"


def read_journal(path: str | None, since: str | None = None, until: str | None = None) -> Trace:
    """Read a file that journalctl wrote, or this host's journal where none is given.

    ``since`` and ``until`` are as journalctl takes them. Raises TraceError if there are no
    samples, ToolMissingError where there is no journalctl.
    """
    if path is not None:
        try:
            with open(path, encoding="utf-8") as file:
                return _make(path, file)
        except OSError as error:
            raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    if shutil.which("journalctl") is None:
        raise ToolMissingError(
            "there is no journalctl here", hint="give its output as journal:FILE"
        )
    command = ["journalctl", "-o", "json", "--no-pager", "-q", f"PLANCTON_EVENT={EVENT}"]
    command += [f"--since={since}"] if since else []
    command += [f"--until={until}"] if until else []
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0 and run.stderr:
        raise TraceError(f"journalctl: {' '.join(run.stderr.split())}")
    return _make("the journal", run.stdout.splitlines())


def _make(name: str, lines: Iterable[str]) -> Trace:
    entries = list(_read_entries(name, lines))
    samples = [_sample(entry) for entry in entries if FIELD_CORES in entry]
    if len(samples) < 2:
        raise TraceError(
            f"{name}: expected entries with PLANCTON_EVENT={EVENT} and {FIELD_CORES}, "
            f"got {len(samples)}"
        )
    return make_trace(
        name,
        samples,
        ncpus=_last_number(entries, FIELD_NCPUS),
        memory_total_bytes=_last_number(entries, FIELD_MEMORY_TOTAL),
    )


def _read_entries(name: str, lines: Iterable[str]) -> Iterator[dict[str, str]]:
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            raise TraceError(
                f"{name}:{number}: expected a line of journalctl -o json, got {line[:60]!r}"
            ) from None
        if isinstance(entry, dict) and entry.get("PLANCTON_EVENT") == EVENT:
            # A field that stands twice, or is no text, is a list here: none of ours is.
            yield {key: value for key, value in entry.items() if isinstance(value, str)}


def _sample(entry: dict[str, str]) -> Sample:
    try:
        at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        memory = int(entry[FIELD_MEMORY]) if FIELD_MEMORY in entry else None
        return Sample(at, max(0.0, float(entry[FIELD_CORES])), memory)
    except (KeyError, ValueError) as error:
        raise TraceError(f"the journal: a sample that cannot be read: {error}") from None


def _last_number(entries: list[dict[str, str]], field: str) -> int | None:
    told = [entry[field] for entry in entries if entry.get(field, "").isdecimal()]
    return int(told[-1]) if told else None
