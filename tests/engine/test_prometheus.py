"""What a real Prometheus makes of it, by way of a real node_exporter, while ticks are killed."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick.model import Drain, Ledger
from tests.engine.faults import Answer, Refuse, Request, on
from tests.engine.prometheus import Prometheus
from tests.engine.proxy import FaultProxy
from tests.engine.ticks import Events, Node, finish, wait_until

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-plancton-prometheus.json"
# Where a tick is killed that counts pilots, removes them and spawns others: as the first such
# request arrives (True), or as the one after it does.
KILLED_AT = (
    ("POST", r"/volumes/create$", False),
    ("DELETE", r"/containers/", True),
    ("DELETE", r"/containers/", False),
    ("POST", r"/containers/create$", False),
    ("POST", r"/start$", False),
)
# Time enough for what was created and not started to be a leftover.
STALE_LATER = 61.0


class Killer:
    """Kills a tick at a request; a match for the proxy, true of all that comes after its death."""

    def __init__(self, method: str, pattern: str, *, is_before: bool) -> None:
        self._matches = on(method, pattern)
        self._is_armed = is_before
        self._has_seen = False
        self._lock = threading.Lock()
        self._has_started = threading.Event()
        self.is_done = False

    def __call__(self, request: Request) -> bool:
        with self._lock:
            if not self.is_done and (self._matches(request) if self._is_armed else self._has_seen):
                self._has_started.wait()
                self._tick.kill()
                self._tick.wait()
                self.is_done = True
            self._has_seen = self._has_seen or self._matches(request)
            return self.is_done

    def run(self, node: Node, proxy: FaultProxy) -> None:
        """Run a tick that dies there."""
        proxy.rule(self, Refuse())
        self._tick = node.start(url=proxy.url)
        self._has_started.set()
        assert finish(self._tick).code == -9, "the tick ended before it was killed"
        # What it had asked of the engine before is done all the same.
        proxy.wait_until_idle()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that the figures are written to."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    return folder


@pytest.fixture
def prometheus(tmp_path: Path, folder: Path) -> Iterator[Prometheus]:
    """Return a Prometheus whose exporter finds the file by a link, as docs/metrics.md has it."""
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    (textfiles / "plancton.prom").symlink_to(folder / "plancton.prom")
    (folder / "plancton.prom").write_text("")
    directory = tmp_path / "prometheus"
    directory.mkdir()
    with Prometheus(directory, textfiles) as running:
        yield running


def export(node: Node, folder: Path, *, code: int = 0, url: str | None = None) -> str:
    """Run plancton-metrics as its service would."""
    document = json.loads(node.config.read_text())
    document["metrics"] = {"textfile": str(folder)}
    config = node.directory / "metrics.yaml"
    config.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-I", "-m", "plancton_tick.metrics", "--config", str(config)],
        env={**os.environ, "DOCKER_HOST": url or node.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done
    return done.stderr


def by_label(found: dict[frozenset[tuple[str, str]], float], label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in found.items()}


def wait_for_all_to_end(node: Node) -> None:
    wait_until(lambda: "running" not in node.states().values())


def refill(node: Node) -> None:
    """Run ticks in peace until there are three pilots that have ended and are not counted."""

    def is_full() -> bool:
        ids = {each["Id"] for each in node.containers()} - node.snapshot().ledger.counted.keys()
        return len(ids) == 3 and set(node.states().values()) == {"exited"}

    while not is_full():
        assert node.tick(later=STALE_LATER).code == 0
        wait_for_all_to_end(node)


def test_counters_in_prometheus_are_the_truth_whenever_a_tick_is_killed(
    node: Node, engine_socket: Path, tmp_path: Path, folder: Path, prometheus: Prometheus
) -> None:
    codes = {"good": 0, "dry": 75, "bad": 1}
    types = [
        {"name": name, "command": ["sh", "-c", f"exit {code}"], "backoff": "1ms", "backoff_max": 1}
        for name, code in codes.items()
    ]
    with Events(node.rest, node.instance) as events, FaultProxy(engine_socket, tmp_path) as proxy:

        def truth() -> Counter[str]:
            """Count how often the engine has started a pilot, by type."""
            names = dict(born)
            for each in node.containers():
                names[each["Id"]] = each["Labels"]["io.plancton.type"]
            born.update(names)
            return Counter(
                born[each.container_id] for each in events.so_far() if each.action == "start"
            )

        def check(*, is_settled: bool) -> None:
            export(node, folder)
            prometheus.wait_for(folder / "plancton.prom")
            started = by_label(prometheus.query("plancton_pilots_started_total"), "type")
            assert started == dict.fromkeys(codes, 0) | truth()
            ended = prometheus.query("sum by (type) (plancton_pilots_ended_total)")
            counts = {name: sum(of.values()) for name, of in node.counts().items()}
            assert by_label(ended, "type") == dict.fromkeys(codes, 0) | counts
            if is_settled:
                assert counts == truth()

        born: dict[str, str] = {}
        node.configure(*types, host={"max_pilots": 3})
        for method, pattern, is_before in KILLED_AT:
            refill(node)
            truth()
            proxy.reset()
            Killer(method, pattern, is_before=is_before).run(node, proxy)
            proxy.reset()
            check(is_settled=False)
        # No more pilots: all that have started are counted in the end.
        node.configure(*types, host={"max_pilots": 3}, spawn={"per_tick": 0})
        for _ in range(2):
            wait_for_all_to_end(node)
            assert node.tick(later=STALE_LATER).code == 0
        assert node.states() == {}
        check(is_settled=True)
        outcomes = by_label(
            prometheus.query("sum by (outcome) (plancton_pilots_ended_total)"), "outcome"
        )
        assert {how for how, number in outcomes.items() if number} == {"done", "no-work", "failed"}
        # To Prometheus a counter that falls has been reset.
        for name in ("plancton_pilots_started_total", "plancton_pilots_ended_total"):
            assert prometheus.value(f"sum(resets({name}[10m]))") == 0
        assert sum(truth().values()) > 2 * len(KILLED_AT)
        node.clean()


def test_the_pilots_that_are_there_and_what_keeps_others_away_are_gauges(
    node: Node, folder: Path, prometheus: Prometheus
) -> None:
    node.configure(host={"max_pilots": 2})
    node.tick()
    node.pause(node.live()[0])
    snapshot = node.snapshot()
    drained = snapshot.ledger._replace(drain=Drain("root", 1.0, "kernel"))
    node.write_ledger(drained, snapshot.generation + 1)
    export(node, folder)
    prometheus.wait_for(folder / "plancton.prom")
    states = by_label(prometheus.query('plancton_pilots{type="pilot"} > 0'), "state")
    assert states == {"running": 1, "paused": 1}
    assert prometheus.value("plancton_draining") == 1
    assert {"draining", "cap"} <= set(by_label(prometheus.query("plancton_veto"), "veto"))
    assert prometheus.value("plancton_cpus") == len(os.sched_getaffinity(0))
    used = prometheus.value("plancton_pilots_cpu_seconds_total")
    assert used is not None
    assert 0 < used < 60
    check_dashboard(prometheus)


def check_dashboard(prometheus: Prometheus) -> None:
    """Ask every query of the dashboard; each is one that Prometheus understands."""
    (instance,) = by_label(prometheus.query("plancton_build_info"), "instance")
    empty = []
    for query in queries():
        text = query.replace("$instance", instance).replace("$__rate_interval", "10m")
        if not prometheus.query(text):
            empty.append(query)
    # Nobody fires ticks here, none has failed or waits, and a rate needs two points.
    assert not [
        text for text in empty if not re.search(r"last_tick|rate\(|increase\(|backoff", text)
    ]


def queries() -> list[str]:
    """Return all queries of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_an_engine_that_is_down_is_a_figure_and_a_quiet_one(
    node: Node, folder: Path, tmp_path: Path, prometheus: Prometheus
) -> None:
    said = export(node, folder, code=69, url=f"unix://{tmp_path}/absent.sock")
    prometheus.wait_for(folder / "plancton.prom")
    assert prometheus.value("plancton_engine_up") == 0
    assert prometheus.query("plancton_pilots") == {}
    assert said == ""


def test_a_pause_that_the_engine_refused_is_not_counted(
    node: Node, engine_socket: Path, tmp_path: Path
) -> None:
    node.configure(host=node.room_for(1, max_pilots=2), spawn={"per_tick": 0})
    node.make(0, age=20.0)
    node.make(1, age=10.0)
    node.write_ledger(Ledger(pauses={"pilot": 4}))
    with FaultProxy(engine_socket, tmp_path) as proxy:
        proxy.rule(on("POST", r"/pause$"), Answer(500, {"message": "no"}), times=1)
        assert node.tick(url=proxy.url).code == 75
        assert node.snapshot().ledger.pauses == {"pilot": 4}
        assert node.tick(url=proxy.url).code == 0
        assert node.snapshot().ledger.pauses == {"pilot": 5}
