"""The dashboard for Grafana asks for what is exported, and for all of it."""

import json
import re
from pathlib import Path

from plancton_tick.measures import LastTick, Measures
from plancton_tick.model import Backoff, Ledger
from plancton_tick.textfile import to_text
from tests.unit.test_measures import measures_of
from tests.worlds import GIB, NOW, make_host, make_observation, make_pilot

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "docs" / "grafana-plancton-prometheus.json").read_text())


def exported() -> set[str]:
    """Return the names of all metrics there can be."""
    ledger = Ledger(backoffs={"default": Backoff(NOW + 40, 60, "no-work")})
    host = make_host(pilots_cores=1.0, pilots_memory=GIB)
    measures: Measures = measures_of(make_observation(make_pilot(), host=host, ledger=ledger))
    text = to_text(measures._replace(last_tick=LastTick(NOW, 1.0, 0))).decode()
    return set(re.findall(r"^(plancton_\w+)", text, re.MULTILINE))


def asked() -> set[str]:
    panels = DASHBOARD["panels"]
    texts = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    texts += [each.get("definition", "") for each in DASHBOARD["templating"]["list"]]
    return {name for text in texts for name in re.findall(r"\bplancton_\w+", text)}


def test_every_query_names_a_metric_that_is_exported_and_every_metric_is_shown() -> None:
    assert asked() == exported()


def test_every_metric_is_explained() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(plancton_\w+)", text, re.MULTILINE)) == exported()


def test_there_are_rows_for_the_fleet_and_for_a_node() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "Node $instance"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_no_panel_lies_on_another() -> None:
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
