"""The units for an ordinary user, in the user's own manager, with a rootless engine."""

import json
from collections.abc import Iterator

import pytest

from tests.host.conftest import PILOTS, QUICK, configure
from tests.host.machine import PILOT_IMAGE, Host
from tests.host.registry import IMAGE, fill_registry, start_registry, stop_registry
from tests.host.rootless import HOME, User
from tests.host.rootless import QUICK as QUICK_PATH


@pytest.fixture(scope="module")
def person(host: Host) -> Iterator[User]:
    """Return a user with a manager and an engine that work."""
    host.remove_all()
    user = User(host)
    try:
        user.start()
        yield user
    finally:
        user.remove()


@pytest.fixture
def user(person: User) -> Iterator[User]:
    """Return the user, with a configuration and quick ticks, and the timer stopped."""
    configure_user(person)
    person.write(QUICK_PATH, QUICK)
    person.manage("daemon-reload")
    yield person
    person.remove_all()


def configure_user(user: User, image: str = PILOT_IMAGE) -> None:
    """Write the configuration of the tests where the user's units look for it."""
    configure(user.host, image=image)
    user.write(
        f"{HOME}/.config/plancton/config.yaml", user.host.run("cat /etc/plancton/config.yaml")
    )


def test_the_engine_is_rootless_in_truth(user: User) -> None:
    assert "name=rootless" in user.run("docker info --format '{{.SecurityOptions}}'")
    assert user.host.run("pgrep -u root -f dockerd-rootless || true") == ""


def test_the_users_ticks_fill_the_users_engine_and_leave_the_systems_alone(user: User) -> None:
    since = user.host.cursor()
    user.manage("enable --now plancton.timer")
    user.host.wait_for("pilots", lambda: len(user.pilots()) == PILOTS)
    active = user.manage("is-active plancton.slice plancton-pull.path plancton-stop.path")
    assert active.split() == ["active"] * 3
    told = user.host.journal(since, "_SYSTEMD_USER_UNIT=plancton.service", "PLANCTON_EVENT=spawned")
    assert [entry["_UID"] for entry in told] == [user.uid] * PILOTS
    user.host.run(f"test -e {user.runtime}/plancton/config.json")
    assert user.host.pilots() == []
    assert user.host.run("systemctl is-active plancton.timer", check=False) == "inactive"


def test_a_drain_with_stop_turns_the_users_timer_off(user: User) -> None:
    user.run("planctonctl --user start")
    user.host.wait_for("pilots", lambda: len(user.pilots()) == PILOTS)
    config = f"{HOME}/.config/plancton/config.yaml"
    ours = f"planctonctl --user --config {config}"
    told = json.loads(user.run(f"{ours} status --json"))["timer"]
    assert (told["manager"], told["error"], told["is_on"]) == ("user", None, True)
    user.run(f"{ours} drain --stop")
    user.run("docker ps -q --filter label=io.plancton.type | xargs docker kill")
    user.host.wait_for(
        "the end", lambda: user.manage("show -P ActiveState plancton.timer") == "inactive"
    )
    assert user.pilots() == []


def test_a_missing_image_is_pulled_by_the_users_own_service(user: User) -> None:
    digest = fill_registry(user.host)
    configure_user(user, IMAGE)
    # A rootless engine that shares the host's network, as it must here, cannot come back to it from
    # the network it makes for a container: some of its threads no longer see the registry.
    user.manage("restart docker")
    start_registry(user.host)
    try:
        since = user.host.cursor()
        user.manage("start plancton.timer")
        user.host.wait_for("pilots", lambda: len(user.pilots()) == PILOTS)
        (pulled,) = user.host.journal(
            since, "_SYSTEMD_USER_UNIT=plancton-pull.service", "PLANCTON_EVENT=pulled"
        )
        assert pulled["PLANCTON_DIGEST"] == digest
        assert pulled["_UID"] == user.uid
    finally:
        stop_registry(user.host)


def test_what_an_unprivileged_manager_can_take_away_is_taken(user: User) -> None:
    for unit in ("plancton.service", "plancton-pull.service", "plancton-stop.service"):
        assert user.manage(f"show -P NoNewPrivileges {unit}") == "yes"
        assert user.manage(f"show -P RestrictNamespaces {unit}") != "no"
