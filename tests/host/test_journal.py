"""What ticks write into the journal, and that quiet ones write nothing."""

import re

from tests.host.conftest import PILOTS, configure
from tests.host.machine import Entry, Host

LINES = ("-u", "plancton*")
# With those in which the pilots appear, a minute at the default cadence.
QUIET_TICKS = 7
LATE_ENTRIES = 5
# Each time the tick has begun to tell something while the journal is stopped, and has ended, if it
# does not wait, when the journal goes on.
TELL_A_STOPPED_JOURNAL = """\
journal=$(systemctl show -P MainPID systemd-journald)
rm -f /run/plancton/lasting.json
kill -STOP "$journal"
systemctl start --no-block plancton.service
until [ -e /run/plancton/lasting.json ]; do sleep 0.01; done
sleep 0.2
kill -CONT "$journal"
until [ "$(systemctl show -P ActiveState plancton.service)" = inactive ]; do sleep 0.05; done
"""


def start(host: Host) -> None:
    """Start the timer and wait until all pilots run and a tick has seen them."""
    host.run("systemctl start plancton.timer")
    host.wait_for("pilots", lambda: len(host.pilots("running")) == PILOTS)
    more_ticks(host, 2)


def more_ticks(host: Host, number: int) -> None:
    """Wait until the timer has fired so many times more."""
    wanted = len(host.ticks()) + number
    host.wait_for(f"{number} ticks", lambda: len(host.ticks()) >= wanted)


def events(entries: list[Entry]) -> list[str]:
    """Return the events' names, and the text of lines that are no events."""
    return [entry.get("PLANCTON_EVENT") or str(entry["MESSAGE"]) for entry in entries]


def test_pilots_appear_at_the_default_cadence_and_quiet_ticks_write_no_line(farm: Host) -> None:
    configure(farm, per_tick=1)
    farm.write("/etc/plancton/config.d/sample.yaml", "host: {sample: 1s}\n")
    before = len(farm.ticks())
    farm.run("systemctl start plancton.timer")
    farm.wait_for("pilots", lambda: len(farm.pilots("running")) == PILOTS)
    # One pilot a tick: they appeared at the cadence.
    assert PILOTS <= len(farm.ticks()) - before <= PILOTS + 1
    more_ticks(farm, 1)
    since = farm.cursor()
    more_ticks(farm, QUIET_TICKS)
    assert events(farm.journal(since, *LINES)) == []
    fired = farm.ticks()[before:]
    gaps = [after - before for before, after in zip(fired, fired[1:], strict=False)]
    # A second of looking, the pause, and the work of a tick: on a busy machine that takes longer.
    assert min(gaps) > 4.9, gaps
    assert sorted(gaps)[len(gaps) // 2] < 1.5 * min(gaps), gaps


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


def test_an_event_has_its_unit_however_late_the_journal_reads_it(farm: Host) -> None:
    farm.write("/etc/plancton/config.d/bad.yaml", "host: {max_pilots: many}\n")
    since = farm.cursor()
    for _ in range(LATE_ENTRIES):
        farm.run(TELL_A_STOPPED_JOURNAL)
    told = farm.journal(since, "PLANCTON_EVENT=config-bad")
    assert [entry.get("_SYSTEMD_UNIT") for entry in told] == ["plancton.service"] * LATE_ENTRIES
    # What makes it so is not to be seen.
    assert events(farm.journal(since, *LINES)) == ["config-bad"] * LATE_ENTRIES


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
    more_ticks(quick, 3)
    down = quick.journal(since, *LINES)
    assert events(down) == ["engine-down"]
    assert down[0]["PRIORITY"] == "3"
    assert quick.show("plancton.service", "ExecMainStatus") in ("69", "0")
    assert quick.run("systemctl is-failed plancton.service", check=False) != "failed"
    quick.run("systemctl start docker.socket docker.service")
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == PILOTS)
    assert events(quick.journal(since, *LINES)).count("engine-back") == 1


def test_a_bad_configuration_is_told_once_and_once_when_it_is_mended(quick: Host) -> None:
    start(quick)
    since = quick.cursor()
    quick.write("/etc/plancton/config.d/bad.yaml", "host: {max_pilots: many, reserved: 1}\n")
    more_ticks(quick, 3)
    bad = quick.journal(since, *LINES)
    assert events(bad) == ["config-bad"] * 2
    assert all("/etc/plancton/config.d/bad.yaml:1" in entry["MESSAGE"] for entry in bad)
    assert len(quick.pilots("running")) == PILOTS
    quick.run("rm /etc/plancton/config.d/bad.yaml")
    more_ticks(quick, 2)
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
