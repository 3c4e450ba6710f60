"""The terminal: what it can show, text and tables on it, paging, and refreshing in place.

The only module that imports rich. Colours are the terminal's own, by name and never black or
white, so that they can be read on any background; there are none where $NO_COLOR is set, on a
dumb terminal or in a pipe. Where the locale is not UTF-8 all that is shown is ASCII.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 120
NARROWEST = 40
SECONDS_BETWEEN_LINES = 10.0
LEAST_WIDTHS = {"wrap": 14, "clip": 10}
# less(1): leave at once if it fits, pass colours, leave the screen as it is. As git has it.
LESS = "FRX"

GOOD, BAD, WAITING, HEAD, FAINT, PLAIN = "green", "red", "yellow", "bold", "dim", ""
OWNER, PILOTS = "blue", "green"

Part = str | tuple[str, str]
Drawable = RenderableType


class Shrink(Enum):
    """What a column does when there is less room than it would take."""

    NOT = "not"
    WRAP = "wrap"
    CLIP = "clip"


class Column(NamedTuple):
    """A column of a table: its caption, whether numbers stand in it, and how it makes room.

    Where there is no room for all the one of the highest ``rank`` goes first; 0 always stays.
    """

    caption: str
    rank: int = 0
    is_number: bool = False
    shrinks: Shrink = Shrink.NOT


class Segment(NamedTuple):
    """A part of a bar: how much of the whole, drawn with which mark (UTF-8, ASCII) and style."""

    amount: float
    marks: tuple[str, str]
    style: str


def speaks_utf8(environment: Mapping[str, str], encoding: str) -> bool:
    """Tell whether UTF-8 can be shown: the locale's word counts, as in locale(7).

    Python itself speaks UTF-8 in the C locale too, and then says LC_CTYPE=C.UTF-8 for itself.
    """
    names = [environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if names[0] == "" and names[1] == "C.UTF-8" and names[2] in ("", "C", "POSIX"):
        return False
    locale = next((name for name in names if name), "")
    spoken = [re.sub(r"[^a-z0-9]", "", text.lower()) for text in (locale, encoding)]
    return all("utf8" in each for each in spoken)


class Screen:
    """Standard output as it is: a terminal of some size, or a pipe."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.has_utf8 = speaks_utf8(os.environ, sys.stdout.encoding or "")
        self._console = self._make_console(sys.stdout)
        self.can_refresh = self.is_terminal and not self._console.is_dumb_terminal

    @property
    def width(self) -> int:
        """Columns to draw on."""
        return self._console.width

    @property
    def height(self) -> int:
        """Lines that can be seen at once."""
        return self._console.height

    def _make_console(self, file: io.TextIOBase | object) -> Console:
        width = None
        if not self.is_terminal:
            told = os.environ.get("COLUMNS", "")
            width = max(NARROWEST, int(told)) if told.isdecimal() else PIPED_WIDTH
        return Console(
            file=file,  # type: ignore[arg-type]  # Any text stream will do.
            # Said outright: other variables could force colours into a pipe.
            force_terminal=self.is_terminal,
            color_system="auto" if self.is_terminal else None,
            width=width,
            markup=False,
            emoji=False,
            highlight=False,
            legacy_windows=False,
        )

    # parts

    def clean(self, text: str) -> str:
        """Return a text of others without control characters, and in ASCII if need be."""
        shown = "".join(c if c.isprintable() else "?" for c in text)
        return shown if self.has_utf8 else shown.encode("ascii", "replace").decode()

    def line(self, *parts: Part, indent: int = 0) -> Drawable:
        """Return one line of text, broken at words where it is too long."""
        text = self._text(*parts)
        if not indent:
            return text
        grid = Table.grid(padding=0)
        grid.add_column(width=indent)
        grid.add_column()
        head, rest = text.divide([indent])
        grid.add_row(head, rest)
        return grid

    def bar(self, segments: Sequence[Segment], whole: float, width: int) -> list[Part]:
        """Return a bar of ``width`` cells; what the segments leave of the whole is empty."""
        parts: list[Part] = []
        filled, reached = 0, 0.0
        for segment in segments:
            reached += max(0.0, segment.amount)
            # Rounded on the sum, so that many small ones do not make a large one.
            end = min(width, round(reached / whole * width)) if whole > 0 else 0
            mark = segment.marks[0 if self.has_utf8 else 1]
            parts.append((mark * (end - filled), segment.style))
            filled = end
        parts.append((("·" if self.has_utf8 else ".") * (width - filled), FAINT))
        return parts

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Part]]) -> Drawable:
        """Return a table with as many of its columns as there is room for."""
        cells = [[self._text(part) for part in row] for row in rows]
        widths = [
            max([cell_len(column.caption), *(row[at].cell_len for row in cells)])
            for at, column in enumerate(columns)
        ]
        kept, gap = _fit(columns, widths, self.width)
        left = self.width - sum(widths[at] for at in kept) - gap * (len(kept) - 1)
        table = Table(
            box=None, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0), header_style=HEAD
        )
        for at in kept:
            table.add_column(
                columns[at].caption,
                justify="right" if columns[at].is_number else "left",
                no_wrap=columns[at].shrinks is not Shrink.WRAP,
                overflow="ellipsis" if self.has_utf8 else "crop",
            )
        for row in cells:
            for at in kept:
                if columns[at].shrinks is Shrink.CLIP and left < 0:
                    row[at] = self._clip(row[at], widths[at] + left)
            table.add_row(*(row[at] for at in kept))
        return table

    def _clip(self, text: Text, width: int) -> Text:
        """Return the end of a text: of an image's name it tells more than the beginning."""
        if text.cell_len <= width:
            return text
        tail = text[len(text) - width + 1 :]
        return Text("\u2026" if self.has_utf8 else "~").append_text(tail)

    def _text(self, *parts: Part) -> Text:
        text = Text()
        for part in parts:
            words, style = (part, PLAIN) if isinstance(part, str) else part
            text.append(self.clean(words), style)
        return text

    # showing

    def count_lines(self, drawn: Sequence[Drawable]) -> int:
        """Return how many lines it takes."""
        return len(self._console.render_lines(Group(*drawn), pad=False))

    def show(self, drawn: Sequence[Drawable]) -> None:
        """Show it, in a pager if it does not fit a terminal."""
        with self._console.capture() as capture:
            self._console.print(Group(*drawn))
        # A table pads its last column too.
        text = re.sub(r" +$", "", capture.get(), flags=re.MULTILINE)
        pager = _find_pager(os.environ)
        if text.count("\n") < self.height or pager is None or not self.can_refresh:
            sys.stdout.write(text)
        else:
            _page(pager, text)

    def watch(self, draw: Callable[[], Sequence[Drawable]], seconds: float) -> None:
        """Show it again and again until interrupted, each time in the place of the last."""
        if not self.can_refresh:
            while True:
                self.show(draw())
                print(flush=True)
                time.sleep(seconds)
        with Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stderr=False
        ) as live:
            while True:
                live.update(Group(*draw()), refresh=True)
                time.sleep(seconds)


