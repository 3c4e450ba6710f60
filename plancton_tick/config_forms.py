"""What a value of the configuration may be: one small checker for each form."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from plancton_tick.config_check import Check, Wrong, check_value, join_path
from plancton_tick.config_node import (
    Faults,
    Kind,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    describe,
    is_null,
    show_key,
)
from plancton_tick.expression import compile_expression, evaluate
from plancton_tick.units import format_duration, format_size, parse_duration, parse_size

INFINITY = float("inf")

_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9_]+")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_TRUE = ("true", "yes", "on")
_NUMERIC = (Kind.INTEGER, Kind.FLOAT)


def read_text(node: Node, expected: str) -> str:
    """Give a plain value as it was written, whatever YAML takes it for. Raises `Wrong`."""
    if not isinstance(node, ScalarNode) or node.kind is Kind.NULL:
        raise Wrong(expected)
    if not node.text.isprintable():
        raise Wrong(f"{expected} on one line, without control characters")
    return node.text


def text(pattern: str, expected: str, *, any_scalar: bool = False) -> Check:
    """Accept a text that matches as a whole; with ``any_scalar`` also ``1000`` or ``yes``."""
    compiled = re.compile(pattern)

    def check(node: Node, path: str, faults: Faults) -> str:
        written = read_text(node, expected)
        is_text = isinstance(node, ScalarNode) and node.kind is Kind.TEXT
        if not (is_text or any_scalar) or not compiled.fullmatch(written):
            raise Wrong(expected)
        return written

    return check


def boolean(node: Node, path: str, faults: Faults) -> bool:
    """Accept the booleans of YAML 1.1."""
    if not isinstance(node, ScalarNode) or node.kind is not Kind.BOOLEAN:
        raise Wrong("true or false")
    return node.text.lower() in _TRUE


def number(low: float, high: float, what: str = "a number") -> Check:
    """Accept a finite number within bounds, both included."""
    expected = f"{what} from {low:g} to {high:g}"

    def check(node: Node, path: str, faults: Faults) -> float:
        if not isinstance(node, ScalarNode) or node.kind not in _NUMERIC:
            raise Wrong(expected)
        value = float(node.text.replace("_", "")) if _NUMBER.fullmatch(node.text) else INFINITY
        if not low <= value <= high:
            raise Wrong(expected)
        return value

    return check


def integer(low: int, high: int, what: str = "a whole number") -> Check:
    """Accept a whole number within bounds, both included, written in plain decimal."""
    expected = f"{what} from {low} to {high}"

    def check(node: Node, path: str, faults: Faults) -> int:
        if not isinstance(node, ScalarNode) or node.kind is not Kind.INTEGER:
            raise Wrong(expected)
        # Longer texts are out of any bounds, and Python refuses to convert the longest.
        if len(node.text) > 30 or not _INTEGER.fullmatch(node.text):
            raise Wrong(expected)
        value = int(node.text.replace("_", ""))
        if not low <= value <= high:
            raise Wrong(expected)
        return value

    return check


def duration(low: float, high: float = 1e10, *, above_zero: bool = False) -> Check:
    """Accept a time span in seconds, within bounds."""
    expected = "a duration (30s, 5min, 1h 30min, or seconds)"
    if above_zero:
        expected += " of more than 0"
    elif low:
        expected += f" of {format_duration(low)} or more"
    if high == INFINITY:
        expected += " or infinity"
    elif high < 1e10:
        expected += f", at most {format_duration(high)}"

    def check(node: Node, path: str, faults: Faults) -> float:
        if not isinstance(node, ScalarNode) or node.kind not in (Kind.TEXT, *_NUMERIC):
            raise Wrong(expected)
        try:
            seconds = parse_duration(node.text)
        except ValueError:
            raise Wrong(expected) from None
        if not low <= seconds <= high or (above_zero and not seconds):
            raise Wrong(expected)
        return seconds

    return check


def size(low: int) -> Check:
    """Accept a size in bytes, not below ``low``."""
    expected = "a size (2G, 512M, or bytes)"
    if low:
        expected += f" of {format_size(low)} or more"

    def check(node: Node, path: str, faults: Faults) -> int:
        if not isinstance(node, ScalarNode) or node.kind not in (Kind.TEXT, *_NUMERIC):
            raise Wrong(expected)
        try:
            size_bytes = parse_size(node.text)
        except ValueError:
            raise Wrong(expected) from None
        if size_bytes < low:
            raise Wrong(expected)
        return size_bytes

    return check


def choice(values: Sequence[Any]) -> Check:
    """Accept one of these texts; members of a string enumeration stay what they are."""
    expected = " or ".join(str(value) for value in values)

    def check(node: Node, path: str, faults: Faults) -> Any:
        written = read_text(node, expected)
        for value in values:
            if written == value:
                return value
        raise Wrong(expected)

    return check


def optional(check_one: Check) -> Check:
    """Accept nothing too, and give None for it."""

    def check(node: Node, path: str, faults: Faults) -> Any:
        return None if is_null(node) else check_one(node, path, faults)

    return check


def expression(names: Sequence[str]) -> Check:
    """Accept a number of 0 or more, or an expression over these names, in postfix order."""
    expected = f"a number or an expression over {', '.join(names)}"

    def check(node: Node, path: str, faults: Faults) -> tuple[str | float, ...]:
        if not isinstance(node, ScalarNode) or node.kind not in (Kind.TEXT, *_NUMERIC):
            raise Wrong(expected)
        try:
            postfix = compile_expression(node.text, names)
            if not any(name in postfix for name in names) and evaluate(postfix, {}) < 0:
                raise Wrong("0 or more")
        except ValueError as error:
            raise Wrong(expected, f"{describe(node)}: {error}") from None
        return postfix

    return check


def command(node: Node, path: str, faults: Faults) -> tuple[str, ...] | None:
    """Accept a list of words or one line as for a shell; nothing means the image's command."""
    expected = "a command line or a list of words"
    if is_null(node):
        return None
    if isinstance(node, ScalarNode) and node.kind is not Kind.TEXT:
        raise Wrong(expected)
    if isinstance(node, ScalarNode):
        try:
            words = tuple(shlex.split(node.text))
        except ValueError as error:
            raise Wrong(expected, f"{describe(node)}: {str(error).lower()}") from None
    else:
        words = list_of(_word, expected)(node, path, faults)
    if not words and not (isinstance(node, ListNode) and node.items):
        raise Wrong(expected + " that is not empty")
    if not all(_is_sendable(word) for word in words):
        raise Wrong(expected + " without zero bytes")
    return words


