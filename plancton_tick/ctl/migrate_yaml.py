"""A translation from Plancton 0.6 as a YAML file with a comment on each line. Pure."""

import textwrap
from collections.abc import Iterator

from plancton_tick.classic import Translated, Translation
from plancton_tick.config_node import Faults, Kind, ListNode, Node, ScalarNode
from plancton_tick.config_schema import PILOT, SECTIONS
from plancton_tick.config_yaml import parse_yaml
from plancton_tick.model import Config, PilotType
from plancton_tick.units import format_duration, format_size

WIDTH = 100
# Where a text can stand in a file, with what is around it.
ALONE = "a: {}"
IN_BRACKETS = "a: [{}]"
IN_LIST = "a:\n- {}"
# What a key means otherwise than in 0.6, beside what `KEYS` says; by 0.6's name.
MEANINGS = {
    "max_docks": "'/' between whole numbers rounds down, as it did: that is '//' today.",
    "grace_spawn": "Counts from a reclaim only, not from each pilot that ends.",
    "grace_kill": "What counts is an overload of the host, not use above the pilots' part.",
    "max_ttl": "SIGTERM and stop_grace come before removal.",
    "docker_cmd": "Split at blanks, as it was; quotes meant nothing.",
    "binds": "Read-only and private, as they were.",
    "security_opts": "Pilots may gain privileges, as they could.",
}
_NEEDED = ("max_dock_mem", "max_dock_swap")
_ALWAYS = {
    "host.reserve.cpus": "0.6 kept no core aside",
    "reclaim.action": "0.6 always stopped",
}


class _Line:
    """A line to be, and the comment beside it."""

    def __init__(self, text: str, comment: str = "") -> None:
        self.text = text
        self.comment = comment


def write_yaml(translation: Translation, meant: Config, name: str, *, has_apparmor: bool) -> str:
    """Write the file. What is today's default anyway is left out unless the old file says it."""
    lines = [_Line(f"# {_one_line(name)}, a file of Plancton 0.6, in today's keys.")]
    for value in translation.values:
        if not value.today and value.place is not None:
            lines += _remark(f"Left out: {value.key}, line {value.place.line}: {value.change}.", 0)
    kept = [
        value for value in translation.values if value.node is not None and _is_said(value, meant)
    ]
    for section in SECTIONS:
        mine = [value for value in kept if value.today.startswith(f"{section}.")]
        if mine:
            lines += [_Line(""), _Line(f"{section}:"), *_section(section, mine, meant)]
    lines += [_Line(""), _Line("pilots:"), _Line("  - name: default", "0.6 had one type of pilots")]
    of_pilot = {value.today: value for value in kept if value.today.startswith("pilots[]")}
    for value in sorted(of_pilot.values(), key=_pilot_order):
        lines += _pilot_value(value, meant.pilots[0], has_apparmor=has_apparmor)
    return "".join(f"{line}\n" for line in _aligned(lines))


def _section(section: str, values: list[Translated], meant: Config) -> Iterator[_Line]:
    fields = {key.name: key.field for key in SECTIONS[section]}
    is_open = False
    for value in sorted(values, key=lambda each: "." in each.today.removeprefix(f"{section}.")):
        name = value.today.removeprefix(f"{section}.")
        indent = 2
        if "." in name:
            outer, inner = name.split(".")
            if not is_open:
                yield _Line(f"  {outer}:")
                is_open = True
            indent, shown = 4, inner
        else:
            shown = name
        yield from _remark(_meaning(value), indent)
        found = getattr(getattr(meant, section), fields[name])
        yield _Line(
            f"{' ' * indent}{shown}: {_show(value.node, fields[name], found)}", _source(value)
        )


def _pilot_value(value: Translated, pilot: PilotType, *, has_apparmor: bool) -> Iterator[_Line]:
    node = value.node
    yield from _remark(_meaning(value), 4)
    if value.key == "security_opts" and value.place is not None and has_apparmor:
        yield from _remark("Options of AppArmor belong on hosts that have it only.", 4)
    if value.key == "capabilities":
        for name, found in (("cap_add", pilot.cap_add), ("cap_drop", pilot.cap_drop)):
            if found:
                words = ", ".join(_quote(word) for word in found)
                yield _Line(f"    {name}: [{words}]", _source(value))
        return
    name = value.today.removeprefix("pilots[].")
    if isinstance(node, ListNode) and name != "command":
        if not node.items:
            yield _Line(f"    {name}: []", _source(value))
            return
        yield _Line(f"    {name}:", _source(value))
        for item in node.items:
            if isinstance(item, ScalarNode):
                yield _Line(f"      - {_quote(item.text, IN_LIST)}", _item_source(value, item))
        return
    field = {key.name: key.field for key in PILOT}[name]
    yield _Line(f"    {name}: {_show(node, field, getattr(pilot, field))}", _source(value))


