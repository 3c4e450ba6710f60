"""YAML to values that know their line. The only module that imports yaml.

Values are built from the parser's events, not by the library's loader: events do not recurse, so
depth, size and aliases are bounded here whatever the file holds, and no tag constructs anything.
"""

import re
from typing import Any

import yaml

from plancton_tick.config_node import (
    Entry,
    Faults,
    Kind,
    ListNode,
    MapNode,
    Node,
    Place,
    ScalarNode,
    describe,
    is_null,
    show_key,
    show_text,
)

MAX_VALUES = 20_000
MAX_DEPTH = 50

_PREFIX = "tag:yaml.org,2002:"
_KINDS = {
    _PREFIX + "str": Kind.TEXT,
    _PREFIX + "int": Kind.INTEGER,
    _PREFIX + "float": Kind.FLOAT,
    _PREFIX + "bool": Kind.BOOLEAN,
    _PREFIX + "null": Kind.NULL,
}
_MERGE = _PREFIX + "merge"
# The YAML 1.1 set of printable characters.
_UNPRINTABLE = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Written in C where the library has it: ten times faster on a large file.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Stop(Exception):  # noqa: N818
    """Nothing more can be learnt from this file."""


def parse_yaml(data: bytes, file: str, order: int, faults: Faults) -> MapNode | None:
    """Read one configuration file's content, the ``order``-th file that was read.

    Gives None if there is nothing in it, or nothing that can be trusted; faults say so. Raises
    nothing.
    """
    builder = _Builder(file, order, faults)
    try:
        root = builder.build(_decode(data, builder))
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        builder.fault(mark.line if mark else -1, f"expected YAML, got an error: {problem}")
        return None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        builder.fault(-1, f"expected YAML, got an error: {problem}")
        return None
    if root is None or is_null(root):
        return None
    if not isinstance(root, MapNode):
        faults.add(root.place, f"expected keys and values, got {describe(root)}")
        return None
    return root


def _decode(data: bytes, builder: "_Builder") -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        builder.stop(line, f"expected UTF-8 text, got the byte 0x{data[error.start]:02x}")
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start())
        builder.stop(line, f"expected printable text, got the character U+{ord(bad[0]):04X}")
    return text


class _Open:
    """A list or mapping whose end has not been seen."""

    __slots__ = ("anchor", "entries", "is_map", "items", "key", "merges", "place", "size")

    def __init__(self, place: Place, is_map: bool, anchor: str | None) -> None:
        self.place = place
        self.is_map = is_map
        self.anchor = anchor
        self.size = 1
        self.items: list[Node] = []
        self.entries: dict[str, Entry] = {}
        self.key: tuple[Place, str | None] | None = None
        self.merges: list[Node] = []


class _Builder:
    """Turns the events of one document into a tree."""

    def __init__(self, file: str, order: int, faults: Faults) -> None:
        self.file = file
        self.order = order
        self.faults = faults
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.values = 0

    def place(self, line_index: int) -> Place:
        return Place(self.file, self.order, line_index + 1)

    def fault(self, line_index: int, message: str) -> None:
        self.faults.add(self.place(line_index), message)

    def stop(self, line_index: int, message: str) -> Any:
        self.fault(line_index, message)
        raise _Stop

    def build(self, text: str) -> Node | None:
        loader = _Loader(text)
        documents = 0
        try:
            while loader.check_event():
                event = loader.get_event()
                line = event.start_mark.line
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self.stop(line, "expected one YAML document, got another one here")
                elif isinstance(event, yaml.ScalarEvent):
                    self.add_scalar(loader, event)
                elif isinstance(event, yaml.AliasEvent):
                    self.add_alias(event)
                elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                    self.open(event)
                elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                    self.close()
        finally:
            loader.dispose()
        return self.root

    def add_scalar(self, loader: Any, event: Any) -> None:
        line = event.start_mark.line
        tag = event.tag
        if tag is None or tag == "!":
            implicit = event.implicit if tag is None else (False, True)
            tag = loader.resolve(yaml.ScalarNode, event.value, implicit)
            # Dates and the like are texts here: no key of the configuration wants them.
            kind = _KINDS.get(tag, Kind.TEXT)
        elif tag in _KINDS:
            kind = _KINDS[tag]
        else:
            self.fault(line, f"expected a plain value, got the tag {show_text(tag)}")
            kind = Kind.TEXT
        node = ScalarNode(self.place(line), event.value, kind)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, 1)
        self.add(node, 1, is_merge=tag == _MERGE)

    def add_alias(self, event: Any) -> None:
        line = event.start_mark.line
        if event.anchor not in self.anchors:
            self.stop(line, f"expected an anchor that is complete, got *{event.anchor}")
        node, size = self.anchors[event.anchor]
        self.add(node, size)

    def open(self, event: Any) -> None:
        line = event.start_mark.line
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _PREFIX + "map", _PREFIX + "seq"):
            self.fault(line, f"expected a plain value, got the tag {show_text(event.tag)}")
        if len(self.stack) >= MAX_DEPTH:
            self.stop(line, f"expected values nested at most {MAX_DEPTH} deep, got deeper ones")
        self.stack.append(_Open(self.place(line), is_map, event.anchor))

    def close(self) -> None:
        done = self.stack.pop()
        node: Node
        if done.is_map:
            for merged in done.merges:
                for key, entry in self.merged_entries(merged):
                    done.entries.setdefault(key, entry)
            node = MapNode(done.place, done.entries)
        else:
            node = ListNode(done.place, tuple(done.items))
        if done.anchor is not None:
            self.anchors[done.anchor] = (node, done.size)
        self.add(node, done.size)

    def merged_entries(self, node: Node) -> list[tuple[str, Entry]]:
        if isinstance(node, MapNode):
            return list(node.entries.items())
        if isinstance(node, ListNode) and all(isinstance(item, MapNode) for item in node.items):
            return [pair for item in node.items for pair in self.merged_entries(item)]
        self.faults.add(node.place, f"<<: expected a mapping to merge, got {describe(node)}")
        return []

    def add(self, node: Node, size: int, *, is_merge: bool = False) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        # Counted as if each alias were a copy, which is what reading through it costs.
        parent.size += size
        self.values += 1
        if max(parent.size, self.values) > MAX_VALUES:
            self.stop(node.place.line - 1, f"expected at most {MAX_VALUES} values, got more")
        if not parent.is_map:
            parent.items.append(node)
        elif parent.key is None:
            parent.key = (node.place, self.key_of(node))
            if is_merge:
                parent.key = (node.place, "<<")
        else:
            place, key = parent.key
            parent.key = None
            if key == "<<":
                parent.merges.append(node)
            elif key in parent.entries:
                first = parent.entries[key].place.line
                message = f"expected each key once, got it again (see line {first})"
                self.faults.add(place, f"{self.path(key)}: {message}")
            elif key is not None:
                parent.entries[key] = Entry(place, node)

    def path(self, key: str) -> str:
        parts = [frame.key[1] for frame in self.stack[:-1] if frame.key and frame.key[1]]
        return ".".join(show_key(part) for part in [*parts, key])

    def key_of(self, node: Node) -> str | None:
        if isinstance(node, ScalarNode):
            return node.text
        self.faults.add(node.place, f"expected a name as key, got {describe(node)}")
        return None
