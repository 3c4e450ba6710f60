"""A day of the machine: pilots come, the owner comes and goes, the engine is restarted and dies."""

from tests.host.conftest import PILOTS
from tests.host.test_journal import LINES, events, more_ticks
from tests.host.test_package import born
from tests.vm.conftest import fill, set_up, wait_until_full
from tests.vm.machine import VirtualMachine

SLICE = "/sys/fs/cgroup/plancton.slice"
# Each process of a pilot: its name, its oom_score_adj and its cgroup.
LIST_PROCESSES = f"""\
for file in $(find {SLICE} -name cgroup.procs); do
    for pid in $(cat $file); do
        echo $(cat /proc/$pid/comm) $(cat /proc/$pid/oom_score_adj) $(cut -d: -f3 /proc/$pid/cgroup)
    done
done
"""


def test_pilots_appear_one_a_tick_up_to_the_cap(machine: VirtualMachine) -> None:
    machine.remove_all()
    set_up(machine)
    machine.write("/etc/plancton/config.d/one.yaml", "spawn: {per_tick: 1}\n")
    machine.kind = ""
    since, before = machine.cursor(), len(machine.ticks())
    machine.run("systemctl enable --now plancton.timer")
    wait_until_full(machine)
    fired = len(machine.ticks()) - before
    assert fired >= PILOTS
    spawned = machine.journal(since, *LINES, "PLANCTON_EVENT=spawned")
    # Each by a tick of its own.
    assert len({entry["_PID"] for entry in spawned}) == len(spawned) == PILOTS


def test_pilots_lie_in_the_slice_and_the_kernel_takes_them_for_the_least(
    full: VirtualMachine,
) -> None:
    assert full.run("docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}'") == "systemd 2"
    processes = [line.split() for line in full.run(LIST_PROCESSES).splitlines()]
    scopes = {group.rpartition("/")[2] for _, _, group in processes}
    assert scopes == {f"docker-{pilot['Id']}.scope" for pilot in full.containers()}
    assert all(group.startswith("/plancton.slice/") for _, _, group in processes)
    assert {adjustment for _, adjustment, _ in processes} == {"1000"}
    assert full.run(f"cat {SLICE}/cpu.idle") == "1"
    assert full.run(f"cat {SLICE}/io.weight") == "default 1"
    # No group between the slice and the top takes the promise back.
    assert full.run("cat /sys/fs/cgroup/cgroup.subtree_control").split()[:4] == [
        *("cpuset", "cpu", "io", "memory")
    ]


def test_bfq_is_told_of_the_slices_weight_too(full: VirtualMachine) -> None:
    full.run("modprobe bfq && echo bfq >/sys/block/nvme0n1/queue/scheduler")
    try:
        full.run("systemctl daemon-reload")
        more_ticks(full, 1)
        assert full.run(f"cat {SLICE}/io.bfq.weight") == "default 1"
    finally:
        full.run("echo none >/sys/block/nvme0n1/queue/scheduler")


def test_quiet_ticks_write_no_line(full: VirtualMachine) -> None:
    since = full.cursor()
    more_ticks(full, 6)
    assert events(full.journal(since, *LINES)) == []


def test_the_owner_comes_and_pilots_are_paused_and_goes_and_they_go_on(
    full: VirtualMachine,
) -> None:
    pilots, since = born(full), full.cursor()
    # An emulated CPU that waits for a real one loses timer ticks, and /proc/stat what they would
    # have counted: of two busy CPUs it may tell of little more than one.
    full.write("/etc/plancton/config.d/owner.yaml", "host: {reserve: {cpus: 0.6}}\n")
    spin = "while :; do :; done"
    full.run(
        f"systemd-run --quiet --unit=owner --slice=user.slice sh -c '({spin}) & ({spin}) & {spin}'"
    )
    paused = full.wait_for("paused pilots", lambda: full.pilots("paused"))
    assert len(full.pilots()) == PILOTS
    full.run("systemctl stop owner; rm /etc/plancton/config.d/owner.yaml")
    wait_until_full(full)
    more_ticks(full, 1)
    names = events(full.journal(since, "-u", "plancton"))
    assert set(names) <= {"paused", "resumed", "held", "held-ended"}
    assert names.count("paused") == names.count("resumed") >= len(paused)
    assert born(full) == pilots


def test_an_engine_that_is_restarted_gets_its_pilots_again(full: VirtualMachine) -> None:
    pilots = born(full)
    full.run("systemctl restart docker")
    wait_until_full(full)
    more_ticks(full, 1)
    assert len(full.pilots()) == PILOTS
    assert not set(born(full)) & set(pilots)


def test_an_engine_that_is_killed_is_started_by_the_manager_and_gets_its_pilots_again(
    full: VirtualMachine,
) -> None:
    killed = full.show("docker", "MainPID")
    full.run("systemctl kill --kill-whom=main -s KILL docker")
    full.wait_for("another engine", lambda: full.show("docker", "MainPID") not in ("0", killed))
    full.wait_for("the engine", lambda: full.containers())
    more_ticks(full, 2)
    wait_until_full(full)
    assert len(full.pilots()) == PILOTS


def test_an_engine_that_is_down_is_told_once_and_once_when_it_is_back(
    full: VirtualMachine,
) -> None:
    since = full.cursor()
    full.run("systemctl stop docker.socket docker.service")
    more_ticks(full, 4)
    assert events(full.journal(since, "-u", "plancton")) == ["engine-down"]
    full.run("systemctl start docker.socket docker.service")
    wait_until_full(full)
    names = events(full.journal(since, "-u", "plancton"))
    assert (names.count("engine-down"), names.count("engine-back")) == (1, 1)


def test_a_stopped_timer_leaves_pilots_alone_and_a_started_one_finds_them(
    machine: VirtualMachine,
) -> None:
    fill(machine)
    pilots = born(machine)
    machine.run("systemctl stop plancton.timer")
    machine.wait_for(
        "the last tick", lambda: machine.show("plancton.service", "ActiveState") == "inactive"
    )
    count = len(machine.ticks())
    machine.run("sleep 15")
    assert len(machine.ticks()) == count
    machine.run("systemctl start plancton.timer")
    more_ticks(machine, 2)
    assert born(machine) == pilots
