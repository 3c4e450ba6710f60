"""The keys of Plancton 0.6 and what they are today. Pure.

A file of 0.6 is flat and describes one pilot type. It is translated as written, value by value, to
a tree of today's keys, with the defaults of 0.6 for what it leaves out: the same file means the
same. `Translated` keeps which line became what, so that it can be shown.
"""

from typing import NamedTuple

from plancton_tick.classic_forms import (
    Convert,
    convert_binds,
    convert_capabilities,
    convert_command,
    convert_databases,
    convert_devices,
    convert_max_docks,
    convert_nothing,
    convert_options,
    expand_sizes,
    list_node,
    text_node,
)
from plancton_tick.config_check import check_value
from plancton_tick.config_node import (
    Entry,
    Faults,
    Kind,
    ListNode,
    MapNode,
    Node,
    Place,
    ScalarNode,
    show_key,
    show_place,
    suggest,
)
from plancton_tick.config_schema import TOP_LEVEL, check_of
from plancton_tick.units import parse_size


class OldKey(NamedTuple):
    """A key of Plancton 0.6.

    ``today`` is the path it has today, empty for none; several are joined with a comma.
    ``default`` is 0.6's as it would be written. ``convert`` checks a value and gives today's, or
    raises `Wrong`. ``change`` says what it no longer means, if anything.
    """

    today: str
    default: str
    convert: Convert
    change: str = ""


class Translated(NamedTuple):
    """One value of the translation: where it came from and where it went.

    ``key`` is 0.6's, empty where today needs a key for what 0.6 always did. ``place`` is None for a
    default of 0.6 that was not written. ``node`` is None if there is nothing like it today.
    """

    key: str
    place: Place | None
    today: str
    node: Node | None
    change: str


class Translation(NamedTuple):
    """A whole file of Plancton 0.6 as today's tree, value by value, with notes for people."""

    root: MapNode
    values: tuple[Translated, ...]
    notes: tuple[str, ...]


def is_classic(root: MapNode) -> bool:
    """Tell whether a file has keys of Plancton 0.6 and none of today's."""
    names = set(root.entries)
    return bool(names & set(KEYS)) and not names & set(TOP_LEVEL)


def translate(root: MapNode, faults: Faults, *, has_apparmor: bool) -> Translation:
    """Translate a file of Plancton 0.6 to today's keys.

    Faults name the keys as they were written; a faulty value is 0.6's default. 0.6 ignored
    ``security_opts`` on a host without AppArmor, so that needs to be known.
    """
    for name, unknown in root.entries.items():
        if name not in KEYS:
            message = f"expected a key of Plancton 0.6, got an unknown key{suggest(name, KEYS)}"
            faults.add(unknown.place, f"{show_key(name)}: {message}")
    values: list[Translated] = []
    notes: list[tuple[int, int, str]] = []
    for name, key in KEYS.items():
        entry = root.entries.get(name)
        node: Node | None = None
        change = ""
        if entry is not None:
            before = len(faults)
            node = check_value(key.convert, entry.value, name, faults, None)
            # Half a list is no value; checked again as today's it would be a second fault.
            node = node if len(faults) == before else None
            change = key.change
        if name == "security_opts":
            if isinstance(node, ListNode) and node.items and not has_apparmor:
                node = ListNode(node.place, ())
                change = "left out: without AppArmor on the host, 0.6 left these out too"
            node = _with_privileges(node, root.place)
        place = None if entry is None else entry.place
        if node is None and key.today:
            node = _default(key, root.place)
        values.append(Translated(name, place, key.today, node if key.today else None, change))
        if change and entry is not None:
            where = entry.place
            notes.append((where.order, where.line, f"{show_place(where)}: {name}: {change}"))
    values.extend(_always(root.place))
    memory, swap = (_bytes_of(values, name) for name in ("max_dock_mem", "max_dock_swap"))
    values = [
        value._replace(node=expand_sizes(value.node, memory, swap))
        if value.key == "max_docks" and isinstance(value.node, ScalarNode)
        else value
        for value in values
    ]
    lines = tuple(line for _order, _line, line in sorted(notes))
    return Translation(_build_tree(values, root.place), tuple(values), lines)


def kind_of(written: str) -> Kind:
    """Tell what YAML takes a plain value of `KEYS` for."""
    if written in ("true", "false"):
        return Kind.BOOLEAN
    return Kind.INTEGER if written.isdigit() else Kind.TEXT


# --- building today's tree -----------------------------------------------------------------------


def _default(key: OldKey, place: Place) -> Node:
    if key.default == "[]":
        return ListNode(place, ())
    node = ScalarNode(place, key.default, kind_of(key.default))
    return key.convert(node, "", Faults())


