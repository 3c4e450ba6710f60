"""What pilots on a real engine find in their feature folders, and when it changes."""

import pytest

from plancton_tick.model import LABEL_EXPIRES_AT, Drain, Ledger, Outcome
from tests.engine.ticks import STUBBORN, Node, wait_until

SHUTDOWN = "cat /etc/plancton/jobfeatures/shutdowntime_job"


def pilot_of(node: Node) -> str:
    (container,) = node.containers()
    return str(container["Id"])


def read(node: Node, script: str) -> str:
    """Run a script in the one pilot and return what it prints."""
    body = {"AttachStdout": True, "AttachStderr": True, "Tty": True, "Cmd": ["sh", "-c", script]}
    made = node.rest.post(f"/containers/{pilot_of(node)}/exec", body)["Id"]
    text = node.rest.post(f"/exec/{made}/start", {"Tty": True})
    return str(text or "").replace("\r", "").strip()


def expiry(node: Node) -> float:
    (container,) = node.containers()
    return float(container["Labels"][LABEL_EXPIRES_AT])


def change_drain(node: Node, drain: Drain | None) -> None:
    snapshot = node.snapshot()
    node.write_ledger(snapshot.ledger._replace(drain=drain), snapshot.generation + 1)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_pilot_of_any_user_finds_them_when_it_starts(node: Node, read_only: bool) -> None:
    # It ends with what it finds: nobody helps it from outside.
    look = (
        '[ "$(cat "$JOBFEATURES/job_id")" = "$PLANCTON_PILOT" ] && '
        '[ "$(cat "$JOBFEATURES/shutdowntime_job")" = "$PLANCTON_EXPIRES_AT" ] && '
        '[ "$(cat "$MACHINEFEATURES/total_cpu")" -ge 1 ] && ! touch "$JOBFEATURES/mine" && exit 7'
    )
    node.configure(
        {"command": ["sh", "-c", look], "user": "1000:1000", "read_only": read_only},
        host={"max_pilots": 1},
    )
    node.tick()
    wait_until(lambda: set(node.states().values()) == {"exited"})
    assert "exit code 7" in node.tick().err


def test_a_read_only_pilot_writes_nowhere_and_leaves_no_volume(node: Node) -> None:
    def volumes() -> set[str]:
        return {each["Name"] for each in node.rest.get("/volumes")["Volumes"] or ()}

    node.configure({"read_only": True, "backoff": "1h"}, host={"max_pilots": 1})
    before = volumes()
    node.tick()
    assert "Read-only file system" in read(node, "touch /tmp /etc/mine")
    node.rest.post(f"/containers/{pilot_of(node)}/kill")
    wait_until(lambda: set(node.states().values()) == {"exited"})
    node.tick()
    assert {name for name in volumes() - before if not name.startswith(node.instance)} == set()


def test_a_drain_lowers_the_time_of_those_left_to_finish_and_a_resume_restores_it(
    node: Node,
) -> None:
    node.configure({"stop_grace": "40s"}, host={"max_pilots": 1})
    node.tick()
    at = expiry(node) - 1000
    change_drain(node, Drain("root", at, "kernel"))
    assert node.tick().has_done(1, r"announced to \S+ \(pilot\): drained by root: kernel")
    assert read(node, SHUTDOWN) == f"{at + 40:.0f}"
    assert node.tick().has_done(0, "")
    change_drain(node, None)
    assert node.tick().has_done(1, "announced to .*: no longer draining")
    assert read(node, SHUTDOWN) == f"{expiry(node):.0f}"
    assert node.snapshot().ledger.announced == {}


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_pilot_told_to_leave_knows_by_when(node: Node, is_paused: bool) -> None:
    node.configure(
        {"command": STUBBORN, "stop_grace": "10min", "lifetime": "12h"}, host={"max_pilots": 1}
    )
    node.tick()
    node.wait_until_up(pilot_of(node))
    if is_paused:
        node.pause(pilot_of(node))
    change_drain(node, Drain("root", expiry(node) - 1000, "kernel", ends_pilots=True))
    assert node.tick().has_done(1, f"terminating .*{Outcome.DRAINED}")
    ledger: Ledger = node.snapshot().ledger
    since = ledger.ending[pilot_of(node)].since
    assert read(node, SHUTDOWN) == f"{since + 600:.0f}"
