"""planctonctl as a person sees it: in a terminal of tmux, of two sizes and in two locales."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.test_ctl import Ctl
from tests.engine.ticks import Node

SIZES = [(80, 24), (60, 20)]


class Terminal:
    """A terminal with a shell in it. A context manager."""

    def __init__(self, folder: Path, width: int, height: int, environment: dict[str, str]) -> None:
        self._socket = str(folder / "tmux")
        self.width, self.height = width, height
        # The pane's own size is what programs are to find out.
        left_out = ("COLUMNS", "LINES", "TMUX")
        clean = {key: value for key, value in environment.items() if key not in left_out}
        size = ("-x", str(width), "-y", str(height))
        # tmux itself speaks UTF-8 in any locale, so that it shows what comes.
        command = ["tmux", "-u", "-f", "/dev/null", "-S", self._socket, "new-session", "-d", *size]
        subprocess.run([*command, "env", "PS1=$ ", "sh"], env=clean, check=True)

    def close(self) -> None:
        """End the terminal and all in it."""
        self._tmux("kill-server")

    def type(self, text: str, *, enter: bool = True) -> None:
        """Type a text, and Enter."""
        self._tmux("send-keys", "-l", text)
        if enter:
            self._tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        """Press a key by its name."""
        self._tmux("send-keys", key)

    def lines(self, *, colours: bool = False) -> list[str]:
        """Return what is on the screen."""
        shown = self._tmux("capture-pane", "-p", *(("-e",) if colours else ()))
        return shown.rstrip("\n").split("\n")

    def wait_for(self, what: Callable[[list[str]], bool], seconds: float = 30.0) -> list[str]:
        """Wait until the screen is as expected, and return it."""
        end = time.monotonic() + seconds
        while not what(lines := self.lines()):
            assert time.monotonic() < end, "\n".join(lines)
            time.sleep(0.1)
        return lines

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", self._socket, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(ctl: Ctl, tmp_path: Path) -> Iterator[Open]:
    """Return what opens a terminal, in which planctonctl is this instance's."""
    opened: list[Terminal] = []

    def open_one(width: int, height: int, locale: str = "C.UTF-8", **more: str) -> Terminal:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        # A pager of the user's own would show something else.
        kept = {key: value for key, value in os.environ.items() if key not in ("PAGER", "LESS")}
        script = folder / "planctonctl"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(ctl.command())} "$@"\n')
        script.chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        environment = {**kept, **ctl.environment(), "LC_ALL": locale, **more, "PATH": path}
        opened.append(Terminal(folder, width, height, environment))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def ctl(node: Node) -> Ctl:
    """Return planctonctl for this test's instance."""
    return Ctl(node)


def ask(terminal: Terminal, verb: str) -> None:
    terminal.type(f"clear; planctonctl {verb}")


def has(text: str) -> Callable[[list[str]], bool]:
    return lambda lines: any(text in line for line in lines)


