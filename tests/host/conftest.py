"""One host for all tests of this folder, and a quiet Plancton on it for each."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from plancton_tick.errors import PlanctonError
from tests.host.install import install_plancton
from tests.host.machine import PILOT_IMAGE, Host

# Pilots take 4 fifths of the machine: what the host itself does fits beside them, however many
# cores there are, and an owner who takes half of them does not.
PILOTS = 4
PILOT_CPUS = 0.2 * len(os.sched_getaffinity(0))
QUICK = "[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec=500ms\nOnBootSec=10s\nAccuracySec=100ms\n"
# From one start of a tick to the next. No tick lasts longer than its service lets it,
# TimeoutStartSec=, however busy the machine.
LONGEST_GAP = 60.0


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Boot the host with Plancton installed; one that does not boot is a failure, not a skip."""
    with ExitStack() as stack:
        try:
            host = stack.enter_context(Host())
            install_plancton(host)
        except (PlanctonError, AssertionError, RuntimeError) as error:
            pytest.fail(f"no test host: {error}", pytrace=False)
        yield host
        assert_the_timer_fired_throughout(host)


def assert_the_timer_fired_throughout(host: Host) -> None:
    """Check that from each start of the timer to its stop one tick followed the other.

    Whatever befell the host in between: owners, engines that were killed, upgrades.
    """
    ticks = host.ticks()
    for started, stopped in host.timer_periods():
        fired = [started, *(tick for tick in ticks if started < tick < stopped), stopped]
        gaps = [after - before for before, after in zip(fired, fired[1:], strict=False)]
        assert max(gaps) < LONGEST_GAP, (started, stopped, gaps)


@pytest.fixture
def farm(host: Host) -> Iterator[Host]:
    """Return the host with an engine, a plain configuration, no pilots, and the timer stopped."""
    host.remove_all()
    configure(host)
    yield host
    host.drop_in("plancton.timer", None)
    host.remove_all()


@pytest.fixture
def quick(farm: Host) -> Host:
    """Return the host with ticks every second or two, by a drop-in as people write it."""
    farm.drop_in("plancton.timer", QUICK)
    return farm


def configure(host: Host, *, per_tick: int = PILOTS, **pilot: object) -> None:
    """Write the host's configuration; ``pilot`` are keys of the one pilot type."""
    config = {
        "host": {
            "max_pilots": PILOTS,
            "reserve": {"cpus": 0, "memory": 0, "disk": 0},
            "sample": "500ms",
        },
        # On a busy machine an engine takes its time, which is no business of the tests here.
        "engine": {"timeout": "30s"},
        "spawn": {"per_tick": per_tick, "cooldown": 0},
        "reclaim": {"tolerance": PILOT_CPUS / 2, "after": "2s", "pause_at_most": "10min"},
        "pilots": [
            {
                "name": "idle",
                "image": PILOT_IMAGE,
                "command": ["sleep", "3600"],
                "cpus": PILOT_CPUS,
                "memory": "16M",
                "network": "none",
                # Pilots that died with their engine must not keep a test waiting.
                "fizzle": "1s",
                "backoff": "1s",
                "backoff_max": "2s",
                **pilot,
            }
        ],
    }
    host.run("rm -rf /etc/plancton/config.d")
    host.write("/etc/plancton/config.yaml", json.dumps(config))
