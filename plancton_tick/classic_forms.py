"""The values of Plancton 0.6 to today's, one converter for each form in which users wrote them.

A converter checks a value, adds faults as the checkers do, and gives what to write today; or it
raises `Wrong`.
"""

from collections.abc import Callable

from plancton_tick.config_check import Wrong
from plancton_tick.config_forms import expression, list_of, read_text, text
from plancton_tick.config_influx import DATABASES, database_url
from plancton_tick.config_node import (
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
)
from plancton_tick.config_schema import EXPRESSION_NAMES, device
from plancton_tick.expression import split_expression

Convert = Callable[[Node, str, Faults], Node]

_OPTIONS_WITH_VALUE = ("apparmor", "seccomp", "label", "no-new-privileges", "systempaths")
_DEVICE_KEYS = ("PathOnHost", "PathInContainer", "CgroupPermissions")
_MOUNT_OPTIONS = ("", "ro", "z", "Z")
_MAX_DOCKS = expression((*EXPRESSION_NAMES, "max_dock_mem", "max_dock_swap"))


def convert_nothing(node: Node, path: str, faults: Faults) -> Node:
    """Accept anything: the key means nothing any more."""
    return node


def convert_max_docks(node: Node, path: str, faults: Faults) -> Node:
    """Accept a number, or what 0.6 passed to Python 2's eval within today's arithmetic."""
    if not isinstance(node, ScalarNode) or node.kind in (Kind.BOOLEAN, Kind.NULL):
        raise Wrong("a number or an expression")
    try:
        rewritten = text_node(node.place, _from_python_2(split_expression(node.text)))
    except ValueError as error:
        raise Wrong("a number or an expression", f"{describe(node)}: {error}") from None
    _MAX_DOCKS(rewritten, path, faults)
    return rewritten


def _from_python_2(tokens: tuple[str, ...]) -> str:
    """Rewrite what 0.6 gave to Python 2's eval so that it means the same here.

    There ``/`` between whole numbers rounds down, and ``int()`` and ``float()`` are at hand.
    """
    is_whole = not any("." in token or token == "float" for token in tokens)
    words: list[str] = []
    closing: list[str] = []
    for index, token in enumerate(tokens):
        is_call = tokens[index + 1 : index + 2] == ("(",)
        if token in ("int", "long", "float") and is_call:
            continue
        if token == "(":
            caller = tokens[index - 1] if index else ""
            closing.append(") // 1)" if caller in ("int", "long") else ")")
            token = "((" if caller in ("int", "long") else "("
        elif token == ")" and closing:
            token = closing.pop()
        elif token == "/" and is_whole:
            token = "//"
        words.append(token)
    return " ".join(words).replace("( ", "(").replace(" )", ")").replace(" ,", ",")


def convert_command(node: Node, path: str, faults: Faults) -> Node:
    """Accept a line or a list of words."""
    expected = "a command as one line or a list of words"
    if isinstance(node, ListNode):
        if not node.items:
            raise Wrong(expected + " that is not empty")
        words = list_of(lambda item, _path, _faults: _text_of(item), expected)(node, path, faults)
        return list_node(node.place, words)
    # 0.6 split at each blank, and quotes meant nothing to it.
    words = tuple(word for word in read_text(node, expected).split(" ") if word)
    if not words:
        raise Wrong(expected + " that is not empty")
    return list_node(node.place, words)


def _text_of(node: Node) -> str:
    if not isinstance(node, ScalarNode) or node.kind is Kind.NULL:
        raise Wrong("a word")
    return node.text


def convert_binds(node: Node, path: str, faults: Faults) -> Node:
    """Accept ``/source:/target``; 0.6 mounted all of them read-only."""

    def convert(item: Node, item_path: str, faults: Faults) -> Node:
        expected = "/source:/target"
        source, _, rest = read_text(item, expected).partition(":")
        target, _, options = rest.partition(":")
        if not source.startswith("/") or not target.startswith("/"):
            raise Wrong(expected)
        if not set(options.split(",")) <= set(_MOUNT_OPTIONS):
            raise Wrong(f"{expected} without options: mounts of Plancton 0.6 are read-only")
        return text_node(item.place, f"{source}:{target}:ro,rprivate")

    return ListNode(node.place, list_of(convert, "a list of mounts")(node, path, faults))


def convert_devices(node: Node, path: str, faults: Faults) -> Node:
    """Accept ``/dev/a:/dev/b:rwm`` and the mappings of the engine's own interface."""

    def convert(item: Node, item_path: str, faults: Faults) -> Node:
        if isinstance(item, MapNode):
            for name, entry in item.entries.items():
                if name not in _DEVICE_KEYS:
                    expected = f"one of {', '.join(_DEVICE_KEYS)}"
                    message = f"expected {expected}, got {show_key(name)}"
                    faults.add(entry.place, f"{item_path}: {message}")
            parts = [item.entries.get(name) for name in _DEVICE_KEYS]
            if parts[0] is None:
                raise Wrong("PathOnHost", "none")
            texts = [_text_of(part.value) if part is not None else "" for part in parts]
            texts = [texts[0], texts[1] or texts[0], texts[2] or "rwm"]
            item = text_node(item.place, ":".join(texts))
        device(item, item_path, faults)
        return item

    return ListNode(node.place, list_of(convert, "a list of devices")(node, path, faults))


def convert_capabilities(node: Node, path: str, faults: Faults) -> Node:
    """Accept names, with ``+`` or nothing to add and ``-`` to drop."""
    check = text(r"([+]*|-+)[A-Za-z_]+|", "a capability such as SYS_ADMIN or -MKNOD")
    return ListNode(
        node.place,
        tuple(text_node(node.place, item) for item in list_of(check, "a list")(node, path, faults)),
    )


def convert_databases(node: Node, path: str, faults: Faults) -> Node:
    """Accept one ``URL#database``, a list of them, or nothing."""
    if is_null(node):
        return ListNode(node.place, ())
    if isinstance(node, ListNode):
        list_of(database_url, DATABASES)(node, path, faults)
        return node
    database_url(node, path, faults)
    return ListNode(node.place, (node,))


def convert_options(node: Node, path: str, faults: Faults) -> Node:
    """Accept the engine's security options, also with the colon that it deprecated."""

    def convert(item: Node, item_path: str, faults: Faults) -> Node:
        written = read_text(item, "an option such as apparmor:profile")
        name, colon, value = written.partition(":")
        # The engine has deprecated the colon.
        if colon and "=" not in name and name in _OPTIONS_WITH_VALUE:
            written = f"{name}={value}"
        return text_node(item.place, written)

    return ListNode(node.place, list_of(convert, "a list of options")(node, path, faults))


def text_node(place: Place, written: str) -> ScalarNode:
    """Make a text."""
    return ScalarNode(place, written, Kind.TEXT)


def list_node(place: Place, words: tuple[str, ...]) -> ListNode:
    """Make a list of texts."""
    return ListNode(place, tuple(text_node(place, word) for word in words))


def expand_sizes(node: ScalarNode, memory: int, swap: int) -> ScalarNode:
    """Put the numbers for the two names that today's expressions do not have."""
    numbers = {"max_dock_mem": str(memory), "max_dock_swap": str(swap)}
    if not any(name in node.text for name in numbers):
        return node
    tokens = [numbers.get(token, token) for token in split_expression(node.text)]
    joined = " ".join(tokens).replace("( ", "(").replace(" )", ")").replace(" ,", ",")
    return node._replace(text=joined)
