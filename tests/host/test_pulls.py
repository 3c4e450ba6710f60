"""Images pulled by the real service in its real sandbox, from a registry on the host."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.host.conftest import PILOTS, configure
from tests.host.machine import Entry, Host
from tests.host.registry import ADDRESS, IMAGE, fill_registry, start_registry, stop_registry
from tests.host.test_journal import events, more_ticks

# How long a tick waits until it asks again for an image that could not be pulled: docs/pulls.md.
RETRY_SECONDS = 30.0


@pytest.fixture(scope="module")
def digest(host: Host) -> str:
    """Return the digest of IMAGE, which the host's registry has."""
    return fill_registry(host)


@pytest.fixture
def imageless(quick: Host) -> Iterator[Host]:
    """Return a host whose one pilot type wants IMAGE, which is not here; no registry runs."""
    configure(quick, image=IMAGE)
    yield quick
    quick.drop_in("plancton.service", None)
    quick.remove_all()
    stop_registry(quick)
    quick.run(f"docker image rm -f {IMAGE}", check=False)


def instant(entry: Entry) -> float:
    """Return when the journal got an entry, in seconds since boot."""
    return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6


def test_a_missing_image_is_asked_for_and_pulled_and_pilots_of_it_appear(
    imageless: Host, digest: str
) -> None:
    start_registry(imageless)
    since = imageless.cursor()
    imageless.run("systemctl start plancton.timer")
    imageless.wait_for("pilots", lambda: len(imageless.pilots("running")) == PILOTS)
    asked, pulled = imageless.journal(
        since, "-u", "plancton*", "PLANCTON_EVENT=asked", "PLANCTON_EVENT=pulled"
    )
    assert (asked["PLANCTON_EVENT"], asked["_SYSTEMD_UNIT"]) == ("asked", "plancton.service")
    assert (pulled["PLANCTON_EVENT"], pulled["_SYSTEMD_UNIT"]) == (
        "pulled",
        "plancton-pull.service",
    )
    assert pulled["PLANCTON_DIGEST"] == digest
    assert pulled["PLANCTON_IMAGE"] == IMAGE
    images = imageless.run("docker ps --filter label=io.plancton.type --format '{{.Image}}'")
    assert images.split() == [IMAGE] * PILOTS
    # All of it as packaged: nothing was taken out of the sandbox for the test.
    assert imageless.show("plancton-pull.service", "DropInPaths") == ""
    assert imageless.show("plancton-pull.service", "ProtectSystem") == "strict"
    assert imageless.show("plancton-pull.service", "Result") == "success"
    assert imageless.run("ls /run/plancton/pull") == ""


def test_a_registry_that_is_down_is_told_and_asked_again_later_and_ticks_go_on(
    imageless: Host,
) -> None:
    # What follows the first failure is told more softly than the unit lets through.
    imageless.drop_in("plancton.service", "[Service]\nLogLevelMax=info\n")
    since = imageless.cursor()
    imageless.run("systemctl start plancton.timer")
    pulls = ("-u", "plancton*", "PLANCTON_EVENT=asked", "PLANCTON_EVENT=pull-failed")
    imageless.wait_for("a pull that failed", lambda: len(imageless.journal(since, *pulls)) == 2)
    asked, failed = imageless.journal(since, *pulls)
    assert events([asked, failed]) == ["asked", "pull-failed"]
    assert failed["_SYSTEMD_UNIT"] == "plancton-pull.service"
    assert failed["PRIORITY"] == "3"
    assert ADDRESS in failed["MESSAGE"]
    more_ticks(imageless, 4)
    again = [
        instant(entry)
        for entry in imageless.journal(since, *pulls)
        if entry["PLANCTON_EVENT"] == "asked"
    ]
    assert all(after - before > RETRY_SECONDS * 0.9 for before, after in pairwise(again)), again
    # It is no failure of the units: the service said what is wrong, and the path still waits.
    assert imageless.run("systemctl --failed --no-legend") == ""
    assert imageless.show("plancton-pull.path", "ActiveState") == "active"
