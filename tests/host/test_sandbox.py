"""The sandbox of the tick's service, from inside: what a tick needs works, the rest does not."""

import json
from typing import Any

import pytest

from tests.host.install import ROOT
from tests.host.machine import HERE, Host
from tests.host.probe import MUST_FAIL, MUST_WORK

UNIT = "plancton-probe.service"


@pytest.fixture(scope="module")
def probed(host: Host) -> Any:
    """Run the probe in a service that is plancton.service in all but what it runs."""
    host.remove_all()
    host.run("systemctl start plancton.slice docker")
    host.write("/run/probe.py", (HERE / "probe.py").read_text())
    # A program of root's with the setuid bit, that tells whom it makes one.
    host.run("cp /usr/bin/id /run/setuid-id; chmod 4755 /run/setuid-id; mount -o remount,suid /run")
    unit = (ROOT / "units" / "plancton.service").read_text()
    probe = (
        "ExecStart=/usr/bin/python3 -I /run/probe.py\n"
        "StandardOutput=file:/run/probed.json\nStandardError=journal"
    )
    assert unit.count("ExecStart=/usr/bin/plancton-tick\n") == 1
    host.write(
        f"/run/systemd/system/{UNIT}",
        unit.replace("ExecStart=/usr/bin/plancton-tick", probe),
    )
    since = host.cursor()
    host.run(f"rm -f /run/probed.json; systemctl daemon-reload; systemctl start {UNIT}")
    result = json.loads(host.run("cat /run/probed.json"))
    result["entries"] = host.journal(since, "-u", UNIT)
    yield result
    host.run("rm -rf /run/plancton/probe.json /run/plancton/pull/* /run/setuid-id")


@pytest.mark.parametrize("what", list(MUST_WORK))
def test_what_a_tick_needs_works(probed: Any, what: str) -> None:
    assert probed["works"][what] == "ok"


@pytest.mark.parametrize("what", list(MUST_FAIL))
def test_what_a_tick_has_no_use_for_does_not(probed: Any, what: str) -> None:
    assert probed["fails"][what] in ("EPERM", "EACCES", "EAFNOSUPPORT")


def test_no_privilege_is_had_or_can_be_gained(probed: Any) -> None:
    status = probed["status"]
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapBnd"], 16) == int(status["CapPrm"], 16) == 0
    assert status["Seccomp"] == "2"
    # The program that makes its user root did not.
    assert probed["setuid"] == probed["uid"] != "0"


def test_the_service_shares_the_managers_mounts(probed: Any, host: Host) -> None:
    assert probed["mounts"] == host.run("readlink /proc/1/ns/mnt")


def test_an_event_arrives_with_its_fields(probed: Any) -> None:
    assert [entry["MESSAGE"] for entry in probed["entries"]] == ["probed"]
    (event,) = probed["entries"]
    assert event["PLANCTON_REASON"] == "probe"
    assert event["_SYSTEMD_UNIT"] == UNIT