def _is_said(value: Translated, meant: Config) -> bool:
    """Tell whether a value belongs in the new file: it was written, or it is not the default."""
    if value.place is not None or not value.key:
        return True
    for path in value.today.split(", "):
        section, _, name = path.partition(".")
        is_of_pilot = section == "pilots[]"
        key = {key.name: key for key in (PILOT if is_of_pilot else SECTIONS[section])}[name]
        holder = meant.pilots[0] if is_of_pilot else getattr(meant, section)
        if getattr(holder, key.field) != key.default:
            return True
    return False


def _meaning(value: Translated) -> str:
    if value.place is None:
        return "0.6 started nothing without this key." if value.key in _NEEDED else ""
    said = [MEANINGS.get(value.key, "")]
    if value.key == "max_docks" and not (
        isinstance(value.node, ScalarNode) and "//" in value.node.text
    ):
        said = []
    if value.key == "docker_cmd" and not _is_split(value):
        said = []
    change = value.change
    if change:
        said.append(change[0].upper() + change[1:] + ".")
    return " ".join(filter(None, said))


def _is_split(value: Translated) -> bool:
    # A word with a quote in it is the trace of a line that was split.
    node = value.node
    words = node.items if isinstance(node, ListNode) else ()
    return any(isinstance(word, ScalarNode) and set(word.text) & set("'\"") for word in words)


def _source(value: Translated) -> str:
    if value.place is not None:
        return f"{value.key}, line {value.place.line}"
    if value.key == "security_opts":
        return "always: pilots of 0.6 could gain privileges"
    if value.key:
        return f"0.6's default of {value.key}"
    return f"always: {_ALWAYS[value.today]}"


def _item_source(value: Translated, item: Node) -> str:
    is_ours = value.place is None or item.place == value.place or not item.place.line
    return "" if is_ours else f"line {item.place.line}"


def _pilot_order(value: Translated) -> int:
    names = [key.name for key in PILOT]
    return names.index(value.today.split(", ")[0].removeprefix("pilots[]."))


def _show(node: Node | None, field: str, found: object) -> str:
    """Write a value, sizes and durations with their unit."""
    if isinstance(node, ListNode):
        return (
            "[" + ", ".join(_quote(i.text) for i in node.items if isinstance(i, ScalarNode)) + "]"
        )
    if isinstance(found, float) and field.endswith("_seconds"):
        return format_duration(found)
    if isinstance(found, int) and field.endswith("_bytes"):
        # 2000000000 is easier to read than 1953125K.
        return str(found) if found % 1024**2 else format_size(found)
    if not isinstance(node, ScalarNode):
        raise TypeError(f"expected a plain value, found {node!r:.80}")
    return _quote(node.text, ALONE) if node.kind is Kind.TEXT else node.text


def _quote(text: str, place: str = IN_BRACKETS) -> str:
    """Write a text so that YAML reads it back as that text where it is put, in quotes if need be.

    ``place`` is a file with a key ``a`` and room for the text.
    """
    if text.isprintable():
        root = parse_yaml(place.replace("{}", text).encode(), "", 0, Faults())
        value = root.entries["a"].value if root is not None and "a" in root.entries else None
        items = value.items if isinstance(value, ListNode) else (value,)
        if (
            len(items) == 1
            and isinstance(items[0], ScalarNode)
            and items[0][1:] == (text, Kind.TEXT)
        ):
            return text
    return '"' + "".join(_escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char == "\n":
        return "\\n"
    if char.isprintable():
        return char
    return f"\\U{ord(char):08x}"


def _remark(text: str, indent: int) -> Iterator[_Line]:
    margin = " " * indent + "# "
    for line in textwrap.wrap(
        text, WIDTH, initial_indent=margin, subsequent_indent=margin, break_long_words=False
    ):
        yield _Line(line)


def _aligned(lines: list[_Line]) -> Iterator[str]:
    """Put the comments below each other, those of very long lines aside."""
    widths = [len(line.text) for line in lines if line.comment and len(line.text) <= 48]
    column = max(widths, default=0)
    for line in lines:
        if line.comment:
            yield f"{line.text:<{column}}  # {line.comment}"
        else:
            yield line.text


def _one_line(name: str) -> str:
    return name if name.isprintable() else repr(name)
