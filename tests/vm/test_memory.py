"""Memory that runs out: pilots die first, by the kernel's hand and by systemd-oomd's."""

from tests.host.conftest import PILOTS
from tests.host.test_journal import more_ticks
from tests.host.test_package import counters
from tests.vm.conftest import fill, wait_until_full
from tests.vm.machine import MEMORY_MIB, VirtualMachine

SLICE = "/sys/fs/cgroup/plancton.slice"
HELD_MIB = 150
# Reads that much into memory of its own, then waits for somebody to take it. The last process to
# be started is the pilot's first: when it is killed the pilot has ended.
HOLD = (
    *("sh", "-c"),
    "mkfifo /tmp/held; sleep 36000 </tmp/held & "
    f"exec dd if=/dev/zero of=/tmp/held bs={HELD_MIB}M count=1",
)
CHURN = (
    *("sh", "-c"),
    f"while :; do dd if=/dev/zero of=/dev/null bs={HELD_MIB}M count=1 2>/dev/null; done",
)
# Fits beside a system without pilots, and not beside all pilots.
OWNER_MIB = MEMORY_MIB - 400 - 2 * HELD_MIB
OWNER = f"import time; held = b'x' * ({OWNER_MIB} << 20); time.sleep(10); print(len(held) >> 20)"


def stop_ticks(machine: VirtualMachine) -> None:
    """Leave the pilots to the kernel alone."""
    machine.run("systemctl stop plancton.timer plancton.service")


def failed(machine: VirtualMachine) -> int:
    """Return how many pilots the ledger counts as failed."""
    counts = counters(machine) or {}
    assert isinstance(counts, dict)
    return int(counts.get("idle", {}).get("failed", 0))


def test_the_kernel_kills_pilots_first_and_nothing_of_the_owner(machine: VirtualMachine) -> None:
    fill(machine, HOLD, memory="200M")
    stop_ticks(machine)
    # A pilot is counted as running before it holds all that it will.
    machine.wait_for(
        "memory held",
        lambda: int(machine.run(f"cat {SLICE}/memory.current")) > PILOTS * HELD_MIB << 20,
    )
    before, since = failed(machine), machine.cursor()
    said = machine.run(
        f'systemd-run --quiet --pipe --wait --unit=owner --slice=user.slice python3 -c "{OWNER}"',
        seconds=120,
    )
    assert said == str(OWNER_MIB)
    dead = [pilot for pilot in machine.containers() if pilot["State"] == "exited"]
    assert len(dead) >= 1
    kernel = [entry["MESSAGE"] for entry in machine.journal(since, "-k")]
    kills = [text for text in kernel if "Killed process" in text]
    assert len(kills) >= len(dead)
    assert all("oom_score_adj:1000" in text for text in kills), kills
    assert machine.run("systemctl --failed --no-legend") == ""
    machine.run("systemctl start plancton.timer")
    wait_until_full(machine)
    ended = machine.journal(since, "-u", "plancton", "PLANCTON_EVENT=ended")
    assert len(ended) == len(dead)
    assert {entry["PLANCTON_OUTCOME"] for entry in ended} == {"failed"}
    assert all("out of memory" in entry["MESSAGE"] for entry in ended)
    assert failed(machine) == before + len(dead)


def test_oomd_watches_the_slice_and_kills_a_pilot_and_nothing_of_the_owner(
    machine: VirtualMachine,
) -> None:
    fill(machine, CHURN, memory="200M")
    stop_ticks(machine)
    watched = machine.run("oomctl").partition("Memory Pressure Monitored")[2]
    assert "Path: /plancton.slice" in watched
    assert "Memory Pressure Limit: 20.00%" in watched
    before, since = failed(machine), machine.cursor()
    machine.run("systemd-run --quiet --unit=owner --slice=user.slice sleep 3600")
    machine.drop_in(
        "plancton.slice",
        "[Slice]\nMemoryHigh=100M\nManagedOOMMemoryPressureDurationSec=5s\n",
    )
    try:
        # A manager that has read its units anew applies them when it starts the next one.
        machine.run("systemctl start plancton.service")
        machine.wait_for("a dead pilot", lambda: machine.pilots("exited"))
    finally:
        machine.drop_in("plancton.slice", None)
        machine.run("systemctl start plancton.timer")
    kills = [
        entry["MESSAGE"]
        for entry in machine.journal(since, "-u", "systemd-oomd")
        if entry["MESSAGE"].startswith("Killed ")
    ]
    assert kills
    assert all(text.startswith("Killed /plancton.slice/") for text in kills), kills
    assert machine.show("owner", "ActiveState") == "active"
    machine.run("systemctl stop owner")
    wait_until_full(machine)
    ended = machine.journal(since, "-u", "plancton", "PLANCTON_EVENT=ended")
    assert {entry["PLANCTON_OUTCOME"] for entry in ended} == {"failed"}
    assert all("out of memory" in entry["MESSAGE"] for entry in ended)
    assert failed(machine) == before + len(ended)


def test_a_drop_in_caps_all_pilots_together_from_the_next_tick_on(full: VirtualMachine) -> None:
    full.drop_in("plancton.slice", "[Slice]\nCPUQuota=50%\nMemoryMax=300M\n")
    try:
        more_ticks(full, 2)
        assert full.run(f"cat {SLICE}/cpu.max {SLICE}/memory.max").split() == [
            *("50000", "100000", str(300 << 20))
        ]
    finally:
        full.drop_in("plancton.slice", None)
    more_ticks(full, 2)
    assert full.run(f"cat {SLICE}/cpu.max {SLICE}/memory.max").split() == ["max", "100000", "max"]