def _with_privileges(node: Node | None, place: Place) -> ListNode:
    """Allow what 0.6 allowed: today's pilots may gain no privileges unless a type says so."""
    items = node.items if isinstance(node, ListNode) else ()
    stated = any(
        isinstance(item, ScalarNode) and item.text.startswith("no-new-privileges") for item in items
    )
    if not stated:
        items = (*items, text_node(place, "no-new-privileges=false"))
    return ListNode(node.place if node is not None else place, items)


def _always(place: Place) -> tuple[Translated, ...]:
    """Give the keys that today's defaults have otherwise than what 0.6 always did."""
    return (
        Translated("", None, "host.reserve.cpus", ScalarNode(place, "0", Kind.INTEGER), ""),
        Translated("", None, "reclaim.action", text_node(place, "stop"), ""),
    )


def _bytes_of(values: list[Translated], name: str) -> int:
    node = next(value.node for value in values if value.key == name)
    return parse_size(node.text) if isinstance(node, ScalarNode) else 0


def _build_tree(values: list[Translated], place: Place) -> MapNode:
    tree: dict[str, dict[str, Entry]] = {section: {} for section in TOP_LEVEL}
    for value in values:
        if value.node is None:
            continue
        entry_place = place if value.place is None else value.place
        if value.key == "capabilities" and isinstance(value.node, ListNode):
            added, dropped = _split_capabilities(value.node)
            tree["pilots"]["cap_add"] = Entry(entry_place, added)
            tree["pilots"]["cap_drop"] = Entry(entry_place, dropped)
            continue
        section, *path = value.today.replace("pilots[]", "pilots").split(".")
        node = value.node
        for name in reversed(path[1:]):
            node = MapNode(place, {name: Entry(entry_place, node)})
        tree[section][path[0]] = Entry(entry_place, node)
    pilot = MapNode(place, tree.pop("pilots"))
    entries = {name: Entry(place, MapNode(place, section)) for name, section in tree.items()}
    return MapNode(place, {**entries, "pilots": Entry(place, ListNode(place, (pilot,)))})


def _split_capabilities(node: ListNode) -> tuple[ListNode, ListNode]:
    written = [item.text for item in node.items if isinstance(item, ScalarNode) and item.text]
    added = tuple(name.lstrip("+") for name in written if not name.startswith("-"))
    dropped = tuple(name.lstrip("-") for name in written if name.startswith("-"))
    return list_node(node.place, added), list_node(node.place, dropped)


def _keep(today: str) -> Convert:
    """Make a converter for a value that is the same today."""
    check = check_of(today)

    def convert(node: Node, path: str, faults: Faults) -> Node:
        check(node, path, faults)
        return node

    return convert


def _same(today: str, default: str) -> OldKey:
    return OldKey(today, default, _keep(today))


# In the order in which 0.6 lists them.
KEYS: dict[str, OldKey] = {
    "influxdb_url": OldKey(
        "metrics.influxdb",
        "[]",
        convert_databases,
        "written to by plancton-metrics, beside the ticks: plancton-metrics.timer has to be on",
    ),
    "insecure_https": _same("metrics.insecure_https", "false"),
    "updateconfig": OldKey(
        "", "60", convert_nothing, "has no counterpart: the configuration is read at every tick"
    ),
    "image_expiration": _same("pilots[].pull", "43200"),
    "main_sleep": OldKey(
        "", "30", convert_nothing, "has no counterpart: plancton.timer says how often a tick runs"
    ),
    "grace_kill": _same("reclaim.after", "120"),
    "grace_spawn": _same("spawn.cooldown", "60"),
    "cpus_per_dock": _same("pilots[].cpus", "1"),
    "max_docks": OldKey("host.max_pilots", "ncpus - 2", convert_max_docks),
    "docks_per_loop": _same("spawn.per_tick", "4"),
    "max_ttl": _same("pilots[].lifetime", "43200"),
    "docker_image": _same("pilots[].image", "busybox"),
    "docker_cmd": OldKey("pilots[].command", "/bin/sleep 60", convert_command),
    "docker_privileged": _same("pilots[].privileged", "false"),
    "max_dock_mem": _same("pilots[].memory", "2000000000"),
    "max_dock_swap": _same("pilots[].swap", "0"),
    "user_group": _same("pilots[].user", "0:0"),
    "binds": OldKey(
        "pilots[].mounts",
        "[]",
        convert_binds,
        "no longer relabelled for SELinux: where that enforces, label the sources container_file_t",
    ),
    "devices": OldKey("pilots[].devices", "[]", convert_devices),
    "capabilities": OldKey("pilots[].cap_add, pilots[].cap_drop", "[]", convert_capabilities),
    "security_opts": OldKey("pilots[].security_opt", "[]", convert_options),
}
