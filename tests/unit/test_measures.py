"""The figures of a moment, what is written of them, and the counters behind them."""

import json
import os
import subprocess
import threading
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton_tick import metrics
from plancton_tick.ctl.traces_journal import read_journal
from plancton_tick.decide import decide
from plancton_tick.errors import ExportError
from plancton_tick.measures import LastTick, Measures, World, measure
from plancton_tick.model import (
    Backoff,
    Drain,
    Ledger,
    Observation,
    Outcome,
    PilotState,
)
from plancton_tick.report import DEBUG, Kind
from plancton_tick.sample import sample
from plancton_tick.textfile import hold_counters, to_text, write_textfile
from tests import worlds
from tests.worlds import GIB, NOW, make_config, make_host, make_observation, make_pilot, make_type


def measures_of(observation: Observation, *types: str) -> Measures:
    config = make_config(*(make_type(name) for name in types or ("default",)))
    plan = decide(config, observation)
    world = measure(config, observation, plan, 12.5)
    return Measures(NOW, "node", True, 0, world, LastTick(NOW - 3, 1.25, 0))


def world_of(observation: Observation, *types: str) -> World:
    world = measures_of(observation, *types).world
    assert world is not None
    return world


def samples_of(measures: Measures) -> dict[str, float]:
    """Read the file back, by its lines: what a series is called and its value."""
    lines = to_text(measures).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


# --- counters ------------------------------------------------------------------------------------


def test_a_pilot_is_started_once_whether_it_runs_has_ended_or_is_counted_and_still_there() -> None:
    pilots = (
        make_pilot(0, state=PilotState.RUNNING),
        make_pilot(1, state=PilotState.PAUSED),
        make_pilot(2, code=0),
        make_pilot(3, code=0),
        make_pilot(4, state=PilotState.CREATED),
    )
    ledger = Ledger(counts={"default": {"done": 5, "failed": 2}}, counted={"id-3": NOW})
    (of_type,) = world_of(make_observation(*pilots, ledger=ledger)).types
    # 7 counted, id-3 among them; 0, 1 and 2 are there; 4 has not begun.
    assert of_type.started == 10
    assert (of_type.ended["done"], of_type.ended["failed"], of_type.ended["expired"]) == (5, 2, 0)
    assert of_type.states == {
        "created": 1,
        "running": 1,
        "paused": 1,
        "exited": 2,
        "removing": 0,
    }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_started_pilots_never_grow_fewer_and_grow_by_one_with_each_spawn(
    data: st.DataObject,
) -> None:
    """Whatever happens in between, and also where ticks are cut short at any step."""
    config = make_config(make_type("a"), make_type("b"), max_pilots=6, cooldown=0.0)
    world = worlds.World(config, ncpus=8, owner=data.draw(st.floats(0, 8)))
    for _ in range(12):
        for _ in islice(world.interruptible_tick(), data.draw(st.integers(0, 12))):
            pass
        for pilot in world.live():
            if data.draw(st.booleans()):
                world.exit(pilot.id, data.draw(st.sampled_from((0, 75, 1))))
        world.owner = data.draw(st.floats(0, 8))
        world.advance(10.0)
        observation = world.observe()
        seen = measure(config, observation, decide(config, observation), None)
        assert sum(of_type.started for of_type in seen.types) == len(world.spawns())


def test_pauses_are_counted_by_type_and_resumed_pilots_are_not_uncounted() -> None:
    config = make_config(make_type("a"), max_pilots=4, after=0.0)
    world = worlds.World(config, ncpus=4, owner=0.0)
    world.tick()
    world.owner = 3.0
    world.tick()
    assert world.ledger.pauses == {"a": 3}
    world.owner = 0.0
    world.advance(5.0)
    world.tick()
    assert not [each for each in world.pilots.values() if each.state is PilotState.PAUSED]
    assert world.ledger.pauses == {"a": 3}


# --- gauges --------------------------------------------------------------------------------------


def test_a_type_that_is_gone_keeps_its_counters_and_one_that_never_ran_has_all_at_0() -> None:
    ledger = Ledger(counts={"old": {"done": 3}}, pauses={"older": 1})
    types = {each.name: each for each in world_of(make_observation(ledger=ledger), "new").types}
    assert set(types) == {"new", "old", "older"}
    assert set(types["new"].ended) == set(Outcome)
    assert set(types["new"].states) == set(PilotState)
    assert types["new"].started == 0
    assert types["older"].pauses == 1


