"""What lasts is said when it begins and when it ends."""

import os
from pathlib import Path

import pytest

from plancton_tick.errors import EngineUnavailableError, HostError
from plancton_tick.standing import UNSEEN_IN_TROUBLE, State, note, say_trouble, say_what_lasts


def test_a_state_begins_once_lasts_in_silence_and_ends_once(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert note(folder, {State.DRAINING: "a"}, 10.0).began == (State.DRAINING,)
    for now in (15.0, 20.0):
        change = note(folder, {State.DRAINING: "a"}, now)
        assert (change.began, change.ended) == ((), ())
    assert note(folder, {}, 52.0).ended == ((State.DRAINING, 42.0),)
    change = note(folder, {}, 57.0)
    assert (change.began, change.ended) == ((), ())


def test_a_state_that_lasts_writes_nothing(tmp_path: Path) -> None:
    note(str(tmp_path), {State.HELD: "x"}, 1.0)
    (kept,) = tmp_path.iterdir()
    before = kept.stat()
    note(str(tmp_path), {State.HELD: "other numbers"}, 2.0)
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert kept.stat().st_ino == before.st_ino


def test_other_faults_of_a_bad_configuration_are_said_anew(tmp_path: Path) -> None:
    note(str(tmp_path), {State.BAD_CONFIG: "one"}, 1.0)
    assert note(str(tmp_path), {State.BAD_CONFIG: "two"}, 2.0).began == (State.BAD_CONFIG,)
    assert note(str(tmp_path), {State.BAD_CONFIG: "two"}, 3.0).began == ()


def test_an_engine_that_fails_in_other_words_is_not_said_anew(tmp_path: Path) -> None:
    note(str(tmp_path), {State.ENGINE_DOWN: "refused"}, 1.0)
    assert note(str(tmp_path), {State.ENGINE_DOWN: "timed out"}, 2.0).began == ()


def test_trouble_neither_begins_nor_ends_what_it_hides(tmp_path: Path) -> None:
    folder = str(tmp_path)
    note(folder, {State.DRAINING: "a"}, 1.0)
    change = note(folder, {State.ENGINE_DOWN: "b"}, 2.0, UNSEEN_IN_TROUBLE)
    assert (change.began, change.ended) == ((State.ENGINE_DOWN,), ())
    change = note(folder, {State.DRAINING: "a"}, 5.0)
    assert (change.began, change.ended) == ((), ((State.ENGINE_DOWN, 3.0),))


def test_without_a_folder_troubles_are_said_each_time_and_the_rest_never() -> None:
    states = {State.ENGINE_DOWN: "down", State.HELD: "held", State.DRAINING: "drain"}
    for now in (1.0, 2.0):
        assert note(None, states, now).began == (State.ENGINE_DOWN,)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"held": 3}', '{"no-such": [1, "a"]}', "\x00"])
def test_a_damaged_file_costs_a_repeated_line_and_no_more(tmp_path: Path, content: str) -> None:
    (tmp_path / "lasting.json").write_text(content)
    assert note(str(tmp_path), {State.HELD: "x"}, 1.0).began == (State.HELD,)
    assert note(str(tmp_path), {State.HELD: "x"}, 2.0).began == ()


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert note(str(tmp_path / "gone"), {State.HELD: "x"}, 1.0).began == (State.HELD,)


def test_a_clock_set_back_makes_no_negative_duration(tmp_path: Path) -> None:
    note(str(tmp_path), {State.HELD: "x"}, 3600.0)
    assert note(str(tmp_path), {}, 0.0).ended == ((State.HELD, 0.0),)


def test_trouble_and_recovery_are_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    error = EngineUnavailableError("no such socket", hint="is it started?")
    error.faults = ("config.yaml:3: cpus: expected more",)
    for now in (1.0, 2.0, 3.0):
        say_trouble(error, now)
    say_what_lasts({}, 11.0)
    say_what_lasts({}, 12.0)
    assert sorted(capfd.readouterr().err.splitlines()) == [
        "plancton-tick: config.yaml:3: cpus: expected more",
        "plancton-tick: no such socket (is it started?)",
        "plancton-tick: the configuration is good again, after 10 s",
        "plancton-tick: the engine answers again, after 10 s",
    ]
    assert os.listdir(tmp_path) == ["lasting.json"]


def test_a_host_that_cannot_be_read_is_another_state_than_an_engine_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    say_trouble(HostError("/proc/stat: no"), 1.0)
    say_trouble(EngineUnavailableError("down"), 3.0)
    assert capfd.readouterr().err.splitlines() == [
        "plancton-tick: /proc/stat: no",
        "plancton-tick: the host can be read again, after 2 s",
        "plancton-tick: down",
    ]