def _word(node: Node, path: str, faults: Faults) -> str:
    # A word may span lines, unlike other texts: a list often ends with a script.
    if not isinstance(node, ScalarNode) or node.kind is Kind.NULL:
        raise Wrong("a word")
    return node.text


def _is_sendable(written: str) -> bool:
    # A program's arguments and environment end at a zero byte; a lone surrogate has no bytes.
    return "\0" not in written and not any("\ud800" <= char <= "\udfff" for char in written)


# --- lists and mappings --------------------------------------------------------------------------


def list_of(check_one: Check, expected: str, *, or_one: bool = False) -> Check:
    """Accept a list, each item checked; with ``or_one`` also a single item for a list of one."""

    def check(node: Node, path: str, faults: Faults) -> tuple[Any, ...]:
        if or_one and isinstance(node, ScalarNode) and node.kind is not Kind.NULL:
            return (check_one(node, path, faults),)
        if not isinstance(node, ListNode):
            raise Wrong(expected)
        bad = object()
        found = (
            check_value(check_one, item, f"{path}[{index}]", faults, bad)
            for index, item in enumerate(node.items)
        )
        return tuple(item for item in found if item is not bad)

    return check


def pairs(
    key_pattern: str, expected: str, *, reserved: str | None = None, or_list: bool = False
) -> Check:
    """Accept a mapping of names to plain values, or with ``or_list`` a list of ``NAME=VALUE``.

    Names that begin with ``reserved`` are refused.
    """
    compiled = re.compile(key_pattern)

    def add(found: dict[str, str], name: str, value: str) -> None:
        if not compiled.fullmatch(name) or not name.isprintable():
            raise Wrong(expected, f"the name {show_key(name)}")
        if reserved is not None and name.startswith(reserved):
            raise Wrong(f"names that do not begin with {reserved}", show_key(name))
        if name in found:
            raise Wrong("each name once", f"{show_key(name)} again")
        found[name] = value

    def value_of(node: Node) -> str:
        if not isinstance(node, ScalarNode) or node.kind is Kind.NULL:
            raise Wrong("a plain value")
        if not _is_sendable(node.text):
            raise Wrong("a value without zero bytes")
        return node.text

    def check(node: Node, path: str, faults: Faults) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}

        def check_item(item: Node, item_path: str, faults: Faults) -> None:
            name, equals, value = value_of(item).partition("=")
            if not equals:
                raise Wrong("NAME=VALUE")
            add(found, name, value)

        if or_list and isinstance(node, ListNode):
            for index, item in enumerate(node.items):
                check_value(check_item, item, f"{path}[{index}]", faults, None)
        elif isinstance(node, MapNode):
            for name, entry in node.entries.items():

                def check_entry(value: Node, path: str, faults: Faults, name: str = name) -> None:
                    add(found, name, value_of(value))

                check_value(check_entry, entry.value, join_path(path, name), faults, None)
        else:
            raise Wrong(expected)
        return tuple(found.items())

    return check