def fill(node: Node, pilots: int = 3) -> None:
    node.configure({"name": "analysis"}, host={"max_pilots": pilots})
    assert node.tick().code == 0
    assert len(node.live()) == pilots


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_status_is_on_one_screen(
    terminal: Open, node: Node, width: int, height: int, locale: str
) -> None:
    fill(node)
    shell = terminal(width, height, locale)
    ask(shell, "status")
    last = f"{node.instance}-2"
    lines = shell.wait_for(lambda lines: has(last)(lines) and lines[-1] == "$")
    assert lines[0].startswith(f"{node.instance} on ")
    assert lines[1].startswith("timer   no systemd runs here")
    head, *pilots = lines[-5:-1]
    words = head.split()
    assert words[:2] == ["pilot", "type"] if width == 80 else ["pilot", "state"]
    assert {"state", "age", "cpu", "memory"} <= set(words)
    if width == 80:
        assert {"left", "config", "image"} <= set(words)
    assert [line.split()[0] for line in pilots] == [f"{node.instance}-{slot}" for slot in range(3)]
    assert "\n".join(lines).isascii() is (locale == "C")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_does_not_fit_is_paged(
    terminal: Open, ctl: Ctl, node: Node, width: int, height: int
) -> None:
    fill(node, 16)
    ctl("drain", "--reason", "a long story that needs more than one line of a narrow terminal")
    shell = terminal(width, height)
    ask(shell, "status")
    lines = shell.wait_for(lambda lines: lines[-1] == ":")
    assert lines[0].startswith(f"{node.instance} on ")
    assert not has(f"{node.instance}-15")(lines)
    shell.type("G", enter=False)
    shell.wait_for(has(f"{node.instance}-15"))
    shell.type("q", enter=False)
    shell.wait_for(lambda lines: lines[-1] == "$")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_watch_refreshes_in_place_and_gives_the_screen_back(
    terminal: Open, ctl: Ctl, node: Node, width: int, height: int
) -> None:
    shell = terminal(width, height)
    shell.type("clear; echo before")
    shell.type("planctonctl status --watch 0.3")
    shell.wait_for(has("0 of 2 pilots live"))
    node.tick()
    lines = shell.wait_for(has("2 of 2 pilots live"))
    # In its place: there is one title, and it is the first line.
    assert [has(" pilots live")([line]) for line in lines].index(True) == 0
    assert sum(" pilots live" in line for line in lines) == 1
    shell.press("C-c")
    assert has("before")(shell.wait_for(has("before")))
    assert not has("Traceback")(shell.lines())


def test_a_watched_screen_that_is_too_small_says_how_many_more(terminal: Open, node: Node) -> None:
    fill(node, 16)
    shell = terminal(60, 20)
    shell.type("planctonctl status --watch 0.3")
    lines = shell.wait_for(has(" more"))
    assert len(lines) <= 20
    assert lines[0].startswith(f"{node.instance} on ")


@pytest.mark.parametrize(("more", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_the_terminals_own_and_never_black_or_white(
    terminal: Open, node: Node, more: dict[str, str], is_coloured: bool
) -> None:
    fill(node)
    shell = terminal(80, 24, **more)
    ask(shell, "status")
    shell.wait_for(lambda lines: lines[-1] == "$")
    shown = "\n".join(shell.lines(colours=True))
    assert ("\x1b[32m" in shown) is is_coloured
    for code in ("30", "37", "40", "47", "90", "97", "38;", "48;"):
        assert f"\x1b[{code}" not in shown


def test_a_dumb_terminal_gets_plain_text(terminal: Open, node: Node) -> None:
    fill(node, 16)
    shell = terminal(80, 24)
    shell.type("export TERM=dumb")
    ask(shell, "status")
    shell.wait_for(lambda lines: has(f"{node.instance}-15")(lines) and lines[-1] == "$")
    assert "\x1b[" not in "\n".join(shell.lines(colours=True))


@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("", 3), ("y", 0)])
def test_force_stop_asks_first(terminal: Open, node: Node, answer: str, left: int) -> None:
    fill(node)
    shell = terminal(80, 24)
    ask(shell, "force-stop --now")
    shell.wait_for(has("End 3 pilots at once, losing their work, and start no more? [y/N]"))
    assert len(node.live()) == 3
    shell.type(answer)
    shell.wait_for(has("No pilot is left." if answer == "y" else "Nothing is changed."), 60.0)
    assert len(node.containers()) == left
    assert (node.snapshot().ledger.drain is None) is bool(left)


def test_force_stop_with_yes_does_not_ask_and_tells_its_progress(
    terminal: Open, node: Node
) -> None:
    fill(node)
    shell = terminal(80, 24)
    ask(shell, "force-stop --yes")
    lines = shell.wait_for(has("No pilot is left."), 60.0)
    assert has("3 pilots to be ended, with 30 s of grace at most.")([" ".join(lines)])
    assert has(" left: ")(lines)
    assert not has("[y/N]")(lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_plan_breaks_its_lines_at_words(
    terminal: Open, node: Node, width: int, height: int
) -> None:
    shell = terminal(width, height)
    ask(shell, "plan")
    lines = shell.wait_for(lambda lines: has("would spawn")(lines) and lines[-1] == "$")
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith("    ") for line in lines)
