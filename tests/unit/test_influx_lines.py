"""Figures and finished pilots become lines that mean what they say, whatever is in them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton_tick.influx_lines import Ended, line_of_ended, lines_of
from plancton_tick.measures import LastTick, Measures, TypeMeasures, World
from plancton_tick.model import Outcome, PilotState
from tests.line_protocol import Point, parse

NOW = 1_790_000_000.25
DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = DOCS / "grafana-plancton-influxdb.json"


def make_world(**changes: Any) -> World:
    grid = TypeMeasures(
        name="grid",
        states={str(state): index for index, state in enumerate(PilotState)},
        started=30,
        ended={str(outcome): index for index, outcome in enumerate(Outcome)},
        pauses=2,
        backoff_seconds=4.5,
    )
    world = World(
        ncpus=8,
        busy_cores=5.0,
        owner_cores=2.0,
        pilots_cores=3.0,
        room_cores=1.5,
        memory_total_bytes=2**34,
        owner_memory_bytes=2**32,
        pilots_memory_bytes=2**31,
        pilots_cpu_seconds=1234.5,
        is_draining=False,
        types=(grid, grid._replace(name="local")),
        vetoes=(("cpus", ""), ("backoff", "local")),
    )
    return world._replace(**changes)


def make_measures(world: World | None, **changes: Any) -> Measures:
    measures = Measures(
        taken_at=NOW,
        node="farm-7.example.org",
        is_engine_up=world is not None,
        config_faults=0,
        world=world,
        last_tick=LastTick(NOW - 3, 1.25, 0),
    )
    return measures._replace(**changes)


def make_ended(**changes: Any) -> Ended:
    ended = Ended(
        at_us=1_790_000_000_123_456,
        node="farm-7.example.org",
        pilot="farm-7-grid-3-abc",
        container_id="0123456789abcdef",
        type="grid",
        outcome="done",
        image="busybox:1",
        wall_seconds=60.5,
        cpu_seconds=50.25,
        memory_peak_bytes=1048576.0,
        exit_status=0.0,
        is_oom=0.0,
    )
    return ended._replace(**changes)


def points_of(measures: Measures, on_seconds: float | None = 60.0) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for line in lines_of(measures, on_seconds):
        point = parse(line)
        found.setdefault(point.series, []).append(point)
    return found


def test_the_series_of_06_have_its_tags_and_fields_and_all_numbers_are_floats() -> None:
    points = points_of(make_measures(make_world()))
    (daemon,) = points["daemon"]
    (measurement,) = points["measurement"]
    assert daemon.tags == measurement.tags == {"hostname": "farm-7"}
    of_06 = {name: daemon.fields[name] for name in ("uptime", "containers", "status")}
    # Paused ones were up to 0.6, too.
    assert of_06 == {"uptime": 60.0, "containers": 1 + 2 + 1 + 2, "status": "active"}
    assert measurement.fields["cpu_eff"] == 62.5
    container = parse(line_of_ended(make_ended()))
    assert container.tags["hostname"] == "farm-7"
    assert (container.tags["started"], container.tags["killed"]) == ("True", "False")
    assert container.fields["uptime"] == 60.5
    everything = [*lines_of(make_measures(make_world()), 60.0), line_of_ended(make_ended())]
    # 5i would be an integer: where a field has been a float, it would be refused for ever.
    assert not any(re.search(r"=-?\d+i?[, ]", line) for line in everything)


@pytest.mark.parametrize(
    ("outcome", "started", "killed"),
    [
        *(("done", "True", "False"), ("no-work", "True", "False"), ("failed", "True", "False")),
        *(("reclaimed", "True", "True"), ("expired", "True", "True"), ("drained", "True", "True")),
        *(("unreachable", "True", "False"), ("of-tomorrow", "True", "False")),
        ("", "False", "False"),
    ],
)
def test_a_pilot_was_killed_if_plancton_ended_it(outcome: str, started: str, killed: str) -> None:
    tags = parse(line_of_ended(make_ended(outcome=outcome))).tags
    assert (tags["started"], tags["killed"]) == (started, killed)


@pytest.mark.parametrize(
    ("measures", "on_seconds", "status"),
    [
        (make_measures(make_world()), None, "active"),
        (make_measures(make_world(is_draining=True)), 9.0, "draining"),
        (make_measures(None), 9.0, "waiting"),
        (make_measures(make_world(is_draining=True)), 0.0, "stopped"),
    ],
)
def test_the_status_is_one_word(measures: Measures, on_seconds: float | None, status: str) -> None:
    (daemon,) = points_of(measures, on_seconds)["daemon"]
    assert daemon.fields["status"] == status
    assert daemon.fields.get("uptime") == (on_seconds or None)


def test_what_is_not_known_has_no_field() -> None:
    world = make_world(pilots_cores=None, owner_memory_bytes=None, pilots_cpu_seconds=float("nan"))
    (measurement,) = points_of(make_measures(world))["measurement"]
    unknown = {"pilots_cores", "owner_memory_bytes", "pilots_cpu_seconds"}
    assert not unknown & measurement.fields.keys()
    assert "pilots_memory_bytes" in measurement.fields
    (daemon,) = points_of(make_measures(None, last_tick=None))["daemon"]
    assert daemon.fields.keys() == {"status", "uptime", "config_faults"}
    ended = parse(line_of_ended(make_ended(wall_seconds=None, image="", outcome="expired")))
    assert not {"uptime", "image"} & ended.fields.keys()


def test_each_type_has_a_point_with_its_states_and_outcomes() -> None:
    grid, local = points_of(make_measures(make_world()))["pilots"]
    assert (grid.tags["type"], local.tags["type"]) == ("grid", "local")
    assert {str(state) for state in PilotState} <= grid.fields.keys()
    assert {f"ended_{outcome.replace('-', '_')}" for outcome in Outcome} <= grid.fields.keys()
    assert grid.fields["ended_no_work"] == 1.0


def test_two_pilots_of_a_microsecond_are_two_points_and_one_pilot_is_one() -> None:
    first, second = make_ended(), make_ended(container_id="fedcba987654")
    assert parse(line_of_ended(first)).at_ns // 1000 == first.at_us
    assert parse(line_of_ended(first)).at_ns != parse(line_of_ended(second)).at_ns
    assert line_of_ended(first) == line_of_ended(make_ended())
    assert parse(line_of_ended(make_ended(container_id="not hex"))).at_ns == first.at_us * 1000


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.floats())
def test_any_text_and_number_makes_one_line_that_can_be_read(
    name: str, outcome: str, text: str, number: float
) -> None:
    ended = make_ended(
        node=name, type=name, outcome=outcome, pilot=text, image=text, cpu_seconds=number
    )
    point = parse(line_of_ended(ended))
    plain = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    assert point.fields.get("image", "") == plain
    assert point.tags.get("type", "") == re.sub(r"[\x00-\x1f\x7f]", " ", name).replace("\\", "/")
    assert point.tags["started"] == str(bool(outcome))


# --- the dashboard -------------------------------------------------------------------------------


def written_names() -> dict[str, tuple[set[str], set[str]]]:
    """Return the tags and fields that are written, by series."""
    points = [point for each in points_of(make_measures(make_world())).values() for point in each]
    points.append(parse(line_of_ended(make_ended())))
    names: dict[str, tuple[set[str], set[str]]] = {}
    for point in points:
        tags, fields = names.setdefault(point.series, (set(), set()))
        tags.update(point.tags)
        fields.update(point.fields)
    return names


def queries() -> list[tuple[str, str]]:
    """Return each query of the dashboard with the title of its panel or variable."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [
        (panel["title"], target["query"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    variables = dashboard["templating"]["list"]
    asking = [each for each in variables if each["type"] == "query"]
    return found + [(each["name"], each["query"]) for each in asking]


@pytest.mark.parametrize(("title", "query"), queries())
def test_the_dashboard_asks_for_what_is_written(title: str, query: str) -> None:
    names = written_names()
    # A query over another's rows calls them by the names that it gave them.
    aliases = set(re.findall(r'AS "([^"]+)"', query))
    quoted = set(re.findall(r'"([^"]+)"', query)) - aliases
    series = set(re.findall(r'FROM "([^"]+)"', query))
    assert series
    assert series <= names.keys()
    known = set().union(*(names[each][0] | names[each][1] for each in series))
    asked = quoted - series
    assert asked
    assert asked <= known, title
    grouped = set(re.findall(r'"([^"]+)"', query.partition("GROUP BY")[2]))
    assert grouped <= set().union(*(names[each][0] for each in series))


def test_the_dashboard_shows_a_node_and_a_fleet() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "Node $hostname"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
