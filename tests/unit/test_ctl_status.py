"""What status tells: from what was seen to the value, to JSON, and to a screen of any size."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from plancton_tick.config import load_config
from plancton_tick.container import config_hash
from plancton_tick.ctl.screen import Screen
from plancton_tick.ctl.status_data import (
    EngineStatus,
    Status,
    TickStatus,
    TimerStatus,
    make_status,
    to_json,
)
from plancton_tick.ctl.status_screen import draw, short_size, short_time, timer_parts
from plancton_tick.ctl.usage import Usage, find_groups, read_all, read_cpu
from plancton_tick.decide import decide
from plancton_tick.engine import Engine
from plancton_tick.ledger import Snapshot
from plancton_tick.loaded import Loaded
from plancton_tick.model import (
    Backoff,
    Drain,
    Ending,
    HostLoad,
    Ledger,
    Observation,
    Outcome,
    Pilot,
    PilotState,
)
from plancton_tick.tick import Seen

DOCUMENT = Path(__file__).parents[2] / "docs" / "status-json.md"
NOW = 1_800_000_000.0
GIB = 2**30
CONFIG = """
host: {max_pilots: 300, reserve: {cpus: 1, memory: 1G}}
pilots:
  - {name: analysis, image: registry.example.org/physics/analysis:v3, share: 3, cpus: 1}
  - {name: simulation, image: "sim:1", share: 1, cpus: 1, max: 8}
