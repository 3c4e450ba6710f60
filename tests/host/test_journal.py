"""What ticks write into the journal, and that quiet ones write nothing."""

import re

from tests.host.conftest import PILOTS, configure
from tests.host.machine import Entry, Host

LINES = ("-u", "plancton*")


def start(host: Host) -> None:
    """Start the timer and wait until all pilots run and a tick has seen them."""
    host.run("systemctl start plancton.timer")
    host.wait_for("pilots", lambda: len(host.pilots("running")) == PILOTS)
    more_ticks(host, 2)


def more_ticks(host: Host, number: int, seconds: float = 60.0) -> None:
    """Wait until the timer has fired so many times more."""
    wanted = len(host.ticks()) + number
    host.wait_for(f"{number} ticks", lambda: len(host.ticks()) >= wanted, seconds=seconds)


def events(entries: list[Entry]) -> list[str]:
    """Return the events' names, and the text of lines that are no events."""
    return [entry.get("PLANCTON_EVENT") or str(entry["MESSAGE"]) for entry in entries]


def test_the_default_cadence_is_five_seconds_and_a_quiet_minute_writes_no_line(farm: Host) -> None:
    configure(farm, per_tick=1)
    farm.write("/etc/plancton/config.d/sample.yaml", "host: {sample: 1s}\n")
    before = len(farm.ticks())
    farm.run("systemctl start plancton.timer")
    farm.wait_for("pilots", lambda: len(farm.pilots("running")) == PILOTS, seconds=60)
    fired = farm.ticks()[before:]
    # One pilot a tick: they appeared at the cadence.
    assert PILOTS <= len(fired) <= PILOTS + 1
    more_ticks(farm, 1)
    since, first = farm.cursor(), len(farm.ticks())
    more_ticks(farm, 12, seconds=90)
    assert events(farm.journal(since, *LINES)) == []
    fired = farm.ticks()[first - 1 :]
    gaps = [after - before for before, after in zip(fired, fired[1:], strict=False)]
    assert sum(gaps) / len(gaps) < 6.0
    assert all(4.9 < gap < 7.0 for gap in gaps), gaps
    farm.run("rm /etc/plancton/config.d/sample.yaml")


def test_events_carry_their_fields(quick: Host) -> None:
    since = quick.cursor()
    start(quick)
    entries = quick.journal(since, *LINES, "PLANCTON_EVENT=spawned")
    assert len(entries) == PILOTS
    for entry in entries:
        assert re.fullmatch("[0-9a-f]{32}", entry["MESSAGE_ID"])
        assert re.fullmatch("[0-9a-f]{64}", entry["CONTAINER_ID_FULL"])
        assert entry["PLANCTON_TYPE"] == "idle"
        assert entry["PLANCTON_REASON"]
        assert entry["PRIORITY"] == "5"
        assert entry["_SYSTEMD_UNIT"] == "plancton.service"
    assert events(entries) == ["spawned"] * PILOTS


def test_a_pilots_output_can_be_read_after_it_has_gone(quick: Host) -> None:
    configure(quick, command=["sh", "-c", "echo hello from $PLANCTON_PILOT; sleep 2"], fizzle=0)
    since = quick.cursor()
    quick.run("systemctl start plancton.timer")
    ended = quick.wait_for(
        "a pilot's end", lambda: quick.journal(since, *LINES, "PLANCTON_EVENT=ended")
    )
    container = ended[0]["CONTAINER_ID_FULL"]
    quick.run("systemctl stop plancton.timer")
    said = quick.run(f"journalctl -o cat CONTAINER_ID_FULL={container} _COMM=dockerd")
    assert said.startswith("hello from host-idle-")
    assert "hello from" in quick.run("journalctl -o cat CONTAINER_NAME=plancton-0")


def test_an_engine_that_is_down_is_told_once_and_once_when_it_is_back(quick: Host) -> None:
    start(quick)
    since = quick.cursor()
    quick.run("systemctl stop docker.socket docker.service")
    more_ticks(quick, 5)
    down = quick.journal(since, *LINES)
    assert events(down) == ["engine-down"]
    assert down[0]["PRIORITY"] == "3"
    assert quick.show("plancton.service", "ExecMainStatus") in ("69", "0")
    assert quick.run("systemctl is-failed plancton.service", check=False) != "failed"
    quick.run("systemctl start docker.socket docker.service")
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == PILOTS, seconds=60)
    assert events(quick.journal(since, *LINES)).count("engine-back") == 1


def test_a_bad_configuration_is_told_once_and_once_when_it_is_mended(quick: Host) -> None:
    start(quick)
    since = quick.cursor()
    quick.write("/etc/plancton/config.d/bad.yaml", "host: {max_pilots: many, reserved: 1}\n")
    more_ticks(quick, 4)
    bad = quick.journal(since, *LINES)
    assert events(bad) == ["config-bad"] * 2
    assert all("/etc/plancton/config.d/bad.yaml:1" in entry["MESSAGE"] for entry in bad)
    assert len(quick.pilots("running")) == PILOTS
    quick.run("rm /etc/plancton/config.d/bad.yaml")
    more_ticks(quick, 3)
    assert events(quick.journal(since, *LINES)) == ["config-bad", "config-bad", "config-good"]


def test_a_tick_stopped_by_hand_leaves_no_failed_unit(quick: Host) -> None:
    start(quick)
    since = quick.cursor()
    quick.wait_for(
        "a tick at work",
        lambda: quick.show("plancton.service", "ActiveState") == "activating",
        step=0.05,
    )
    quick.run("systemctl stop plancton.service")
    assert quick.show("plancton.service", "Result") == "success"
    more_ticks(quick, 2)
    assert events(quick.journal(since, *LINES)) == []
