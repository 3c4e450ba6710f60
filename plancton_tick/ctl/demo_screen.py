"""How the demonstration looks: lines that scroll, in colour on a terminal, plain text elsewhere.

All functions are pure: they are given a style and return lines that fit its width.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MIN_WIDTH, MAX_WIDTH = 50, 110
HEADER_EVERY = 12

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "bold": 1, "dim": 2}

_PREFIX = re.compile(r"^plancton-tick: ")
_PILOT = re.compile(r"^(\w+) (\S+) \((\S+)\)")
# First word of what a tick says: its mark in UTF-8 and in ASCII, and its colour.
_MARKS = {
    "spawned": ("+", "+", "green"),
    "paused": ("‖", "=", "yellow"),
    "resumed": ("▸", ">", "cyan"),
    "terminating": ("×", "x", "red"),
    "ended": ("✓", "*", "blue"),
    "removed": ("×", "x", "dim"),
    "held": ("·", "-", "dim"),
}
# "not paused" is a failure, which has no mark of its own.
_VERB = re.compile(rf"(?<!not )\b({'|'.join(_MARKS)})\b")


class Style(NamedTuple):
    """What the reader's end can show."""

    width: int
    has_colour: bool
    has_utf8: bool


class Moment(NamedTuple):
    """The state after a tick. Loads and caps in cores; ``pilots_used`` is what pilots really got.

    ``pilots_used`` is None where the pilots' slice cannot be read.
    """

    at_seconds: float
    cores: int
    owner: float
    pilots_used: float | None
    running: int
    paused: int
    running_cpus: float
    paused_cpus: float


def choose_style(
    environment: Mapping[str, str], *, is_terminal: bool, columns: int, encoding: str
) -> Style:
    """Say how to draw: https://no-color.org, TERM=dumb, and the locale as in locale(7)."""
    term = environment.get("TERM", "")
    has_colour = is_terminal and term not in ("", "dumb") and not environment.get("NO_COLOR")
    names = (environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "")
    speaks = [re.sub(r"[^a-z0-9]", "", text.lower()) for text in (locale, encoding)]
    has_utf8 = all("utf8" in each for each in speaks)
    # The last column stays free: some terminals wrap as soon as it is written.
    return Style(max(MIN_WIDTH, min(MAX_WIDTH, columns)) - 1, has_colour, has_utf8)


def title(style: Style, text: str) -> list[str]:
    """Return a headline."""
    return [_paint(style, "bold", line) for line in _wrap(style, text, 0)]


