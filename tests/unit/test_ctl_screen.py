"""The terminal: which characters and columns it gets, and when a pager."""

import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from plancton_tick.ctl.screen import Column, Screen, Segment, Shrink, _find_pager, speaks_utf8


@pytest.mark.parametrize(
    ("environment", "encoding", "speaks"),
    [
        ({"LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LANG": "en_US.utf8", "LC_ALL": "C"}, "utf-8", False),
        ({"LC_ALL": "C.UTF-8"}, "utf-8", True),
        ({"LANG": "C"}, "utf-8", False),
        ({}, "utf-8", False),
        # What Python tells itself in the C locale is not what the terminal speaks.
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LC_CTYPE": "C.UTF-8"}, "utf-8", False),
        ({"LC_CTYPE": "en_GB.UTF-8"}, "utf-8", True),
        ({"LANG": "de_DE.ISO-8859-1"}, "iso-8859-1", False),
        ({"LANG": "de_DE.UTF-8"}, "ascii", False),
    ],
)
def test_the_locale_says_whether_utf8_is_shown(
    environment: Mapping[str, str], encoding: str, speaks: bool
) -> None:
    assert speaks_utf8(environment, encoding) is speaks


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return a pipe of 60 columns in a UTF-8 locale."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("FORCE_COLOR", "1")
    return Screen()


def text_of(screen: Screen, capsys: pytest.CaptureFixture[str], *drawn: object) -> list[str]:
    screen.show(drawn)  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_a_pipe_gets_no_colours_and_no_blanks_at_the_end(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = [screen.line(("bad", "red")), screen.table([Column("a"), Column("b")], [["x", "yy"]])]
    assert text_of(screen, capsys, *drawn) == ["bad", "a  b", "x  yy"]


def test_what_others_wrote_cannot_steer_the_terminal(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "a\x1b[31m\rb\n\u202e[bold]c[/bold]\x9bd"
    lines = text_of(screen, capsys, screen.line(evil), screen.table([Column("x")], [[evil]]))
    assert lines == ["a?[31m?b??[bold]c[/bold]?d", "x", "a?[31m?b??[bold]c[/bold]?d"]


def test_where_there_is_no_room_the_least_important_column_goes(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [Column("one"), Column("two", 2), Column("three", 1), Column("four")]
    row = ["x" * 20, "y" * 20, "z" * 20, "w" * 10]
    head, line = text_of(screen, capsys, screen.table(columns, [row]))
    assert head.split() == ["one", "three", "four"]
    assert line.split() == [row[0], row[2], row[3]]


def test_a_column_that_can_be_clipped_keeps_its_end(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = [Column("one"), Column("image", 5, shrinks=Shrink.CLIP)]
    image = "registry.example.org/group/pilot:v3"
    _, line = text_of(screen, capsys, screen.table(columns, [["x" * 40, image]]))
    assert line == "x" * 40 + "  …" + image[-17:]


def test_a_bar_is_never_longer_than_it_is(screen: Screen) -> None:
    for amounts in ([1, 1], [5, 5], [0, 0], [0.04] * 3, [-1, 2]):
        segments = [Segment(amount, ("#", "#"), "") for amount in amounts]
        cells = "".join(part[0] for part in screen.bar(segments, 2.0, 10))
        assert len(cells) == 10
    assert "".join(part[0] for part in screen.bar([Segment(1, ("#", "#"), "")], 0, 4)) == "····"


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"PAGER": "sh -c true"}, ["sh", "-c", "true"]),
        ({"PAGER": ""}, None),
        ({"PAGER": "cat"}, None),
        ({"PAGER": "/no/such"}, None),
    ],
)
def test_the_pager_is_the_users_choice(
    environment: Mapping[str, str], command: list[str] | None
) -> None:
    assert _find_pager(environment) == command


SHOW = """
from plancton_tick.ctl.screen import Screen
screen = Screen()
screen.show([screen.line((f"line {number}", "red")) for number in range(%d)])
"""


@pytest.mark.parametrize(("lines", "is_paged"), [(10, False), (100, True)])
@pytest.mark.parametrize(
    ("more", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "NO_COLOR"]
)
def test_a_terminal_gets_a_pager_where_it_is_too_small(
    lines: int, is_paged: bool, more: dict[str, str], has_colour: bool, tmp_path: Path
) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged with LESS=$LESS LESSSECURE=$LESSSECURE\ncat\n")
    pager.chmod(pager.stat().st_mode | stat.S_IXUSR)
    leader, follower = pty.openpty()
    environment = {
        "PAGER": str(pager),
        "TERM": "xterm",
        "LC_ALL": "C",
        "PATH": os.environ["PATH"],
        "LINES": "24",
        "COLUMNS": "80",
        "SUDO_USER": "ann",
        **more,
    }
    with subprocess.Popen(
        [sys.executable, "-c", SHOW % lines], stdout=follower, stdin=follower, env=environment
    ) as process:
        os.close(follower)
        said = b""
        # Reading the leader fails when the last writer has gone.
        try:
            while chunk := os.read(leader, 65536):
                said += chunk
        except OSError:
            pass
        assert process.wait() == 0
    os.close(leader)
    text = said.decode()
    assert ("paged with LESS=FRX LESSSECURE=1" in text) is is_paged
    assert ("\x1b[31m" in text) is has_colour
    assert f"line {lines - 1}" in re.sub(r"\x1b\[[0-9;]*m", "", text)
