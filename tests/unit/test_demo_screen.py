"""The demonstration's drawing: every line fits, and shows nothing that its reader's end cannot."""

import re

import pytest

from plancton_tick.ctl import demo_screen
from plancton_tick.ctl.demo_screen import Moment, Style, choose_style

SAID = (
    "plancton-tick: paused plancton-demo-3 (long): owner uses 1.97 of 2 cores, reserve 0.1, "
    "pilots 1.75: 1.82 too many for 4 s",
    "plancton-tick: paused plancton-demo-1 (short): owner uses 1.97 of 2 cores, reserve 0.1, "
    "pilots 1.75: 1.82 too many for 4 s",
    "plancton-tick: plancton-demo-4 (short) ended, done: exit code 0 after 12 s",
    "plancton-tick: spawned long in slot 5: room 0.55 cores for 0.25 (owner 0.10 of 2)",
    "plancton-tick: no long pilot in slot 2: the engine refused to create it: no image\x1b[31m",
)
MOMENT = Moment(
    at_seconds=83.7,
    cores=2,
    owner=0.5,
    pilots_used=0.97,
    running=4,
    paused=2,
    running_cpus=1.0,
    paused_cpus=0.5,
)
WIDTHS = (50, 60, 80, 110)


def draw_all(style: Style) -> list[str]:
    return [
        *demo_screen.title(style, "Plancton: pilots use the CPU that the owner leaves idle."),
        *demo_screen.table(style, [("engine", "unix:///" + "long/" * 30), ("bars", "…" * 90)]),
        *demo_screen.table(style, [("bars", demo_screen.legend(style, 2))]),
        *demo_screen.rule(style, "the owner comes back and keeps all 2 cores busy, " * 2),
        *demo_screen.header(style),
        demo_screen.tick_line(style, MOMENT),
        *demo_screen.said_lines(style, SAID),
        *demo_screen.note(style, "Pilots have the lowest weight: " * 5),
        *demo_screen.problem(style, "No pilot appeared. " * 10),
        *demo_screen.plain(style, "Everything it made is removed. " * 10),
    ]


def plain_style(width: int = 80, *, utf8: bool = True) -> Style:
    return Style(width - 1, has_colour=False, has_utf8=utf8)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("utf8", [True, False])
def test_no_line_is_wider_than_the_screen(columns: int, utf8: bool) -> None:
    drawn = draw_all(plain_style(columns, utf8=utf8))
    assert [line for line in drawn if len(line) >= columns] == []


def test_colour_adds_nothing_to_the_width() -> None:
    coloured = draw_all(Style(79, has_colour=True, has_utf8=True))
    stripped = [re.sub(r"\x1b\[[0-9]+m", "", line) for line in coloured]
    assert stripped == draw_all(plain_style())
    assert coloured != stripped


def test_without_colour_there_is_no_control_character_not_even_from_an_engine_s_message() -> None:
    assert all(line.isprintable() for line in draw_all(plain_style()))


def test_where_the_locale_is_not_utf8_all_is_ascii() -> None:
    assert all(line.isascii() for line in draw_all(plain_style(utf8=False)))


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_captions_stand_over_their_columns(columns: int) -> None:
    style = plain_style(columns)
    (caption,) = demo_screen.header(style)
    line = demo_screen.tick_line(style, MOMENT)
    assert len(caption) == len(line)
    assert line.startswith(" 1:24  █")
    assert line[: caption.index("used") + 4].endswith(" 0.97")
    assert line[: caption.index("run") + 3].endswith(" 4")
    assert line.endswith(" 2")


def test_a_bar_is_as_full_as_the_cores_are() -> None:
    line = demo_screen.tick_line(Style(79, has_colour=False, has_utf8=True), MOMENT)
    owner, pilots = line.split("  ")[1].split()[0], line.split("  ")[2].split()[0]
    assert len(owner) == len(pilots) == 24
    assert owner == "█" * 6 + "·" * 18
    assert pilots == "█" * 12 + "▒" * 6 + "·" * 6


@pytest.mark.parametrize(
    ("owner", "full"), [(0.0, 0), (0.001, 0), (0.02, 1), (1.99, 24), (2.0, 24), (7.5, 24)]
)
def test_a_bar_never_overflows_and_a_little_load_is_seen(owner: float, full: int) -> None:
    line = demo_screen.tick_line(plain_style(), MOMENT._replace(owner=owner))
    assert line.split("  ")[1].split()[0] == "█" * full + "·" * (24 - full)


def test_a_use_that_cannot_be_read_is_shown_as_unknown() -> None:
    line = demo_screen.tick_line(plain_style(), MOMENT._replace(pilots_used=None))
    assert line.split()[4] == "?"


def test_actions_of_one_reason_share_an_entry_that_names_each_pilot() -> None:
    lines = demo_screen.said_lines(plain_style(200), SAID)
    assert lines == [
        "       ‖ paused 2 pilots (long 3; short 1): owner uses 1.97 of 2 cores, reserve 0.1, "
        "pilots 1.75: 1.82 too many for 4 s",
        "       ✓ plancton-demo-4 (short) ended, done: exit code 0 after 12 s",
        "       + spawned long in slot 5: room 0.55 cores for 0.25 (owner 0.10 of 2)",
        "       ! no long pilot in slot 2: the engine refused to create it: no image?[31m",
    ]


def test_an_action_that_failed_does_not_look_as_if_it_were_done() -> None:
    said = ["plancton-tick: plancton-demo-3 (long) not paused: the engine refused"]
    (line,) = demo_screen.said_lines(plain_style(), said)
    assert line.startswith("       ! plancton-demo-3 (long) not paused")


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_colour_is_for_terminals_that_have_it_and_readers_who_want_it(
    environment: dict[str, str], is_terminal: bool, expected: bool
) -> None:
    style = choose_style(environment, is_terminal=is_terminal, columns=80, encoding="utf-8")
    assert style.has_colour is expected


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({"LANG": "de_DE.UTF-8"}, "utf-8", True),
        ({"LANG": "C.utf8"}, "UTF-8", True),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "utf-8", False),
        ({"LC_ALL": "", "LC_CTYPE": "en_GB.UTF-8", "LANG": "C"}, "utf-8", True),
        ({"LANG": "C.UTF-8"}, "ascii", False),
        ({"LANG": "de_DE"}, "utf-8", False),
        ({}, "utf-8", False),
    ],
)
def test_utf8_is_for_locales_that_have_it(
    environment: dict[str, str], encoding: str, expected: bool
) -> None:
    style = choose_style(environment, is_terminal=True, columns=80, encoding=encoding)
    assert style.has_utf8 is expected


@pytest.mark.parametrize(("columns", "width"), [(0, 49), (20, 49), (60, 59), (80, 79), (500, 109)])
def test_the_width_is_the_screen_s_within_reason(columns: int, width: int) -> None:
    style = choose_style({}, is_terminal=True, columns=columns, encoding="utf-8")
    assert style.width == width
