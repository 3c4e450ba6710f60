"""The export of figures as its units run it: in its sandbox, with the host's own Python."""

import json
import re
import time

import pytest

from tests.host.conftest import PILOTS
from tests.host.machine import Host

UNIT = "plancton-metrics.service"
FOLDER = "/var/lib/plancton/metrics"
FILE = f"{FOLDER}/plancton.prom"


@pytest.fixture
def exporting(quick: Host) -> Host:
    """Return the host with pilots that run, and figures wanted in a file."""
    quick.run("mkdir -p /etc/plancton/config.d")
    quick.write("/etc/plancton/config.d/metrics.yaml", f"metrics: {{textfile: {FOLDER}}}\n")
    quick.run("systemctl start plancton.timer")
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == PILOTS)
    return quick


def figures(host: Host) -> dict[str, float]:
    """Read the file as node_exporter would: as somebody else."""
    lines = host.run(f"runuser -u nobody -- cat {FILE}").splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_the_file_holds_what_host_engine_and_systemd_tell(exporting: Host) -> None:
    exporting.run(f"systemctl start {UNIT}")
    found = figures(exporting)
    assert found['plancton_pilots{state="running",type="idle"}'] == PILOTS
    assert found['plancton_veto{type="",veto="cap"}'] == 1
    assert found["plancton_last_tick_exit_code"] == 0
    assert 0 < time.time() - found["plancton_last_tick_timestamp_seconds"] < 60
    assert 0 < found["plancton_last_tick_duration_seconds"] < 60
    assert found["plancton_pilots_memory_bytes"] > 0
    assert found["plancton_pilots_cpu_seconds_total"] > 0


def test_a_run_leaves_one_sample_which_history_and_simulate_read(exporting: Host) -> None:
    since = exporting.cursor()
    for _ in range(3):
        exporting.run(f"systemctl start {UNIT}; sleep 1")
    exporting.run("journalctl --sync")
    entries = exporting.journal(since, "-u", UNIT)
    samples = [entry for entry in entries if entry.get("PLANCTON_EVENT") == "sample"]
    assert len(samples) == 3
    assert {entry["PRIORITY"] for entry in samples} == {"7"}
    assert {entry["PLANCTON_PILOTS_RUNNING"] for entry in samples} == {str(PILOTS)}
    # What else there is the manager has said of each run.
    others = [str(entry["MESSAGE"]) for entry in entries if entry not in samples]
    told = r"Starting|Finished|plancton-metrics\S+: "
    assert [text for text in others if not re.match(told, text)] == []
    assert len(others) <= 4 * len(samples)
    document = json.loads(exporting.run("planctonctl history --since=-5min --json"))
    assert document["samples"] >= 3
    assert sum(of_type["spawned"] for of_type in document["types"]) >= PILOTS
    exporting.run("planctonctl simulate journal --since=-5min --json --cpus 2 --memory 4G")


def test_the_timer_is_enabled_on_its_own_and_runs_without_the_ticks(exporting: Host) -> None:
    exporting.run("systemctl stop plancton.timer plancton.service")
    exporting.drop_in(
        "plancton-metrics.timer",
        "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=1s\nOnBootSec=1s\nAccuracySec=100ms\n",
    )
    try:
        since = exporting.cursor()
        exporting.run("systemctl start plancton-metrics.timer")
        exporting.wait_for(
            "samples", lambda: len(exporting.journal(since, "PLANCTON_EVENT=sample")) >= 2
        )
        assert exporting.show("plancton.timer", "ActiveState") == "inactive"
    finally:
        exporting.run("systemctl stop plancton-metrics.timer")
        exporting.drop_in("plancton-metrics.timer", None)


def test_an_engine_that_is_down_fails_no_unit(exporting: Host) -> None:
    exporting.run("systemctl stop plancton.timer plancton.service docker.socket docker.service")
    try:
        # Without its timer the manager would forget the service as soon as it has ended.
        exporting.run("systemctl start plancton-metrics.timer")
        exporting.wait_for("a run", lambda: exporting.show(UNIT, "ExecMainStatus") == "69")
        assert figures(exporting)["plancton_engine_up"] == 0
        assert exporting.show(UNIT, "Result") == "success"
    finally:
        exporting.run("systemctl stop plancton-metrics.timer; systemctl start docker.service")
