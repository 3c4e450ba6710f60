"""Labels to pilots and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton_tick import __version__
from plancton_tick.labels import UNKNOWN_CPUS, make_labels, read_pilots
from plancton_tick.model import (
    LABEL_CPUS,
    LABEL_EXPIRES_AT,
    LABEL_INSTANCE,
    LABEL_MEMORY,
    LABEL_SLOT,
    LABEL_SPAWNED_AT,
    LABEL_TYPE,
    Pilot,
    PilotState,
)
from tests.worlds import NOW, make_type


def container(labels: object, *, state: object = "running", **more: object) -> dict[str, object]:
    entry = {"Id": "f00d" * 16, "Names": ["/plancton-3"], "State": state, "Created": int(NOW)}
    return {**entry, "Labels": labels, **more}


def read_one(labels: dict[str, str], **more: object) -> Pilot:
    entry = {**container({LABEL_TYPE: "default", **labels}), **more}
    (pilot,) = read_pilots([entry], "plancton")
    return pilot


@given(
    slot=st.integers(0, 10_000),
    cpus=st.sampled_from((0.01, 0.1, 0.25, 1.0, 4.0, 128.0)),
    memory=st.integers(0, 10**13),
    lifetime=st.sampled_from((1.0, 60.0, 43200.0)),
    now=st.integers(0, 2**33),
)
def test_a_pilot_is_read_back_as_it_was_born(
    slot: int, cpus: float, memory: int, lifetime: float, now: int
) -> None:
    pilot_type = make_type("a.b-c_d", cpus=cpus, memory=memory, lifetime=lifetime)
    labels = make_labels(pilot_type, slot, float(now), "demo", "cafe")
    entry = {"Id": "f00", "Names": [f"/demo-{slot}"], "State": "running", "Labels": labels}
    assert read_pilots([entry], "demo") == (
        Pilot(
            id="f00",
            name=f"demo-{slot}",
            type="a.b-c_d",
            slot=slot,
            state=PilotState.RUNNING,
            spawned_at=float(now),
            expires_at=now + lifetime,
            cpus=cpus,
            memory_bytes=memory,
            config_hash="cafe",
            version=__version__,
        ),
    )


def test_a_lifetime_without_end_is_read_back_as_none() -> None:
    labels = make_labels(make_type(lifetime=float("inf")), 0, NOW, "plancton", "cafe")
    assert read_one(labels).expires_at is None


def test_the_users_labels_stand_beside_ours_and_never_in_their_place() -> None:
    pilot_type = make_type(labels=(("site", "cern"), (LABEL_SLOT, "99")))
    labels = make_labels(pilot_type, 3, NOW, "plancton", "cafe")
    assert labels["site"] == "cern"
    assert labels[LABEL_SLOT] == "3"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("created", PilotState.CREATED),
        ("initialized", PilotState.CREATED),
        ("configured", PilotState.CREATED),
        ("running", PilotState.RUNNING),
        ("Running", PilotState.RUNNING),
        ("restarting", PilotState.RUNNING),
        ("stopping", PilotState.RUNNING),
        ("paused", PilotState.PAUSED),
        ("exited", PilotState.EXITED),
        ("stopped", PilotState.EXITED),
        ("dead", PilotState.EXITED),
        ("removing", PilotState.REMOVING),
    ],
)
def test_states_of_docker_and_podman(said: str, state: PilotState) -> None:
    assert read_one({}, State=said).state is state


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, None, id="no label at all"),
        pytest.param({"io.plancton": ""}, None, id="another label of our domain"),
        pytest.param({LABEL_TYPE: "default"}, "plancton", id="the type alone is ours"),
        pytest.param({LABEL_TYPE: "", LABEL_INSTANCE: "demo"}, "demo", id="an empty type too"),
        pytest.param({LABEL_INSTANCE: "plancton"}, None, id="an instance without a type is not"),
        pytest.param(None, None, id="labels of null"),
    ],
)
def test_whose_a_container_is(labels: object, expected: str | None) -> None:
    for instance in ("plancton", "demo"):
        found = read_pilots([container(labels)], instance)
        assert len(found) == int(instance == expected)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, (None, NOW, None, UNKNOWN_CPUS, 0), id="started by hand"),
        pytest.param(
            {LABEL_SLOT: "-1", LABEL_CPUS: "-2", LABEL_MEMORY: "-5"},
            (None, NOW, None, UNKNOWN_CPUS, 0),
            id="negative numbers make no sense",
        ),
        pytest.param(
            {LABEL_SLOT: "²", LABEL_CPUS: "nan", LABEL_MEMORY: "inf", LABEL_SPAWNED_AT: "x"},
            (None, NOW, None, UNKNOWN_CPUS, 0),
            id="nor do these",
        ),
        pytest.param(
            {LABEL_CPUS: "0", LABEL_EXPIRES_AT: "12.5", LABEL_SPAWNED_AT: "0"},
            (None, 0.0, 12.5, 0.0, 0),
            id="a zero does",
        ),
    ],
)
def test_what_is_not_known_gets_a_careful_value(
    labels: dict[str, str], expected: tuple[object, ...]
) -> None:
    pilot = read_one(labels)
    assert (
        pilot.slot,
        pilot.spawned_at,
        pilot.expires_at,
        pilot.cpus,
        pilot.memory_bytes,
    ) == expected


def test_a_container_without_a_name_is_called_by_its_id() -> None:
    assert read_one({}, Names=[]).name == "f00df00df00d"
    assert read_one({}, Names=None).name == "f00df00df00d"


@pytest.mark.parametrize(
    "listing",
    [
        None,
        {},
        "[]",
        5,
        [None],
        [[]],
        [{}],
        [{"Id": 5}],
        [container({LABEL_TYPE: "default"}), {"message": "cut"}],
        [container({LABEL_TYPE: "default"}, state="frozen")],
        [container({LABEL_TYPE: "default"}, State=None)],
    ],
)
def test_half_a_listing_never_passes_for_a_whole_one(listing: object) -> None:
    with pytest.raises(ValueError, match=r"expected a|unknown state"):
        read_pilots(listing, "plancton")


def test_a_strangers_container_in_an_unknown_state_is_nobodys_business() -> None:
    assert read_pilots([container({}, state="frozen")], "plancton") == ()


LABEL_VALUES = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=2))
LABELS = LABEL_VALUES | st.dictionaries(
    st.sampled_from((LABEL_TYPE, LABEL_SLOT, LABEL_CPUS, LABEL_MEMORY)), LABEL_VALUES, max_size=4
)


@settings(max_examples=200)
@given(LABELS, LABEL_VALUES, LABEL_VALUES, LABEL_VALUES)
def test_nonsense_is_pilots_or_a_value_error(
    labels: object, names: object, state: object, created: object
) -> None:
    entry = {"Id": "f00", "Labels": labels, "Names": names, "Created": created}
    for known in ({"State": "running"}, {"State": state}):
        try:
            found = read_pilots([{**entry, **known}], "plancton")
        except ValueError:
            continue
        assert len(found) <= 1


def test_a_slot_of_ten_thousand_digits_is_no_slot() -> None:
    assert read_one({LABEL_SLOT: "9" * 10_000}).slot is None
