"""The journal fields of the events about pilots."""

import pytest

from plancton_tick.container import make_body
from plancton_tick.doing import Done, Verdict
from plancton_tick.model import (
    Action,
    Announce,
    Outcome,
    Pause,
    PilotExit,
    Reap,
    Resume,
    SlotUsage,
    Spawn,
    Terminate,
)
from plancton_tick.report import describe
from tests.worlds import GIB, NOW, make_observation, make_pilot, make_type

OF_ALL = {
    "PLANCTON_PILOT",
    "PLANCTON_TYPE",
    "PLANCTON_REASON",
    "CONTAINER_ID",
    "CONTAINER_NAME",
    "CONTAINER_ID_FULL",
}
PILOT = make_pilot(3, id="ab" * 32, now=NOW, age=0.0)


def fields_of(
    action: Action, *, container_id: str = "", name: str = "", digest: str = ""
) -> dict[str, str]:
    done = Done(action, Verdict.DONE, container_id, name=name, digest=digest)
    event = describe(done, make_observation())
    assert event is not None
    return dict(event.fields)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Reap(PILOT, None, "why"), id="removed"),
        pytest.param(Reap(PILOT, Outcome.DONE, "why"), id="ended"),
        pytest.param(Terminate(PILOT, Outcome.RECLAIMED, "why"), id="terminated"),
        pytest.param(Pause(PILOT, "why"), id="paused"),
        pytest.param(Resume(PILOT, "why"), id="resumed"),
        pytest.param(Announce(PILOT, NOW, "why"), id="announced"),
    ],
)
def test_every_event_about_a_pilot_names_it_and_its_container(action: Action) -> None:
    fields = fields_of(action)
    assert fields.keys() >= OF_ALL
    assert fields["CONTAINER_ID"] == "ab" * 6
    assert fields["CONTAINER_NAME"] == "plancton-3"
    assert fields["PLANCTON_REASON"] == "why"


def test_a_pilot_has_one_name_from_birth_to_end_and_batch_systems_know_it() -> None:
    pilot_type = make_type()
    seen = make_observation()
    body = make_body(
        pilot_type,
        slot=3,
        now=seen.taken_at,
        node=seen.node,
        instance="plancton",
        cgroup_driver="systemd",
        has_journald=True,
    )
    born = fields_of(Spawn(pilot_type, 3, "room"), container_id="ab" * 32, name="plancton-3")
    assert born.keys() >= OF_ALL
    ended = fields_of(Reap(PILOT, Outcome.DONE, "why"))
    assert body["Hostname"] == born["PLANCTON_PILOT"] == ended["PLANCTON_PILOT"]


def test_a_finished_pilot_has_its_accounting() -> None:
    used = SlotUsage(cpu_seconds=58.1234, peak_bytes=GIB)
    pilot = PILOT._replace(exit=PilotExit(137, 60.5, True, "", used), image="busybox")
    fields = fields_of(Reap(pilot, Outcome.FAILED, "why"), digest="sha256:12")
    accounting = {key: fields[key] for key in fields.keys() - OF_ALL}
    assert accounting == {
        "PLANCTON_SLOT": "3",
        "PLANCTON_OUTCOME": "failed",
        "EXIT_STATUS": "137",
        "PLANCTON_OOM": "1",
        "PLANCTON_WALL_SECONDS": "60.500",
        "PLANCTON_CPU_SECONDS": "58.123",
        "PLANCTON_MEMORY_PEAK_BYTES": str(GIB),
        "PLANCTON_IMAGE": "busybox",
        "PLANCTON_IMAGE_DIGEST": "sha256:12",
    }


def test_what_is_not_known_has_no_field() -> None:
    pilot = PILOT._replace(exit=PilotExit(0, None, False, ""))
    fields = fields_of(Reap(pilot, Outcome.DONE, "why"))
    assert not any(key.endswith(("SECONDS", "BYTES", "DIGEST")) for key in fields)
