"""The tree of values to a complete `Config`: the schema, and what no single key can tell."""

from typing import Any

from plancton_tick.classic import KEYS as CLASSIC_KEYS
from plancton_tick.config_check import check_section
from plancton_tick.config_node import (
    Faults,
    ListNode,
    MapNode,
    Node,
    Place,
    describe,
    is_null,
    pilot_name,
    show_key,
    suggest,
)
from plancton_tick.config_schema import (
    DEFAULT_COMMAND,
    ENGINE,
    HOST,
    METRICS,
    PILOT,
    RECLAIM,
    SECTIONS,
    SPAWN,
    TOP_LEVEL,
)
from plancton_tick.model import (
    Config,
    EngineConfig,
    ExitCodes,
    HostConfig,
    MetricsConfig,
    PilotType,
    ReclaimConfig,
    SpawnConfig,
)
from plancton_tick.units import format_duration

_CODE_FIELDS = ("done", "no_work", "unreachable")


def build_config(root: MapNode, host: tuple[int, int] | None, faults: Faults) -> Config:
    """Check a merged tree of today's keys and fill in the defaults.

    ``host`` is the number of CPUs and of bytes of RAM, if pilots are to be held against them.
    Faulty values are the defaults, faulty pilot types are left out. Raises nothing.
    """
    nodes = {key: entry.value for key, entry in root.entries.items()}
    for key, entry in root.entries.items():
        if key not in TOP_LEVEL:
            message = f"expected one of {', '.join(TOP_LEVEL)}, got an unknown key"
            faults.add(entry.place, f"{show_key(key)}: {message}{_suggest_path(key)}")
    host_section = check_section(HOST, nodes.get("host"), "host", faults)
    spawn = check_section(SPAWN, nodes.get("spawn"), "spawn", faults)
    reclaim = check_section(RECLAIM, nodes.get("reclaim"), "reclaim", faults)
    engine = check_section(ENGINE, nodes.get("engine"), "engine", faults)
    metrics = check_section(METRICS, nodes.get("metrics"), "metrics", faults)
    host_config = HostConfig(**host_section.values)
    limits = None
    if host is not None:
        reserve = host_section.written.get("reserve.cpus")
        limits = _Limits(host, host_config.reserve_cpus, reserve)
    return Config(
        host=host_config,
        spawn=SpawnConfig(**spawn.values),
        reclaim=ReclaimConfig(**reclaim.values),
        engine=EngineConfig(**engine.values),
        pilots=_check_pilots(nodes.get("pilots"), limits, faults),
        metrics=MetricsConfig(**metrics.values),
    )


def _suggest_path(key: str) -> str:
    """Suggest a top-level key, else where a key of this name belongs."""
    for section, keys in (*SECTIONS.items(), ("pilots[]", PILOT)):
        for candidate in keys:
            if key in (candidate.name, candidate.name.split(".")[0]):
                return f"; did you mean {section}.{key}?"
    return suggest(key, [*TOP_LEVEL, *CLASSIC_KEYS])


class _Limits:
    """What the host has for pilots. A default that does not fit is no fault of the operator."""

    def __init__(self, host: tuple[int, int], reserve_cpus: float, reserve: Node | None) -> None:
        self.ncpus, self.ram_bytes = host
        self.reserve_cpus = reserve_cpus
        self.reserve = reserve

    def check(self, pilot: PilotType, written: dict[str, Node], path: str, faults: Faults) -> None:
        room = self.ncpus - self.reserve_cpus
        culprit = written.get("cpus", self.reserve)
        if pilot.cpus > room and culprit is not None:
            message = (
                f"expected at most the {room:g} cores that {self.ncpus} CPUs less reserve.cpus "
                f"leave, got {pilot.cpus:g}"
            )
            faults.add(culprit.place, f"{path}.cpus: {message}")
        if "memory" in written and pilot.memory_bytes > self.ram_bytes:
            message = f"expected at most the host's RAM, {self.ram_bytes} bytes"
            got = describe(written["memory"])
            faults.add(written["memory"].place, f"{path}.memory: {message}, got {got}")


def _check_pilots(
    node: Node | None, limits: _Limits | None, faults: Faults
) -> tuple[PilotType, ...]:
    if node is None or is_null(node):
        node = ListNode(Place("", 0, 0), (MapNode(Place("", 0, 0), {}),))
    if not isinstance(node, ListNode) or not node.items:
        message = f"expected a list of one or more pilot types, got {describe(node)}"
        faults.add(node.place, f"pilots: {message}")
        return (_pilot_type({}, {}),)
    pilots: dict[str, PilotType] = {}
    for index, item in enumerate(node.items):
        pilot = _check_pilot(item, f"pilots[{_label_of(item, index)}]", limits, faults)
        if pilot is not None:
            pilots.setdefault(pilot.name, pilot)
    if pilots and not any(pilot.share for pilot in pilots.values()):
        message = "expected one share above 0 or more, got only shares of 0"
        faults.add(node.place, f"pilots: {message}")
    return tuple(pilots.values())


def _label_of(item: Node, index: int) -> str:
    name = pilot_name(item)
    return show_key(name) if name and isinstance(item, MapNode) else str(index)


def _check_pilot(item: Node, path: str, limits: _Limits | None, faults: Faults) -> PilotType | None:
    before = len(faults)
    if not isinstance(item, MapNode):
        faults.add(item.place, f"{path}: expected a mapping, got {describe(item)}")
        return None
    values, written = check_section(PILOT, item, path, faults)
    low, high = values["backoff_seconds"], values["backoff_max_seconds"]
    if low > high and "backoff" in written:
        message = f"expected at most backoff_max ({format_duration(high)})"
        got = describe(written["backoff"])
        faults.add(written["backoff"].place, f"{path}.backoff: {message}, got {got}")
    elif low > high:
        message = f"expected at least backoff ({format_duration(low)})"
        got = describe(written["backoff_max"])
        faults.add(written["backoff_max"].place, f"{path}.backoff_max: {message}, got {got}")
    _check_exit_codes(values, written, path, faults)
    pilot = _pilot_type(values, written)
    if limits is not None:
        limits.check(pilot, written, path, faults)
    return pilot if len(faults) == before else None


def _check_exit_codes(
    values: dict[str, Any], written: dict[str, Node], path: str, faults: Faults
) -> None:
    stated: dict[int, str] = {}
    for field in _CODE_FIELDS:
        node = written.get(f"exit_codes.{field}")
        for code in values[field] if node is not None else ():
            if code in stated and node is not None:
                message = f"expected each code in one list, got {code} in {stated[code]} too"
                faults.add(node.place, f"{path}.exit_codes.{field}: {message}")
            stated.setdefault(code, field)
    # A code that is stated for one outcome is meant to leave the default of another.
    for field in _CODE_FIELDS:
        if f"exit_codes.{field}" not in written:
            values[field] = tuple(code for code in values[field] if code not in stated)


def _pilot_type(values: dict[str, Any], written: dict[str, Node]) -> PilotType:
    filled = {**{key.field: key.default for key in PILOT}, **values}
    codes = ExitCodes(*(filled.pop(field) for field in _CODE_FIELDS))
    if filled["command"] is None and "image" not in written:
        filled["command"] = DEFAULT_COMMAND
    return PilotType(exit_codes=codes, **filled)
