"""Restarts of the machine: what goes on by itself, and what is remembered."""

import json
from typing import Any

from tests.host.conftest import PILOTS
from tests.host.test_journal import events, more_ticks
from tests.host.test_package import born, counters
from tests.vm.conftest import fill, wait_until_full
from tests.vm.machine import VirtualMachine


def count_of(machine: VirtualMachine, outcome: str) -> int:
    """Return how many pilots the ledger counts with this outcome."""
    counts: Any = counters(machine) or {}
    return int(counts.get("idle", {}).get(outcome, 0))


def test_after_a_reboot_pilots_come_back_and_those_it_ended_count_as_reclaimed(
    machine: VirtualMachine,
) -> None:
    fill(machine)
    pilots, since = born(machine), machine.cursor()
    reclaimed, failed = count_of(machine, "reclaimed"), count_of(machine, "failed")
    machine.reboot()
    more_ticks(machine, 2)
    wait_until_full(machine)
    assert not set(born(machine)) & set(pilots)
    assert count_of(machine, "reclaimed") == reclaimed + PILOTS
    assert count_of(machine, "failed") == failed
    ended = machine.journal(since, "-u", "plancton", "PLANCTON_EVENT=ended")
    assert len(ended) == PILOTS
    assert all("the host has restarted" in entry["MESSAGE"] for entry in ended)
    assert machine.run("cat /sys/fs/cgroup/plancton.slice/cpu.idle") == "1"


def test_a_drain_holds_over_a_reboot(machine: VirtualMachine) -> None:
    fill(machine)
    counted = counters(machine)
    assert isinstance(counted, dict)
    since = machine.cursor()
    machine.run("planctonctl drain --reason 'new disk'")
    more_ticks(machine, 1)
    machine.reboot()
    more_ticks(machine, 4)
    assert machine.pilots() == []
    assert events(machine.journal(since, "-u", "plancton", "PLANCTON_EVENT=spawned")) == []
    told = json.loads(machine.run("planctonctl status --json"))
    assert told["drain"]["why"] == "new disk"
    after = counters(machine)
    assert isinstance(after, dict)
    added = count_of(machine, "reclaimed") - counted["idle"].get("reclaimed", 0)
    assert added == PILOTS
    assert {**after["idle"], "reclaimed": 0} == {**counted["idle"], "reclaimed": 0}
    machine.run("planctonctl resume")
    wait_until_full(machine)
