"""Who asked, what is said of it, and where."""

import os
from collections.abc import Mapping

import pytest

from plancton_tick import report
from plancton_tick.ctl.common import count, one_line, tell, who_asks
from plancton_tick.errors import ManagerUnavailableError
from plancton_tick.manager import Manager, is_here


@pytest.mark.parametrize(("uid", "name"), [(0, "ann"), (1, "daemon"), (4242424, "user 4242424")])
def test_who_became_root_by_sudo_is_named_and_nobody_else_can_say_so(
    monkeypatch: pytest.MonkeyPatch, uid: int, name: str
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setattr(os, "getuid", lambda: uid)
    assert who_asks() == name


def test_a_reason_is_one_line_without_control_characters() -> None:
    assert one_line(" a\n b\x1b[31m\t c ") == "a b [31m c"


@pytest.mark.parametrize(("number", "text"), [(0, "no pilot"), (1, "1 pilot"), (2, "2 pilots")])
def test_numbers_are_counted_in_words(number: int, text: str) -> None:
    assert count(number, "pilot") == text


def test_what_an_operator_did_is_in_the_journal_of_the_ticks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[Mapping[str, str]] = []
    from systemd import journal

    def send(message: str, **fields: str) -> None:
        sent.append({"MESSAGE": message, **fields})

    monkeypatch.setattr(journal, "send", send)
    monkeypatch.setattr(report, "JOURNAL_SOCKET", "/")
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    tell("drain", "No new pilots.", "", "None is live.")
    (entry,) = sent
    assert entry["MESSAGE"] == "drain by ann: No new pilots. None is live."
    assert entry["OBJECT_SYSTEMD_UNIT"] == "plancton.service"
    assert entry["PLANCTON_OPERATOR"] == "ann"
    assert (entry["PLANCTON_EVENT"], entry["PLANCTON_VERB"]) == ("operator", "drain")
    assert entry["SYSLOG_IDENTIFIER"] == "planctonctl"
    assert capsys.readouterr().out == "No new pilots. None is live.\n"


@pytest.mark.parametrize("user", [False, True])
def test_where_no_systemd_runs_that_is_said(monkeypatch: pytest.MonkeyPatch, user: bool) -> None:
    monkeypatch.setattr("plancton_tick.manager.BOOTED", "/no/such/folder")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/no/such/folder")
    assert not is_here(user=user)
    with pytest.raises(ManagerUnavailableError, match="no systemd runs"), Manager(user=user):
        pass


@pytest.mark.parametrize("user", [False, True])
def test_a_bus_that_is_not_there_is_told_from_no_systemd(
    monkeypatch: pytest.MonkeyPatch, user: bool
) -> None:
    monkeypatch.setattr("plancton_tick.manager.is_here", lambda *, user: True)
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"):
        monkeypatch.setenv(name, "unix:path=/no/such/bus")
    with pytest.raises(ManagerUnavailableError, match="bus cannot be reached"), Manager(user=user):
        pass
