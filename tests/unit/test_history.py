"""What is told of a time in the journal, checked against a day written down by hand."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton_tick.ctl.history import run
from plancton_tick.ctl.history_journal import Entry, make_command, read_file
from plancton_tick.ctl.history_picture import make_panel
from plancton_tick.ctl.history_sum import History, make_steps, sum_up
from plancton_tick.ctl.main import main
from plancton_tick.doing import Done, Verdict
from plancton_tick.errors import TraceError
from plancton_tick.measures import Measures
from plancton_tick.measures import World as Seen
from plancton_tick.model import (
    Action,
    Outcome,
    Pause,
    PilotExit,
    Reap,
    ReclaimAction,
    Resume,
    SlotUsage,
    Spawn,
    Terminate,
)
from plancton_tick.report import Event, describe
from plancton_tick.sample import sample
from tests.worlds import GIB, NOW, World, make_config, make_observation, make_pilot, make_type

WORLD = Seen(
    ncpus=8,
    busy_cores=5.0,
    owner_cores=2.0,
    pilots_cores=3.0,
    room_cores=1.5,
    memory_total_bytes=32 * GIB,
    owner_memory_bytes=4 * GIB,
    pilots_memory_bytes=6 * GIB,
    pilots_cpu_seconds=None,
    is_draining=False,
    types=(),
    vetoes=(),
)


def line(at: float, event: Event | None, **more: str) -> str:
    """Return a line as journalctl prints it of an event that a tick has sent."""
    assert event is not None
    entry = {
        "__CURSOR": "s=1",
        "__REALTIME_TIMESTAMP": str(int(at * 1e6)),
        "MESSAGE": event.message,
        "PRIORITY": str(event.priority),
        "PLANCTON_EVENT": event.kind.name.lower().replace("_", "-"),
        **event.fields,
        **more,
    }
    return json.dumps(entry)


def did(at: float, action: Action) -> str:
    return line(at, describe(Done(action, Verdict.DONE, "ab" * 32), make_observation()))


def saw(at: float, **world: object) -> str:
    seen = WORLD._replace(**world)  # type: ignore[arg-type]  # said by the callers
    return line(at, sample(Measures(at, "node", True, 0, seen)))


def ended(at: float, how: Outcome, cpu: float | None, wall: float, of_type: str) -> str:
    used = SlotUsage(cpu_seconds=cpu)
    pilot = make_pilot(type=of_type)._replace(exit=PilotExit(0, wall, False, "", used))
    return did(at, Reap(pilot, how, "why"))


def written(path: Path, lines: Sequence[str]) -> str:
    file = path / "journal.json"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def a_day() -> list[str]:
    """Return a short day: ten minutes of samples, a gap of ten hours, one minute more."""
    lines = [saw(NOW + 60 * minute) for minute in range(5)]
    lines += [
        saw(NOW + 60 * minute, owner_cores=6.0, pilots_cores=1.0, room_cores=0.5,
            vetoes=(("cooldown", ""), ("backoff", "b")))
        for minute in range(5, 10)
    ]  # fmt: skip
    lines.append(saw(NOW + 36_000, room_cores=-1.0, vetoes=(("cooldown", ""),)))
    lines += [
        did(NOW + 1, Spawn(make_type("a"), 0, "room")),
        did(NOW + 2, Spawn(make_type("a"), 1, "room")),
        did(NOW + 3, Spawn(make_type("b"), 2, "room")),
        did(NOW + 310, Pause(make_pilot(type="a"), "owner", 10.0)),
        did(NOW + 311, Pause(make_pilot(type="a"), "owner", 16.0)),
        did(NOW + 312, Terminate(make_pilot(type="b"), Outcome.RECLAIMED, "o", None, 12.0)),
        did(NOW + 330, Terminate(make_pilot(type="a"), Outcome.RECLAIMED, "paused for 120 s")),
        did(NOW + 331, Terminate(make_pilot(type="a"), Outcome.EXPIRED, "lived")),
        did(NOW + 340, Resume(make_pilot(type="a"), "room")),
        ended(NOW + 400, Outcome.DONE, 300.0, 390.0, "a"),
        ended(NOW + 500, Outcome.RECLAIMED, None, 100.0, "a"),
        ended(NOW + 510, Outcome.NO_WORK, 0.5, 2.0, "b"),
        line(NOW + 511, describe(Done(Reap(make_pilot(), None, "left"), Verdict.DONE),
                                 make_observation())),
        json.dumps({"MESSAGE": [1, 2], "__REALTIME_TIMESTAMP": "1"}),
    ]  # fmt: skip
    return lines


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    return read_file(written(tmp_path, a_day()))


@pytest.fixture
def history(entries: list[Entry]) -> History:
    return sum_up(entries)


def test_pilots_are_summed_by_type_and_outcome(history: History) -> None:
    first, second = history.types
    assert (first.name, first.spawned, second.name, second.spawned) == ("a", 2, "b", 1)
    assert {how: number for how, number in first.ended.items() if number} == {
        "done": 1,
        "reclaimed": 1,
    }
    assert (first.cpu_seconds, first.wall_seconds) == (300.0, 490.0)
    assert (second.ended["no-work"], second.cpu_seconds, second.wall_seconds) == (1, 0.5, 2.0)


def test_where_the_cpu_time_is_not_known_the_time_it_ran_is_told_apart(history: History) -> None:
    assert [(each.unmeasured, each.unmeasured_seconds) for each in history.types] == [
        (1, 100.0),
        (0, 0.0),
    ]


def test_a_sample_stands_for_the_time_to_the_next_but_not_for_a_host_that_was_off(
    history: History,
) -> None:
    # Nine minutes, three for the one before the gap, one for the last.
    assert history.samples == 11
    assert history.sampled_seconds == (9 + 3 + 1) * 60
    # 5 minutes of 6 idle cores; 4 + 3 of 2; 1 of 6.
    assert history.idle_core_seconds == 60 * (5 * 6 + 7 * 2 + 6)
    assert history.harvested_core_seconds == 60 * (5 * 3 + 7 * 1 + 3)
    assert history.harvested_share == pytest.approx(25 / 50)


def test_a_veto_costs_the_room_there_was_while_it_held(history: History) -> None:
    costs = {cost.veto: (cost.seconds, cost.room_core_seconds) for cost in history.vetoes}
    # Below no room at all nothing is lost.
    assert costs == {"cooldown": (8 * 60, 0.5 * 7 * 60), "backoff:b": (7 * 60, 0.5 * 7 * 60)}


def test_only_what_was_given_to_the_owner_is_a_reclaim_and_its_time_is_the_overloads(
    history: History,
) -> None:
    reclaims = history.reclaims
    assert (reclaims.paused, reclaims.terminated, reclaims.resumed) == (2, 2, 1)
    assert (reclaims.median_seconds, reclaims.most_seconds) == (12.0, 16.0)


@pytest.mark.parametrize("action", list(ReclaimAction))
def test_a_tick_says_how_long_the_overload_had_lasted(action: ReclaimAction) -> None:
    config = make_config(max_pilots=4, after=10.0, action=action)
    world = World(config, ncpus=4, owner=0.0)
    world.tick()
    world.owner = 2.0
    for _ in range(4):
        world.advance(5.0)
        world.tick()
    said = [
        describe(Done(entry.action, Verdict.DONE), make_observation()) for entry in world.reclaims()
    ]
    # Seen first by the tick after 5 s, given back by the third.
    assert [event.fields["PLANCTON_OVERLOAD_SECONDS"] for event in said if event] == ["10.000"] * 2


def test_without_samples_the_rest_is_told(tmp_path: Path) -> None:
    lines = [text for text in a_day() if '"sample"' not in text]
    history = sum_up(read_file(written(tmp_path, lines)))
    assert (history.samples, history.harvested_share, history.vetoes) == (0, None, ())
    assert sum(of_type.spawned for of_type in history.types) == 3


def test_a_sample_that_does_not_tell_of_pilots_is_no_idle_time_either(tmp_path: Path) -> None:
    unseen = sample(Measures(NOW, "n", True, 0, WORLD))
    assert unseen is not None
    fields = {key: text for key, text in unseen.fields.items() if key != "PLANCTON_PILOT_CORES"}
    lines = [saw(NOW), line(NOW + 60, unseen._replace(fields=fields)), saw(NOW + 120)]
    history = sum_up(read_file(written(tmp_path, lines)))
    assert history.idle_core_seconds == 2 * 60 * 6


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 8), st.floats(0, 8)), min_size=1))
def test_steps_never_overlap_and_last_three_times_the_usual_at_the_most(
    samples: list[tuple[float, float, float]],
) -> None:
    def entry(at: float, owner: float, pilots: float) -> Entry:
        event = sample(
            Measures(at, "n", True, 0, WORLD._replace(owner_cores=owner, pilots_cores=pilots))
        )
        assert event is not None
        return Entry(at, "sample", event.fields)

    steps = make_steps(entry(*each) for each in sorted(samples))
    for step, after in zip(steps, steps[1:], strict=False):
        assert 0 <= step.seconds <= after.at - step.at
        assert step.seconds <= 3 * steps[-1].seconds
    history = sum_up([entry(*each) for each in sorted(samples)])
    assert history.sampled_seconds == pytest.approx(sum(step.seconds for step in steps))


# --- the verb ------------------------------------------------------------------------------------


def test_the_table_has_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--journal", written(tmp_path, a_day())]) == 0
    out = capsys.readouterr().out
    rows = {text.split("  ")[0].strip(): text.split() for text in out.splitlines() if text}
    assert rows["pilots"][:6] == ["pilots", "spawned", "done", "no-work", "unreachable", "failed"]
    assert rows["a"][:9] == ["a", "2", "1", "0", "0", "0", "1", "0", "0"]
    assert rows["all"][:9] == ["all", "3", "1", "1", "0", "0", "1", "0", "0"]
    text = " ".join(out.split())
    assert "idle CPU harvested 50.0%, 1500 core-s of 3000 core-s (11 samples, 13 min)" in text
    assert "given back to the owner 2 paused, 2 terminated; 1 resumed" in text
    assert "pilots of unknown CPU 1, which ran for 100 s" in text
    assert "12.0 s in the median, at most 16.0 s" in out
    assert rows["cooldown"] == ["cooldown", "8", "min", "210", "core-s"]


def test_the_document_has_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, a_day())
    assert main(["history", "--json", "--journal", path]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["harvested_share"] == 0.5
    assert document["begins_at"] == NOW
    assert document["reclaims"]["overload_seconds"] == [10.0, 12.0, 16.0]
    assert document["types"][0]["ended"]["done"] == 1
    assert document["vetoes"][0]["room_core_seconds"] == 210.0


def test_the_panel_holds_the_same_core_seconds_as_the_table(
    entries: list[Entry], history: History
) -> None:
    panel = make_panel(history, entries)
    width = panel.end / len(panel.times)
    # A step that is half known counts as whole: with steps of a minute and 75 s nothing is far off.
    assert sum(panel.pilot_cores) * width == pytest.approx(history.harvested_core_seconds, rel=0.15)
    assert (panel.ncpus, panel.memory_total, panel.starts_at) == (8, 32 * GIB, NOW)
    assert {name: len(at) for name, at in panel.events.items()} == {
        "spawned": 3,
        "paused": 2,
        "killed": 2,
    }


def test_a_picture_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg, png = tmp_path / "day.svg", tmp_path / "day.png"
    words = ["--svg", str(svg), "--png", str(png), "--journal", written(tmp_path, a_day())]
    assert main(["history", *words]) == 0
    assert svg.read_text().lstrip().startswith("<?xml")
    assert png.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json\n", "journal.json:1: expected a line of journalctl -o json, got 'no json"),
        ('{"PLANCTON_EVENT": "ended"}\n', "journal.json:1: expected a line of journalctl"),
        ("[]\n", "journal.json:1: expected a line of journalctl"),
        ("", "nothing of Plancton's is in that part of the journal"),
    ],
)
def test_what_is_no_journal_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text)
    options = argparse.Namespace(
        journal=str(path), since=None, until=None, svg=None, png=None, json=False, user=False
    )
    with pytest.raises(TraceError) as error:
        run(options)
    assert said in error.value.message


def test_times_are_journalctls_own_and_go_with_this_hosts_journal_only(tmp_path: Path) -> None:
    command = make_command("-2h", "2026-11-22 12:00", user=True)
    assert {"--user", "--since=-2h", "--until=2026-11-22 12:00"} < set(command)
    assert command[-1] == "PLANCTON_EVENT=sample"
    path = written(tmp_path, a_day())
    assert main(["history", "--journal", path, "--since", "yesterday"]) == 2
