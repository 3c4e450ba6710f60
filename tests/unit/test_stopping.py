"""The request that the timer be stopped: when a tick leaves it, and that it leaves it once."""

import os
from pathlib import Path

import pytest

from plancton_tick.model import Pilot, PilotState
from plancton_tick.stopping import (
    REQUEST_NAME,
    remove_request,
    request_when_gone,
    runtime_folder,
)


def pilot(state: PilotState) -> Pilot:
    return Pilot("i", "plancton-0", "t", 0, state, 0.0, None, 1.0, 0, "", "")


@pytest.mark.parametrize(
    ("states", "is_asked"),
    [
        ((), True),
        ((PilotState.EXITED, PilotState.REMOVING), True),
        ((PilotState.RUNNING,), False),
        ((PilotState.PAUSED,), False),
        ((PilotState.EXITED, PilotState.CREATED), False),
    ],
)
def test_the_timer_is_to_stop_when_no_pilot_is_live(
    states: tuple[PilotState, ...], is_asked: bool, tmp_path: Path
) -> None:
    assert request_when_gone(map(pilot, states), str(tmp_path)) is is_asked
    assert (tmp_path / REQUEST_NAME).exists() is is_asked


def test_a_request_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    assert request_when_gone((), str(tmp_path))
    path = tmp_path / REQUEST_NAME
    os.utime(path, (1, 1))
    assert not request_when_gone((), str(tmp_path))
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize("folder", [None, "/no/such/folder"])
def test_without_a_folder_nothing_happens(folder: str | None) -> None:
    assert not request_when_gone((), folder)
    remove_request(folder or "/no/such/folder")


def test_a_request_is_taken_back(tmp_path: Path) -> None:
    request_when_gone((), str(tmp_path))
    remove_request(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_services_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert runtime_folder() == "/run/plancton"
    assert runtime_folder(user=True) == "/run/user/7/plancton"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/other")
    assert runtime_folder() == "/run/other"