def table(style: Style, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return names and texts in two columns."""
    widest = max(len(name) for name, _ in rows) + 4
    lines = []
    for name, text in rows:
        first, *rest = _wrap(style, text, widest)
        lines.append(_paint(style, "bold", f"  {name}".ljust(widest)) + first.lstrip())
        lines += rest
    return lines


def rule(style: Style, text: str) -> list[str]:
    """Return a line across the screen, with what begins there; more lines if it is long."""
    dash = "─" if style.has_utf8 else "-"
    lines = _wrap(style, text, 0, width=style.width - 6)
    return [_paint(style, "bold", f"{dash * 2} {line} ".ljust(style.width, dash)) for line in lines]


def legend(style: Style, cores: int) -> str:
    """Say what the bars mean."""
    running, paused = ("█", "▒") if style.has_utf8 else ("=", "-")
    return (
        f"a whole bar is {cores} core{'s' if cores > 1 else ''}; {running} running, {paused} paused"
    )


def header(style: Style) -> list[str]:
    """Return the captions of the columns of ``tick_line``."""
    bar = _bar_width(style)
    left = "owner's load".ljust(bar + 5)
    right = "pilots".ljust(bar) + " used"
    return [_paint(style, "dim", f" time  {left}  {right}  run paused")]


def tick_line(style: Style, moment: Moment) -> str:
    """Return the line of one tick: time, the owner's bar and the pilots' bar over the cores."""
    minutes, seconds = divmod(int(moment.at_seconds + 0.5), 60)
    bar = _bar_width(style)
    full, half = ("█", "▒") if style.has_utf8 else ("#", "-")
    running = full if style.has_utf8 else "="
    owner = _bar(style, moment.cores, bar, [(moment.owner, full, "red")])
    parts = [(moment.running_cpus, running, "green"), (moment.paused_cpus, half, "yellow")]
    pilots = _bar(style, moment.cores, bar, parts)
    used = "?" if moment.pilots_used is None else f"{moment.pilots_used:.2f}"
    return (
        f"{minutes:>2}:{seconds:02}  {owner} {moment.owner:>4.2f}  {pilots} {used:>4}"
        f" {moment.running:>4} {moment.paused:>6}"
    )


def said_lines(style: Style, said: Sequence[str]) -> list[str]:
    """Return what a tick said, one entry an action; those with the same reason share an entry."""
    groups: dict[tuple[str, str], list[str]] = {}
    for message in said:
        message = _PREFIX.sub("", message)
        what, _, reason = message.partition(": ")
        match = _PILOT.match(what)
        if match is None:
            groups[what, reason] = []
        else:
            rest = what[match.end() :]
            groups.setdefault((f"{match[1]} %s{rest}", reason), []).append(f"{match[2]} {match[3]}")
    lines = []
    for (what, reason), pilots in groups.items():
        text = what % _list(pilots) if pilots else what
        lines += _entry(style, f"{text}: {reason}" if reason else text)
    return lines


def note(style: Style, text: str) -> list[str]:
    """Return a remark between the lines of ticks."""
    return [_paint(style, "dim", line) for line in _wrap(style, text, 7)]


def problem(style: Style, text: str) -> list[str]:
    """Return what went wrong, so that it is not overlooked."""
    return [_paint(style, "red", line) for line in _wrap(style, text, 2)]


def plain(style: Style, text: str) -> list[str]:
    """Return a paragraph."""
    return _wrap(style, text, 2)


def _entry(style: Style, text: str) -> list[str]:
    word = _VERB.search(text.partition(": ")[0])
    fancy, simple, colour = _MARKS[word[0]] if word else ("!", "!", "red")
    first, *rest = _wrap(style, text, 9)
    mark = fancy if style.has_utf8 else simple
    return [_paint(style, colour, f"       {mark} ") + first.lstrip(), *rest]


def _list(pilots: Sequence[str]) -> str:
    """Name pilots in one breath: ``plancton-demo-0 (long)``, or ``5 pilots (-0, -1 long; …)``."""
    if len(pilots) == 1:
        name, kind = pilots[0].split(" ")
        return f"{name} ({kind})"
    kinds: dict[str, list[str]] = {}
    for pilot in sorted(pilots):
        name, kind = pilot.split(" ")
        kinds.setdefault(kind, []).append(name.rpartition("-")[2])
    each = "; ".join(f"{kind} {', '.join(slots)}" for kind, slots in sorted(kinds.items()))
    return f"{len(pilots)} pilots ({each})"


def _bar(style: Style, cores: int, width: int, parts: list[tuple[float, str, str]]) -> str:
    """Draw loads in cores behind each other, on a scale of ``cores``; what is too much is cut."""
    drawn, at, total = "", 0, 0.0
    for load, sign, colour in parts:
        total += load
        to = min(width, max(at, round(total / cores * width)))
        if to == at < width and load >= 0.005 * cores:
            to += 1
        drawn += _paint(style, colour, sign * (to - at)) if to > at else ""
        at = to
    dot = "·" if style.has_utf8 else "."
    return drawn + (_paint(style, "dim", dot * (width - at)) if at < width else "")


def _bar_width(style: Style) -> int:
    # Time and gap 7, two numbers with a space each 10, the gap between 2, the counts 12.
    return max(4, (style.width - 31) // 2)


def _wrap(style: Style, text: str, indent: int, *, width: int | None = None) -> list[str]:
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    if not style.has_utf8:
        clean = clean.encode("ascii", "replace").decode("ascii")
    space = " " * indent
    return textwrap.wrap(
        clean,
        width or style.width,
        initial_indent=space,
        subsequent_indent=space,
        break_on_hyphens=False,
    ) or [space]


def _paint(style: Style, colour: str, text: str) -> str:
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if style.has_colour else text
