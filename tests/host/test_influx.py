"""Figures and finished pilots reach an InfluxDB from the service's sandbox."""

import io
import json
import shutil
import tarfile
from typing import Any
from urllib.parse import quote

import pytest

from tests.host.conftest import PILOTS
from tests.host.machine import Host

UNIT = "plancton-metrics.service"
NOTES = "/var/lib/plancton/influxdb.json"
DATABASE = "http://127.0.0.1:8086#plancton"
CONFIG = """\
reporting-disabled = true
[meta]
  dir = "/var/lib/influxdb-test/meta"
[data]
  dir = "/var/lib/influxdb-test/data"
  wal-dir = "/var/lib/influxdb-test/wal"
[http]
  bind-address = "127.0.0.1:8086"
  log-enabled = false
"""
START = """\
systemd-run --quiet --unit=influxd-test influxd -config /var/lib/influxdb-test/influxdb.conf
until python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:8086/ping")' 2>/dev/null
do sleep 0.2; done
"""


@pytest.fixture
def measured(quick: Host) -> Host:
    """Return the host with a database, and pilots that run."""
    influxd = shutil.which("influxd")
    if influxd is None:
        pytest.fail("no influxd here: apt-get install influxdb", pytrace=False)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(influxd, "influxd")
    quick.put("/usr/local/bin", packed.getvalue())
    quick.run(f"rm -rf /var/lib/influxdb-test {NOTES}; journalctl --sync")
    quick.write("/var/lib/influxdb-test/influxdb.conf", CONFIG)
    quick.run(START)
    quick.run("mkdir -p /etc/plancton/config.d")
    quick.write("/etc/plancton/config.d/metrics.yaml", f"metrics: {{influxdb: {DATABASE}}}\n")
    quick.run("systemctl start plancton.timer")
    all_run(quick)
    return quick


@pytest.fixture
def database(measured: Host) -> Any:
    """End the database when the test has."""
    yield
    measured.run("systemctl stop influxd-test.service", check=False)
    measured.run(f"rm -rf /usr/local/bin/influxd /var/lib/influxdb-test {NOTES}")


def all_run(host: Host) -> None:
    host.wait_for("pilots", lambda: len(host.pilots("running")) == PILOTS)


def rows(host: Host, statement: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:8086/query?db=plancton&q={quote(statement)}"
    code = f'import urllib.request as r; print(r.urlopen("{url}").read().decode())'
    (result,) = json.loads(host.run(f"python3 -c '{code}'"))["results"]
    return [
        dict(zip(series["columns"], values, strict=True))
        for series in result.get("series", ())
        for values in series["values"]
    ]


def ended(host: Host) -> list[str]:
    """Return the containers of pilots whose end the journal tells, sorted."""
    entries = host.journal("@0", "PLANCTON_EVENT=ended")
    return sorted(entry["PLANCTON_PILOT"] for entry in entries)


def end_two(host: Host) -> None:
    """End two pilots, and wait until ticks have told of it and put others in their place."""
    before = len(ended(host))
    host.run(f"docker kill {' '.join(host.pilots('running')[:2])}")
    host.wait_for("their end", lambda: len(ended(host)) == before + 2)
    all_run(host)


@pytest.mark.usefixtures("database")
def test_the_service_sends_what_the_timer_the_host_and_the_journal_tell(measured: Host) -> None:
    end_two(measured)
    measured.run(f"systemctl start {UNIT}")
    (daemon,) = rows(measured, "SELECT * FROM daemon")
    assert (daemon["hostname"], daemon["containers"], daemon["status"]) == ("host", 4, "active")
    # It was on before its pilots were there.
    assert 0 < daemon["uptime"] < 600
    assert daemon["tick_exit"] == 0
    (measurement,) = rows(measured, 'SELECT * FROM "measurement"')
    assert measurement["ncpus"] > 0
    measured.run(f"systemctl stop plancton.timer; systemctl start {UNIT}")
    last = rows(measured, "SELECT * FROM daemon")[-1]
    assert (last["status"], last["uptime"]) == ("stopped", None)
    found = rows(measured, "SELECT * FROM container")
    assert sorted(row["pilot"] for row in found) == ended(measured)
    assert all(row["uptime"] > 0 for row in found if row["outcome"])
    assert measured.run(f"stat -c '%U %a' {NOTES}") == "plancton 600"


@pytest.mark.usefixtures("database")
def test_what_a_database_missed_it_gets_once_and_the_journal_tells_when(measured: Host) -> None:
    measured.run(f"systemctl start {UNIT}")
    since = measured.cursor()
    measured.run("systemctl stop influxd-test.service")
    for _ in range(2):
        end_two(measured)
        measured.run(f"systemctl start {UNIT}")
    measured.run(START)
    for _ in range(2):
        measured.run(f"systemctl start {UNIT}")
    found = rows(measured, "SELECT * FROM container")
    assert sorted(row["pilot"] for row in found) == ended(measured)
    said = [
        entry["PLANCTON_EVENT"]
        for entry in measured.journal(since, "-u", UNIT)
        if entry.get("PLANCTON_EVENT", "sample") != "sample"
    ]
    assert said == ["database-down", "database-back"]
