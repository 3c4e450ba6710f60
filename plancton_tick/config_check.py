"""Check values against a table of keys, and say all that is wrong with them.

A checker is given a value, the path of its key and the place where faults are collected. It gives
the value as the model wants it, or raises `Wrong`; one that looks into lists and mappings adds a
fault for each bad item and gives the good ones. The checkers are in config_forms.py.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from plancton_tick.config_node import (
    Faults,
    MapNode,
    Node,
    describe,
    is_null,
    show_key,
    suggest,
)

Check = Callable[[Node, str, Faults], Any]

REQUIRED = "required"


class Wrong(Exception):  # noqa: N818
    """A value is not what was expected. ``got`` replaces the description of the value."""

    def __init__(self, expected: str, got: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.got = got


class Key(NamedTuple):
    """One key of the configuration.

    ``name`` may be dotted, for a key in a section of the section. ``field`` is the model's.
    ``shown`` is the default as it would be written, ``default`` what that is in the model.
    """

    name: str
    field: str
    check: Check
    shown: str
    default: Any


class Section(NamedTuple):
    """The values of a section by the model's field, and the value nodes by the key's name."""

    values: dict[str, Any]
    written: dict[str, Node]


def check_value(check: Check, node: Node, path: str, faults: Faults, default: Any) -> Any:
    """Give the checked value, or note the fault and give the default."""
    try:
        return check(node, path, faults)
    except Wrong as wrong:
        got = describe(node) if wrong.got is None else wrong.got
        faults.add(node.place, f"{path}: expected {wrong.expected}, got {got}")
        return default


def check_section(keys: Sequence[Key], node: Node | None, path: str, faults: Faults) -> Section:
    """Check a mapping against its keys. Whatever is missing or faulty has its default."""
    section = Section({key.field: key.default for key in keys}, {})
    _check_level(keys, "", node, path, faults, section)
    for key in keys:
        if key.default is REQUIRED and key.name not in section.written and node is not None:
            expected = ", ".join(k.name for k in keys if k.default is REQUIRED)
            faults.add(node.place, f"{path}: expected {expected}, got no {key.name}")
    return section


def _check_level(
    keys: Sequence[Key], prefix: str, node: Node | None, path: str, faults: Faults, section: Section
) -> None:
    if node is None or is_null(node):
        return
    if not isinstance(node, MapNode):
        faults.add(node.place, f"{path}: expected a mapping, got {describe(node)}")
        return
    leaves = {key.name.removeprefix(prefix): key for key in keys if key.name.startswith(prefix)}
    inner = dict.fromkeys(name.split(".")[0] for name in leaves if "." in name)
    names = dict.fromkeys(name.split(".")[0] for name in leaves)
    for name, entry in node.entries.items():
        inner_path = join_path(path, name)
        if name in inner:
            _check_level(keys, f"{prefix}{name}.", entry.value, inner_path, faults, section)
        elif name in leaves and "." not in name:
            key = leaves[name]
            section.written[key.name] = entry.value
            section.values[key.field] = check_value(
                key.check, entry.value, inner_path, faults, key.default
            )
        else:
            close = suggest(name, names)
            expected = f"one of {', '.join(names)}"
            message = f"{inner_path}: expected {expected}, got an unknown key{close}"
            faults.add(entry.place, message)


def join_path(path: str, name: str) -> str:
    """Append a key to a path of keys."""
    return f"{path}.{show_key(name)}" if path else show_key(name)
