"""The configuration as written: values that know their file and line, and how files are merged.

Everything that is said about a value must name its line, also after drop-ins were merged over it;
so the values are checked in this form, never as plain dicts and lists.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

MAX_SHOWN = 60
# Up to the last @, for a password may hold what a URL may not.
_CREDENTIALS = re.compile(r"(?<=://).*@", re.DOTALL)


class Kind(StrEnum):
    """What a plain value is in YAML 1.1."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    NULL = "null"


class Place(NamedTuple):
    """Where something stands: the ``order``-th file that was read, line 0 for the whole file."""

    file: str
    order: int
    line: int


class ScalarNode(NamedTuple):
    """A single value, as it was written."""

    place: Place
    text: str
    kind: Kind


class ListNode(NamedTuple):
    """A list of values."""

    place: Place
    items: "tuple[Node, ...]"


class Entry(NamedTuple):
    """A key's place, and its value."""

    place: Place
    value: "Node"


class MapNode(NamedTuple):
    """Keys, in the order written, and their values."""

    place: Place
    entries: Mapping[str, Entry]


Node = ScalarNode | ListNode | MapNode


class Faults:
    """Collects what is wrong, to be said all at once."""

    def __init__(self) -> None:
        self._found: list[tuple[Place, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, message: str) -> None:
        """Note a fault. The message is one line, without the place."""
        self._found.append((place, message))

    def lines(self) -> tuple[str, ...]:
        """Give ``file:line: message`` for each fault, in file order."""
        ordered = sorted(self._found, key=lambda fault: (fault[0].order, fault[0].line))
        return tuple(dict.fromkeys(f"{show_place(place)}: {text}" for place, text in ordered))


def show_place(place: Place) -> str:
    """Write a place as ``file:line``, or ``file`` where no line is meant."""
    file = place.file if place.file.isprintable() else repr(place.file)
    return f"{file}:{place.line}" if place.line else file


def show_key(key: str) -> str:
    """Write a key so that it can stand in a message: short, printable, on one line."""
    if key.isidentifier() and len(key) <= MAX_SHOWN:
        return key
    return show_text(key)


def show_text(text: str) -> str:
    """Quote a text, shortened, with whatever a terminal must not see escaped.

    The credentials of a URL are left out: faults are logged where everybody may read them.
    """
    text = _CREDENTIALS.sub("…@", text)
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def describe(node: Node) -> str:
    """Say what was found, to follow the word "got"."""
    match node:
        case ScalarNode(kind=Kind.NULL):
            return "nothing"
        case ScalarNode(kind=Kind.TEXT, text=text):
            return show_text(text)
        case ScalarNode(text=text, kind=kind):
            shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
            return f"the {kind} {shown}" if kind is Kind.BOOLEAN else shown
        case ListNode(items=items):
            return "a list" if items else "an empty list"
        case MapNode():
            return "a mapping"


def suggest(name: str, known: Iterable[str]) -> str:
    """Give ``; did you mean …?`` where a known name is close, else nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name[:MAX_SHOWN], list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def is_null(node: Node | None) -> bool:
    """Tell whether nothing was written."""
    return node is None or (isinstance(node, ScalarNode) and node.kind is Kind.NULL)


def pilot_name(node: Node) -> str | None:
    """Give the name by which an entry of ``pilots:`` is merged, None if it is none."""
    if not isinstance(node, MapNode):
        return None
    entry = node.entries.get("name")
    if entry is None:
        return "default"
    return entry.value.text if isinstance(entry.value, ScalarNode) else None


def merge(base: MapNode, over: MapNode) -> MapNode:
    """Lay one configuration over another, key by key.

    Mappings merge, entries of the top-level ``pilots`` merge by their name, anything else is
    replaced. A section left empty over a mapping changes nothing.
    """
    entries = dict(_merge_maps(base, over).entries)
    ours, theirs = base.entries.get("pilots"), over.entries.get("pilots")
    if ours is not None and theirs is not None:
        if is_null(theirs.value):
            entries["pilots"] = ours
        elif isinstance(ours.value, ListNode) and isinstance(theirs.value, ListNode):
            entries["pilots"] = Entry(theirs.place, _merge_pilots(ours.value, theirs.value))
    return MapNode(base.place, entries)


def _merge_maps(base: MapNode, over: MapNode) -> MapNode:
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        old = entries.get(key)
        if old is not None and isinstance(old.value, MapNode):
            if is_null(entry.value):
                continue
            if isinstance(entry.value, MapNode):
                entry = Entry(entry.place, _merge_maps(old.value, entry.value))
        entries[key] = entry
    return MapNode(over.place, entries)


def _merge_pilots(base: ListNode, over: ListNode) -> ListNode:
    items = list(base.items)
    at = {pilot_name(item): index for index, item in enumerate(items)}
    for item in over.items:
        name = pilot_name(item)
        index = at.get(name) if name is not None else None
        if index is None:
            items.append(item)
            continue
        old = items[index]
        if isinstance(old, MapNode) and isinstance(item, MapNode):
            items[index] = _merge_maps(old, item)
    return ListNode(over.place, tuple(items))