"""
TIMER = TimerStatus("system", None, True, True, True, NOW + 3, None)
AT_WORK = TickStatus(True, NOW, None, "success", None, None, None)
ENGINE = EngineStatus("unix:///run/docker.sock", None, None, 0)
LOAD = HostLoad(8, 4.5, 2.5, 32 * GIB, 20 * GIB, 0, 3 * GIB, 50 * GIB, 0.4)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Return a configuration of two types."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    path.chmod(0o644)
    loaded = load_config(str(path))
    assert loaded.faults == ()
    return loaded


def pilots(loaded: Loaded, number: int) -> tuple[Pilot, ...]:
    types = loaded.config.pilots
    return tuple(
        Pilot(
            id=f"{slot:064x}",
            name=f"plancton-{slot}",
            type=types[slot % 2].name,
            slot=slot,
            state=PilotState.PAUSED if slot % 5 == 4 else PilotState.RUNNING,
            spawned_at=NOW - 60 * slot,
            expires_at=NOW + 3600,
            cpus=1.0,
            memory_bytes=2 * GIB,
            config_hash=config_hash(types[slot % 2]) if slot % 3 else "older",
            version="1.0.0",
            image=types[slot % 2].image,
        )
        for slot in reversed(range(number))
    )


def status(
    loaded: Loaded,
    number: int = 3,
    *,
    ledger: Ledger | None = None,
    usage: Mapping[str, Usage] | None = None,
    timer: TimerStatus = TIMER,
) -> Status:
    ledger = ledger or Ledger()
    observation = Observation(NOW, LOAD, pilots(loaded, number), ledger)
    plan = decide(loaded.config, observation)
    engine = Engine("unix:///x", 5.0, "plancton")
    seen = Seen(loaded, engine, Snapshot(1, ledger, (), (), {}), observation, plan)
    return make_status(loaded, ENGINE, timer, seen, usage or {})


BUSY = Ledger(
    drain=Drain("ann", NOW - 300, "new kernel", stops_timer=True),
    ending={f"{1:064x}": Ending(Outcome.DRAINED, NOW - 5, signalled=True)},
    backoffs={"simulation": Backoff(NOW + 40, 60.0, "no-work")},
    counts={"analysis": {"done": 12, "failed": 1}, "former": {"done": 5}},
)


def test_pilots_are_told_by_slot_with_what_they_use(loaded: Loaded) -> None:
    usage = {f"{0:064x}": Usage(0.98, GIB)}
    told = status(loaded, 3, ledger=BUSY, usage=usage)
    assert [pilot.slot for pilot in told.pilots] == [0, 1, 2]
    first, second, _ = told.pilots
    assert (first.cpu_cores, first.memory_used_bytes) == (0.98, GIB)
    assert (second.cpu_cores, second.memory_used_bytes) == (None, None)
    assert [pilot.is_current for pilot in told.pilots] == [False, True, True]
    assert (first.ending, second.ending) == (None, "drained")
    assert (second.age_seconds, second.left_seconds) == (60.0, 3600.0)
    assert first.image == "registry.example.org/physics/analysis:v3"


def test_types_are_told_with_shares_outcomes_and_backoff(loaded: Loaded) -> None:
    told = {each.name: each for each in status(loaded, 3, ledger=BUSY).types}
    assert list(told) == ["analysis", "simulation", "former"]
    analysis, simulation, former = told.values()
    assert (analysis.live, analysis.share_wanted, simulation.share_wanted) == (2, 0.75, 0.25)
    assert analysis.share_had == pytest.approx(2 / 3)
    assert simulation.max == 8
    assert analysis.outcomes == {"done": 12, "failed": 1}
    assert simulation.backoff == Backoff(NOW + 40, 60.0, "no-work")
    assert (former.is_configured, former.live, former.outcomes) == (False, 0, {"done": 5})


def test_vetoes_are_told_in_words_with_the_earliest_time(loaded: Loaded) -> None:
    told = status(loaded, 3, ledger=BUSY)
    words = [veto.words for veto in told.vetoes]
    assert "no new pilot (draining): drained by ann: new kernel" in words
    assert any(re.search(r"simulation pilot \(backoff\).*earliest in 40 s", each) for each in words)


def documented() -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text()))


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        inner = (keys(each) for key, each in value.items() if key != "outcomes")
        return set(value).union(*inner)
    if isinstance(value, list):
        return set().union(*map(keys, value))
    return set()


def test_every_key_of_the_json_is_documented(loaded: Loaded) -> None:
    tick = TickStatus(False, NOW - 3, NOW - 2, "success", 0, None, "done")
    told = status(loaded, 3, ledger=BUSY, timer=TIMER._replace(last_tick=tick))
    document = json.loads(to_json(told))
    assert document["schema"] == 1
    assert f"`schema` is {document['schema']}" in DOCUMENT.read_text()
    assert keys(document) - documented() == set()


def test_without_an_engine_the_document_is_complete(loaded: Loaded) -> None:
    engine = EngineStatus("unix:///x", "the engine is not there", "start it", 69)
    told = make_status(loaded, engine, TIMER, None, {})
    assert told.exit_code == 69
    document = json.loads(to_json(told))
    whole = json.loads(to_json(status(loaded, ledger=BUSY)))
    assert document.keys() == whole.keys()
    assert (document["host"], document["pilots"], document["types"]) == (None, [], [])


def test_a_lifetime_without_end_is_no_number_that_json_lacks(loaded: Loaded) -> None:
    told = status(loaded, 1)
    endless = told.pilots[0]._replace(left_seconds=float("inf"))
    document = json.loads(to_json(told._replace(pilots=(endless,))))
    assert document["pilots"][0]["left_seconds"] is None


def shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: Status,
    *,
    width: int = 80,
    locale: str = "C.UTF-8",
    height: int | None = None,
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LC_ALL", locale)
    screen = Screen()
    screen.show(draw(screen, told, height=height))
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [200, 120, 80, 60])
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_all_fits_any_width_and_locale(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loaded: Loaded,
    width: int,
    locale: str,
) -> None:
    told = status(loaded, 4, ledger=BUSY, usage={f"{0:064x}": Usage(0.98, GIB)})
    lines = shown(monkeypatch, capsys, told, width=width, locale=locale)
    text = "\n".join(lines)
    assert all(len(line) <= width for line in lines), text
    assert "\x1b" not in text
    assert text.isascii() or locale != "C"
    for word in ("analysis", "plancton-0", "0.98/1", "1.0G/2.0G", "new kernel", "ending: drained"):
        assert word in text.replace("…", ""), text


def test_at_80_columns_every_fact_of_a_pilot_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded: Loaded
) -> None:
    lines = shown(monkeypatch, capsys, status(loaded, 3))
    (head,) = (line for line in lines if line.startswith("pilot "))
    assert head.split()[:5] == ["pilot", "type", "state", "age", "left"]
    assert head.split()[5:] == ["cpu", "memory", "config", "image"]


def test_200_pilots_are_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded: Loaded
) -> None:
    begin = time.process_time()
    lines = shown(monkeypatch, capsys, status(loaded, 200))
    assert time.process_time() - begin < 2.0
    assert sum(line.startswith("plancton-") for line in lines) == 200


def test_a_watched_screen_holds_as_many_pilots_as_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded: Loaded
) -> None:
    lines = shown(monkeypatch, capsys, status(loaded, 200), height=30)
    assert len(lines) == 30
    pilots_shown = sum(line.startswith("plancton-") for line in lines)
    assert pilots_shown
    assert lines[-1] == f"and {200 - pilots_shown} more"


@pytest.mark.parametrize(
    ("timer", "said"),
    [
        (TIMER, "on, next tick in 3 s; none has run yet"),
        (TIMER._replace(is_enabled=False), "on until the next boot, next tick in 3 s; none has"),
        (TIMER._replace(is_on=False, is_enabled=False, next_at=None), "off (planctonctl start)"),
        (
            TIMER._replace(is_on=False, next_at=None),
            "off, until the next boot (planctonctl start)",
        ),
        (TIMER._replace(error="no systemd runs here"), "no systemd runs here: ticks come only"),
        (
            TIMER._replace(next_at=None, last_tick=AT_WORK),
            "on, a tick is at work",
        ),
        (
            TIMER._replace(
                last_tick=TickStatus(False, NOW - 9, NOW - 8, "success", 69, None, "no engine")
            ),
            "on, next tick in 3 s; last one 8 s ago: no engine",
        ),
    ],
)
def test_the_timer_in_words(timer: TimerStatus, said: str) -> None:
    parts = timer_parts(timer, NOW)
    assert "".join(p if isinstance(p, str) else p[0] for p in parts).startswith(said)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3900, "1h05"),
        (187200, "2d04h"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert short_time(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0K"),
        (512 * 1024, "512K"),
        (12 * 2**20, "12M"),
        (int(1.5 * GIB), "1.5G"),
        (GIB * 90, "90G"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert short_size(size) == text


@pytest.mark.parametrize("name", ["{id}", "docker-{id}.scope", "libpod-{id}.scope"])
@pytest.mark.parametrize("instance", ["plancton", "plancton-b"])
def test_what_a_container_uses_is_read_from_its_group(
    tmp_path: Path, name: str, instance: str
) -> None:
    container = "ab" * 32
    # The systemd driver nests slices by their names, the other does not.
    parents = (
        f"plancton.slice/{instance}.slice"
        if "scope" in name and "-" in instance
        else (f"{instance}.slice")
    )
    slot = f"{instance}-slot3.slice"
    group = tmp_path / "sys/fs/cgroup" / parents / slot / name.format(id=container)
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 1000000\n")
    (group / "memory.current").write_text("3000\n")
    (group / "memory.stat").write_text("inactive_file 1000\n")
    (group.parent / "other.scope").mkdir()
    root = str(tmp_path)
    groups = find_groups(instance, root)
    assert list(groups) == [container]
    first = read_cpu(groups, root)
    (group / "cpu.stat").write_text("usage_usec 1500000\n")
    used = read_all(first._replace(at=first.at - 1.0), instance, root)[container]
    assert used.memory_bytes == 2000
    assert used.cores == pytest.approx(0.5, rel=0.2)


def test_a_host_without_the_slice_tells_nothing(tmp_path: Path) -> None:
    assert find_groups("plancton", str(tmp_path)) == {}
    assert read_all(read_cpu({}, str(tmp_path)), "plancton", str(tmp_path)) == {}
