"""Measures and finished pilots as lines of InfluxDB's line protocol. Pure.

The series daemon, measurement and container are as Plancton 0.6 sent them: the same tags, fields
and units, with fields beside them; pilots and veto are new. All numbers are floats, as 0.6 wrote
them: a field of a database is of one type for ever.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from plancton_tick.measures import LastTick, Measures, TypeMeasures, World
from plancton_tick.model import Outcome, PilotState

Value = float | str | None

_BY_US = (Outcome.RECLAIMED, Outcome.EXPIRED, Outcome.DRAINED)


class Ended(NamedTuple):
    """A pilot that is no more, as the journal tells of it.

    ``at_us`` is when it was told, in microseconds since the epoch. ``outcome`` is empty for a
    container that never started. What is not known is None.
    """

    at_us: int
    node: str
    pilot: str
    container_id: str
    type: str
    outcome: str
    image: str = ""
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    memory_peak_bytes: float | None = None
    exit_status: float | None = None
    is_oom: float | None = None


def lines_of(measures: Measures, on_seconds: float | None) -> list[str]:
    """Write the lines of a moment. ``on_seconds`` is how long the timer of the ticks has been on.

    It is 0 if the timer is off, None if that is not known.
    """
    host = {"hostname": short_name(measures.node)}
    at_ns = round(measures.taken_at * 1e9)
    world = measures.world
    lines = [_line("daemon", host, _daemon(measures, on_seconds), at_ns)]
    if world is not None:
        lines.append(_line("measurement", host, _measurement(world), at_ns))
        for of_type in world.types:
            lines.append(_line("pilots", {**host, "type": of_type.name}, _type(of_type), at_ns))
        for veto, of_type_name in world.vetoes:
            tags = {**host, "veto": veto, "type": of_type_name}
            lines.append(_line("veto", tags, {"holds": 1.0}, at_ns))
    return [line for line in lines if line]


def line_of_ended(ended: Ended) -> str:
    """Write the line of a finished pilot: the same for the same pilot, whenever it is written.

    The nanoseconds, which the journal does not have, tell pilots of the same microsecond apart: a
    point of the same series and time would replace the other.
    """
    tags = {
        "hostname": short_name(ended.node),
        "started": str(bool(ended.outcome)),
        "killed": str(ended.outcome in _BY_US),
        "type": ended.type,
        "outcome": ended.outcome,
    }
    fields: dict[str, Value] = {
        "uptime": ended.wall_seconds if ended.outcome else 0.0,
        "cpu_seconds": ended.cpu_seconds,
        "memory_peak_bytes": ended.memory_peak_bytes,
        "exit_status": ended.exit_status,
        "oom": ended.is_oom,
        "pilot": ended.pilot,
        "image": ended.image,
    }
    return _line("container", tags, fields, ended.at_us * 1000 + _digits(ended.container_id))


def short_name(node: str) -> str:
    """Return a host's name up to its first dot, as 0.6 had it."""
    return node.partition(".")[0]


def _digits(container_id: str) -> int:
    head = container_id[:12]
    return int(head, 16) % 1000 if re.fullmatch("[0-9a-f]+", head) else 0


def _daemon(measures: Measures, on_seconds: float | None) -> dict[str, Value]:
    fields: dict[str, Value] = {"status": _status(measures, on_seconds)}
    if on_seconds:
        fields["uptime"] = on_seconds
    world = measures.world
    if world is not None:
        # A paused container was up to 0.6, too.
        live = world.count(PilotState.RUNNING) + world.count(PilotState.PAUSED)
        fields["containers"] = live
    fields["config_faults"] = measures.config_faults
    last: LastTick | None = measures.last_tick
    if last is not None:
        fields["tick_age_seconds"] = max(0.0, measures.taken_at - last.ended_at)
        fields["tick_seconds"] = last.duration_seconds
        fields["tick_exit"] = last.exit_code
    return fields


def _status(measures: Measures, on_seconds: float | None) -> str:
    if on_seconds == 0:
        return "stopped"
    if measures.world is None:
        return "waiting"
    return "draining" if measures.world.is_draining else "active"


def _measurement(world: World) -> dict[str, Value]:
    return {
        "cpu_eff": 100.0 * world.busy_cores / world.ncpus,
        "ncpus": world.ncpus,
        "owner_cores": world.owner_cores,
        "pilots_cores": world.pilots_cores,
        "room_cores": world.room_cores,
        "memory_total_bytes": world.memory_total_bytes,
        "owner_memory_bytes": world.owner_memory_bytes,
        "pilots_memory_bytes": world.pilots_memory_bytes,
        "pilots_cpu_seconds": world.pilots_cpu_seconds,
    }


def _type(of_type: TypeMeasures) -> dict[str, Value]:
    return {
        **_prefixed("", of_type.states),
        "started": of_type.started,
        **_prefixed("ended_", of_type.ended),
        "pauses": of_type.pauses,
        "backoff_seconds": of_type.backoff_seconds,
    }


def _prefixed(prefix: str, counts: Mapping[str, int]) -> dict[str, Value]:
    return {f"{prefix}{name.replace('-', '_')}": count for name, count in counts.items()}


# --- the line protocol ---------------------------------------------------------------------------


def _line(series: str, tags: Mapping[str, str], fields: Mapping[str, Value], at_ns: int) -> str:
    """Write one line, an empty one if no field has a value. A tag cannot be empty."""
    written = [f"{_escape(key)}={text}" for key, text in _written(fields)]
    if not written:
        return ""
    # Sorted, as InfluxDB advises.
    kept = [f"{_escape(key)}={_escape(value)}" for key, value in sorted(tags.items()) if value]
    return f"{','.join([_escape(series), *kept])} {','.join(written)} {at_ns}"


def _written(fields: Mapping[str, Value]) -> Iterable[tuple[str, str]]:
    for key, value in fields.items():
        if isinstance(value, str):
            if value:
                inner = _one_line(value).replace("\\", "\\\\").replace('"', '\\"')
                yield key, f'"{inner}"'
        elif value is not None and math.isfinite(value):
            yield key, repr(float(value))


def _escape(name: str) -> str:
    # A backslash at a name's end would escape what follows, and cannot be escaped itself.
    return re.sub(r"([,= ])", r"\\\1", _one_line(name).replace("\\", "/"))


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)