def test_owner_memory_is_what_all_but_the_pilots_hold() -> None:
    host = make_host(memory_total=64 * GIB, available=40 * GIB, pilots_memory=10 * GIB)
    assert world_of(make_observation(host=host)).owner_memory_bytes == 14 * GIB


@pytest.mark.parametrize(("pilots", "expected"), [((), 24 * GIB), ((make_pilot(),), None)])
def test_where_the_slice_cannot_be_read_owner_memory_is_known_without_pilots_alone(
    pilots: tuple[object, ...], expected: int | None
) -> None:
    host = make_host(memory_total=64 * GIB, available=40 * GIB, pilots_memory=None)
    observation = make_observation(*pilots, host=host)  # type: ignore[arg-type]  # made above
    assert world_of(observation).owner_memory_bytes == expected


def test_all_that_is_known_is_in_the_file() -> None:
    ledger = Ledger(
        drain=Drain("root", NOW, "why"),
        backoffs={"default": Backoff(NOW + 40, 60, "no-work")},
        counts={"default": {"no-work": 4}},
        pauses={"default": 2},
    )
    host = make_host(ncpus=8, owner=2.5, pilots_cores=1.0, pilots_memory=GIB)
    found = samples_of(measures_of(make_observation(make_pilot(), host=host, ledger=ledger)))
    expected = {
        'plancton_build_info{version="1.0.0"}': 1,
        "plancton_engine_up": 1,
        "plancton_config_faults": 0,
        "plancton_cpus": 8,
        "plancton_owner_cores": 2.5,
        "plancton_room_cores": 8 - 1 - 2.4 - 1,
        "plancton_pilots_cores": 1,
        "plancton_pilots_memory_bytes": GIB,
        "plancton_pilots_cpu_seconds_total": 12.5,
        "plancton_draining": 1,
        'plancton_veto{type="",veto="draining"}': 1,
        'plancton_pilots{state="running",type="default"}': 1,
        'plancton_pilots_started_total{type="default"}': 5,
        'plancton_pilots_ended_total{outcome="no-work",type="default"}': 4,
        'plancton_pauses_total{type="default"}': 2,
        'plancton_backoff_seconds{type="default"}': 40,
        "plancton_last_tick_timestamp_seconds": NOW - 3,
        "plancton_last_tick_duration_seconds": 1.25,
        "plancton_last_tick_exit_code": 0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_what_is_not_known_is_not_in_the_file() -> None:
    found = samples_of(Measures(NOW, "node", None, 2))
    assert set(found) == {'plancton_build_info{version="1.0.0"}', "plancton_config_faults"}
    killed = Measures(NOW, "node", False, 0, None, LastTick(NOW, 60.0, None))
    assert "plancton_last_tick_exit_code" not in samples_of(killed)
    assert samples_of(killed)["plancton_engine_up"] == 0


@settings(max_examples=40, deadline=None)
@given(worlds.observations())
def test_whatever_is_seen_can_be_written_and_sampled(observation: Observation) -> None:
    measures = measures_of(observation)
    assert samples_of(measures)
    event = sample(measures)
    assert event is not None
    assert all(isinstance(value, str) for value in event.fields.values())


def test_promtool_finds_nothing_to_improve() -> None:
    host = make_host(owner=2.5, pilots_cores=1.0, pilots_memory=GIB)
    ledger = Ledger(drain=Drain("root", NOW, ""), counts={"default": {"done": 1}})
    text = to_text(measures_of(make_observation(make_pilot(), host=host, ledger=ledger)))
    run = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)  # noqa: PLW1510
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


# --- the file ------------------------------------------------------------------------------------