class Progress:
    """How far a long work is and how long it will take, on standard error, until it is over.

    Where that is no terminal, a line now and then.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._began = self._told = time.monotonic()
        self._bar: Bar | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            columns = (
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self._bar = Bar(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "Progress":
        """Begin to show it."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove it from the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def tell(self, done: int, text: str) -> None:
        """Say how much is done, and a few words."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=text)
            return
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            left = (now - self._began) / done * (self.total - done)
            line = f"{done} of {self.total}, {text}, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)


def _fit(columns: Sequence[Column], widths: Sequence[int], width: int) -> tuple[list[int], int]:
    """Choose the columns to show, and how many blanks are between them."""
    least = [
        min(natural, LEAST_WIDTHS.get(column.shrinks.value, natural))
        for natural, column in zip(widths, columns, strict=True)
    ]
    kept = list(range(len(columns)))
    if sum(widths) + 2 * (len(kept) - 1) <= width:
        return kept, 2
    while True:
        for gap in (2, 1):
            if sum(least[at] for at in kept) + gap * (len(kept) - 1) <= width:
                return kept, gap
        last = max(kept, key=lambda at: columns[at].rank)
        if columns[last].rank == 0:
            return kept, 1
        kept.remove(last)


def _find_pager(environment: Mapping[str, str]) -> list[str] | None:
    """Return the pager's command: $PAGER, else less; none where it is empty, cat, or not there."""
    named = environment.get("PAGER")
    words = shlex.split(named) if named is not None else ["less"]
    if not words or words == ["cat"] or shutil.which(words[0]) is None:
        return None
    return words


def _page(pager: list[str], text: str) -> None:
    environment = dict(os.environ)
    environment.setdefault("LESS", LESS)
    if "SUDO_USER" in environment:
        # A pager can start a shell: not one with rights that only this command was lent.
        environment["LESSSECURE"] = "1"
    with subprocess.Popen(pager, stdin=subprocess.PIPE, env=environment) as process:
        try:
            process.communicate(text.encode())
        except KeyboardInterrupt:
            # Interrupting is the pager's own business.
            process.wait()
