"""How a process makes itself known to the journal before its first event."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from plancton_tick import report


@pytest.fixture
def ends() -> Iterator[tuple[int, socket.socket]]:
    """Return stderr as a service has it, and the journal's end of it."""
    ours, journals = socket.socketpair()
    journals.settimeout(60)
    with ours, journals:
        yield ours.fileno(), journals
    report.introduce.cache_clear()


def test_it_is_an_empty_line_and_lasts_until_that_is_read(ends: tuple[int, socket.socket]) -> None:
    stderr, journal = ends
    order = []

    def read() -> None:
        time.sleep(0.1)
        order.append("read")
        order.append(journal.recv(10).decode())

    thread = threading.Thread(target=read)
    thread.start()
    report.introduce(stderr)
    order.append("introduced")
    thread.join()
    assert order[0] == "read"
    assert sorted(order[1:]) == ["\n", "introduced"]


def test_it_is_made_once(ends: tuple[int, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    stderr, journal = ends
    monkeypatch.setattr(report, "INTRODUCTION_SECONDS", 0.0)
    report.introduce(stderr)
    report.introduce(stderr)
    assert journal.recv(10) == b"\n"


def test_a_journal_that_hangs_or_has_gone_holds_nobody_up(
    ends: tuple[int, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr, journal = ends
    monkeypatch.setattr(report, "INTRODUCTION_SECONDS", 0.05)
    report.introduce(stderr)
    report.introduce.cache_clear()
    journal.close()
    report.introduce(stderr)