def test_the_file_may_be_read_by_all_and_no_other_is_left(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        write_textfile(measures_of(make_observation()), str(tmp_path))
    finally:
        os.umask(mask)
    (path,) = tmp_path.iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == ("plancton.prom", 0o644)


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    small, large = (
        measures_of(make_observation(ledger=Ledger(counts=counts)))
        for counts in ({}, {f"type-{number}": {"done": 1} for number in range(200)})
    )
    whole = {to_text(small), to_text(large)}
    write_textfile(small, str(tmp_path))
    is_over = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not is_over.is_set():
            seen.add((tmp_path / "plancton.prom").read_bytes())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(60):
        write_textfile(large, str(tmp_path))
        write_textfile(small, str(tmp_path))
    is_over.set()
    for reader in readers:
        reader.join()
    assert seen == whole


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as error:
        write_textfile(measures_of(make_observation()), str(tmp_path / "absent"))
    assert f"{tmp_path}/absent/plancton.prom: cannot be written: No such" in error.value.message


def test_a_pilot_removed_by_hand_does_not_turn_the_counter_back() -> None:
    ledger = Ledger(counts={"default": {"done": 5}})
    before = measures_of(make_observation(make_pilot(0), make_pilot(1), ledger=ledger))
    after = measures_of(make_observation(make_pilot(0), ledger=ledger))
    held = hold_counters(after, to_text(before).decode())
    assert samples_of(held)['plancton_pilots_started_total{type="default"}'] == 7
    # A new ledger is a new beginning.
    anew = hold_counters(measures_of(make_observation(make_pilot(0))), to_text(before).decode())
    assert samples_of(anew)['plancton_pilots_started_total{type="default"}'] == 1


@pytest.mark.parametrize("text", ["", "no metrics {", "\0", 'plancton_pilots_started_total{type="'])
def test_a_file_that_makes_no_sense_is_replaced(text: str, tmp_path: Path) -> None:
    (tmp_path / "plancton.prom").write_text(text)
    measures = measures_of(make_observation(make_pilot()))
    write_textfile(measures, str(tmp_path))
    assert (tmp_path / "plancton.prom").read_bytes() == to_text(measures)


# --- the sample ----------------------------------------------------------------------------------


def test_a_sample_is_what_simulate_reads_as_the_owners_load(tmp_path: Path) -> None:
    lines = []
    for minute, owner in enumerate((0.5, 2.25, 1.0)):
        host = make_host(owner=owner, available=(60 - minute) * GIB)
        event = sample(measures_of(make_observation(host=host)))
        assert event is not None
        fields = {"PLANCTON_EVENT": event.kind.name.lower(), **event.fields}
        at = {"__REALTIME_TIMESTAMP": str(int((NOW + 60 * minute) * 1e6))}
        lines.append(json.dumps({**fields, **at}))
    path = tmp_path / "journal.json"
    path.write_text("\n".join(lines))
    trace = read_journal(str(path))
    assert list(trace.cores) == [0.5, 2.25, 1.0]
    assert list(trace.memory_bytes) == [4 * GIB, 5 * GIB, 6 * GIB]
    assert (trace.ncpus, trace.memory_total_bytes) == (8, 64 * GIB)


def test_a_sample_names_each_veto_and_is_of_the_lowest_priority() -> None:
    backoffs = {"default": Backoff(NOW + 40, 60, "no-work")}
    ledger = Ledger(drain=Drain("root", NOW, ""), backoffs=backoffs)
    pilots = (make_pilot(0), make_pilot(1, state=PilotState.PAUSED))
    event = sample(measures_of(make_observation(*pilots, ledger=ledger)))
    assert event is not None
    assert (event.kind, event.priority) == (Kind.SAMPLE, DEBUG)
    assert {"draining", "backoff:default"} <= set(event.fields["PLANCTON_VETOES"].split())
    counts = [event.fields[f"PLANCTON_PILOTS_{state}"] for state in ("RUNNING", "PAUSED")]
    assert counts == ["1", "1"]


def test_where_nothing_can_be_seen_there_is_no_sample() -> None:
    assert sample(Measures(NOW, "node", False, 0)) is None


# --- the command ---------------------------------------------------------------------------------


def write_config(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def test_an_engine_that_is_down_is_exported_and_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    config = write_config(tmp_path, f"metrics: {{textfile: {tmp_path}}}")
    assert metrics.main(["--config", config]) == 69
    assert "\nplancton_engine_up 0.0\n" in (tmp_path / "plancton.prom").read_text()
    assert capsys.readouterr() == ("", "")


def test_a_bad_configuration_is_exported_and_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    config = write_config(tmp_path, f"metrics: {{textfile: {tmp_path}}}\nnew: 1\nnewer: 2")
    assert metrics.main(["--config", config]) == 78
    assert "\nplancton_config_faults 2.0\n" in (tmp_path / "plancton.prom").read_text()


def test_figures_that_cannot_be_written_are_told_and_keep_no_other_sink_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handed: list[Measures] = []
    measures = measures_of(make_observation())

    def fail(_: Measures) -> None:
        raise ExportError("there: is full")

    monkeypatch.setattr(metrics, "observe_all", lambda *_, **__: (measures, 0))
    monkeypatch.setattr(metrics, "sinks_of", lambda *_, **__: [fail, handed.append])
    assert metrics.main(["--config", str(tmp_path / "absent.yaml")]) == 75
    assert handed == [measures]
    assert capsys.readouterr().err == "plancton-metrics: there: is full\n"


def test_by_hand_and_without_a_folder_figures_go_nowhere() -> None:
    assert list(metrics.sinks_of(make_config())) == []
