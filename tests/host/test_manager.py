"""planctonctl and systemd: the timer on and off, its state, drains that end it, the journal."""

import json
from typing import Any

from tests.host.conftest import PILOTS
from tests.host.machine import Host

RIGHTLESS = "setpriv --reuid=65534 --regid=65534 --clear-groups"


def status(host: Host) -> dict[str, Any]:
    """Return the document of status."""
    told: dict[str, Any] = json.loads(host.run("planctonctl status --json"))
    return told


def test_start_and_stop_hold_over_boots_and_can_be_said_twice(farm: Host) -> None:
    farm.run("planctonctl stop")
    assert "off already: nothing changed" in farm.run("planctonctl stop")
    assert farm.show("plancton.timer", "UnitFileState") == "disabled"
    assert "is on, now and at every boot" in farm.run("planctonctl start")
    assert "on already: nothing changed" in farm.run("planctonctl start")
    assert farm.show("plancton.timer", "ActiveState") == "active"
    assert farm.show("plancton.timer", "UnitFileState") == "enabled"
    farm.wait_for("pilots", lambda: farm.pilots("running"))
    assert "Pilots that run stay" in farm.run("planctonctl stop")
    assert farm.show("plancton.timer", "ActiveState") == "inactive"
    assert farm.pilots("running")


def test_status_tells_the_next_tick_and_how_the_last_one_ended(quick: Host) -> None:
    quick.run("systemctl start plancton.timer")
    quick.wait_for("a tick", lambda: status(quick)["timer"]["last_tick"])
    timer = quick.wait_for(
        "a next tick", lambda: (told := status(quick)["timer"])["next_at"] and told
    )
    assert (timer["manager"], timer["error"], timer["is_on"]) == ("system", None, True)
    quick.run("systemctl stop docker.socket docker", check=False)
    quick.wait_for(
        "a tick without an engine",
        lambda: "unavailable" in (json.loads(
            quick.run("planctonctl status --json", check=False)
        )["timer"]["last_tick"]["ended"] or ""),
    )  # fmt: skip
    quick.run("systemctl start docker")


def test_a_drain_with_stop_turns_the_timer_off_when_the_last_pilot_has_gone(quick: Host) -> None:
    quick.run("planctonctl start")
    # All of them: a tick that is still at work would start more.
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == PILOTS)
    assert "The timer stops when the last one has gone." in quick.run("planctonctl drain --stop")
    assert quick.show("plancton.timer", "ActiveState") == "active"
    quick.run("docker ps -q --filter label=io.plancton.type | xargs docker kill")
    quick.wait_for("the end", lambda: quick.show("plancton.timer", "ActiveState") == "inactive")
    # Wanted again, the timer stays, and the drain too until it is ended.
    said = quick.run("planctonctl start")
    assert "no pilot is started before planctonctl resume" in said
    assert quick.pilots() == []
    quick.run("planctonctl resume")
    quick.wait_for("pilots", lambda: quick.pilots("running"))
    assert quick.show("plancton.timer", "ActiveState") == "active"


def test_force_stop_leaves_the_work_to_the_ticks(quick: Host) -> None:
    quick.run("planctonctl start")
    quick.wait_for("pilots", lambda: quick.pilots("running"))
    since = quick.cursor()
    assert "No pilot is left." in quick.run("planctonctl force-stop", seconds=120)
    assert quick.pilots() == []
    ended = quick.journal(since, "-u", "plancton", "PLANCTON_EVENT=ended")
    assert ended
    assert {entry["_SYSTEMD_UNIT"] for entry in ended} == {"plancton.service"}


def test_the_journal_of_the_ticks_has_who_did_what(farm: Host) -> None:
    since = farm.cursor()
    farm.run("SUDO_USER=ann planctonctl drain --reason 'new kernel'")
    farm.run("SUDO_USER=bob planctonctl resume")
    # journalctl may leave out the first entry after a cursor whose own entry does not match.
    *_, entry = farm.journal(since, "-u", "plancton", "PLANCTON_EVENT=operator")
    assert entry["MESSAGE"].startswith("resume by bob: The drain by ann: new kernel has ended.")
    assert entry["PLANCTON_OPERATOR"] == "bob"


def test_who_has_no_rights_may_look_and_is_told_what_to_do(farm: Host) -> None:
    farm.run("planctonctl stop")
    said = farm.run(f"{RIGHTLESS} planctonctl start 2>&1 || echo code $?")
    assert "permission denied" in said
    assert said.endswith("only root may: run it with sudo\ncode 75")
    said = farm.run(f"{RIGHTLESS} planctonctl drain 2>&1 || echo code $?")
    assert "join group docker" in said
    assert said.endswith("code 69")
