"""Read the owner's load from a CSV file.

The first line names the columns: ``time`` (seconds, or a date and time as ISO 8601 has it),
``cores``, and if it is known ``memory`` (bytes, or with a suffix as in the configuration). Other
columns are left alone. A line holds from its time until the next.
"""

import csv
import math
from collections.abc import Iterator
from datetime import datetime

from plancton_tick.ctl.traces import Sample, Trace, make_trace
from plancton_tick.errors import TraceError
from plancton_tick.units import parse_size

TIME = ("time", "timestamp", "seconds")
CORES = ("cores", "owner_cores")
MEMORY = ("memory", "memory_bytes", "owner_memory", "owner_memory_bytes")


def read_csv(path: str) -> Trace:
    """Read a file. Raises TraceError with its line for what cannot be understood."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return make_trace(path, _read_lines(path, csv.reader(file)))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: expected CSV in UTF-8: {error}") from None


def _read_lines(path: str, lines: Iterator[list[str]]) -> Iterator[Sample]:
    head = [name.strip().lower() for name in next(lines, [])]
    time, cores = _column(path, head, TIME), _column(path, head, CORES)
    memory = next((head.index(name) for name in MEMORY if name in head), None)
    for number, line in enumerate(lines, 2):
        if not "".join(line).strip():
            continue
        try:
            at, wanted = _read_time(line[time]), float(line[cores])
            held = line[memory].strip() if memory is not None else ""
            size = parse_size(held) if held else None
        except (ValueError, IndexError) as error:
            raise TraceError(f"{path}:{number}: {_expected(error)}, got {','.join(line)}") from None
        if not (math.isfinite(at) and math.isfinite(wanted) and wanted >= 0):
            raise TraceError(f"{path}:{number}: expected a time and cores, got {','.join(line)}")
        yield Sample(at, wanted, size)


def _column(path: str, head: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in head:
            return head.index(name)
    raise TraceError(f"{path}:1: expected a column {names[0]!r}, got {','.join(head) or 'nothing'}")


def _read_time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text.strip()).timestamp()


def _expected(error: Exception) -> str:
    if isinstance(error, IndexError):
        return "expected a value in each column"
    return "expected a time, cores and perhaps memory"
