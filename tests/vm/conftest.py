"""One machine for all tests of this folder, booted once, and pilots on it for each."""

from collections.abc import Iterator
from typing import Any

import pytest

from plancton_tick.errors import PlanctonError
from tests.host.conftest import PILOTS, configure
from tests.host.install import install_plancton
from tests.host.machine import CommandError
from tests.host.test_journal import more_ticks
from tests.vm.machine import VirtualMachine

# Together half of the machine: what engine and ticks use, many times slower here, fits beside them.
PILOT_CPUS = 0.25
SLEEP = ("sleep", "36000")
# The engine takes seconds for what takes it a fraction of one on a real machine.
SLOW_HOST = """\
engine: {timeout: 50s}
host: {sample: 1s}
reclaim: {tolerance: 0.3, after: 3s}
"""


@pytest.fixture(scope="session")
def machine() -> Iterator[VirtualMachine]:
    """Boot the machine with Plancton enabled; one that does not boot is a failure, not a skip."""
    try:
        machine = VirtualMachine().__enter__()
    except (PlanctonError, CommandError, RuntimeError) as error:
        pytest.fail(f"the virtual machine does not boot: {error}", pytrace=False)
    try:
        install_plancton(machine)
        yield machine
    finally:
        machine.__exit__(None, None, None)


@pytest.fixture
def full(machine: VirtualMachine) -> Iterator[VirtualMachine]:
    """Return a machine full of sleeping pilots; its timer must have gone on throughout the test."""
    fill(machine)
    since = machine.show("plancton.timer", "ActiveEnterTimestampMonotonic")
    yield machine
    more_ticks(machine, 1)
    assert machine.show("plancton.timer", "ActiveEnterTimestampMonotonic") == since


def fill(machine: VirtualMachine, command: tuple[str, ...] = SLEEP, **pilot: Any) -> None:
    """Have the timer on, and wait until all pilots are of this kind and a tick has seen them."""
    kind = repr((command, sorted(pilot.items())))
    is_on = machine.show("plancton.timer", "ActiveState") == "active"
    if machine.kind == kind and is_on and len(machine.pilots("running")) == PILOTS:
        return
    if machine.kind != kind:
        machine.run("systemctl stop plancton.timer plancton.service")
        machine.remove_all()
        set_up(machine, command, **pilot)
        machine.kind = kind
    machine.run("systemctl enable --now plancton.timer")
    wait_until_full(machine)
    more_ticks(machine, 1)


def set_up(machine: VirtualMachine, command: tuple[str, ...] = SLEEP, **pilot: Any) -> None:
    """Write the configuration; ``pilot`` are keys of the one pilot type."""
    configure(machine, command=command, cpus=PILOT_CPUS, **pilot)
    machine.write("/etc/plancton/config.d/slow.yaml", SLOW_HOST)


def wait_until_full(machine: VirtualMachine) -> None:
    """Wait until as many pilots run as may, and check that there are never more."""

    def is_full() -> bool:
        assert len(machine.pilots()) <= PILOTS
        return len(machine.pilots("running")) == PILOTS

    machine.wait_for("all pilots", is_full, step=2.0)
