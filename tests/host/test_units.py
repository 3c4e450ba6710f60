"""The unit files themselves, and what the manager makes of them."""

import re

import pytest

from plancton_tick.report import Kind
from tests.host.install import ROOT
from tests.host.machine import Host

UNITS = ROOT / "units"
SYSTEM = sorted(path.name for path in UNITS.iterdir() if path.suffix in
                (".service", ".timer", ".path", ".slice"))  # fmt: skip
USER = sorted(path.name for path in (UNITS / "user").iterdir())
# What makes the manager set up a mount namespace, systemd.exec(5); it costs more than the tick.
NEEDS_MOUNTS = re.compile(
    r"^(Protect(System|Home|Proc|Kernel\w+|ControlGroups)|Private(Tmp|Devices|Mounts|IPC|Users)|"
    r"\w*Paths|BindPaths|Temporary\w+|Root\w+|ProcSubset|Mount\w+|(State|Cache|Logs)Directory|"
    r"DynamicUser|LogNamespace)=",
    re.MULTILINE,
)


def exposure(host: Host, unit: str) -> float:
    """Return what systemd-analyze says of a unit's exposure, 0 to 10."""
    text = host.run(f"systemd-analyze security --offline=yes --no-pager {unit}", check=False)
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", text)
    assert found, text
    return float(found[1])


def test_the_manager_finds_nothing_wrong_with_the_units(host: Host) -> None:
    assert host.run(f"systemd-analyze verify --man=no {' '.join(SYSTEM)} 2>&1") == ""


def test_the_users_manager_finds_nothing_wrong_with_the_users_units(host: Host) -> None:
    assert (
        host.run(
            f"XDG_RUNTIME_DIR=/run systemd-analyze verify --user --man=no {' '.join(USER)} 2>&1"
        )
        == ""
    )


@pytest.mark.parametrize(
    ("unit", "limit"),
    [
        ("plancton.service", 2.6),
        ("plancton-pull.service", 1.5),
        ("plancton-stop.service", 1.5),
        ("plancton-metrics.service", 1.6),
    ],
)
def test_a_service_is_exposed_no_more_than_it_must_be(host: Host, unit: str, limit: float) -> None:
    assert exposure(host, unit) <= limit


def test_the_ticks_service_uses_nothing_that_needs_a_mount_namespace() -> None:
    assert not NEEDS_MOUNTS.findall((UNITS / "plancton.service").read_text())


def test_installing_enables_and_starts_nothing(host: Host) -> None:
    assert host.run("systemctl is-enabled plancton.timer", check=False) == "disabled"
    host.run("systemctl preset plancton.timer")
    assert host.run("systemctl is-enabled plancton.timer", check=False) == "disabled"


def test_enabling_the_timer_brings_slice_and_paths_along_and_survives_a_reboot(farm: Host) -> None:
    farm.run("systemctl enable --now plancton.timer")
    active = farm.run("systemctl is-active plancton.slice plancton-pull.path plancton-stop.path")
    assert active.split() == ["active"] * 3
    assert "plancton.timer" in farm.run("ls /etc/systemd/system/timers.target.wants")
    farm.run("systemctl disable --now plancton.timer")
    assert farm.run("systemctl is-active plancton-pull.path", check=False) == "inactive"


def test_the_slice_has_the_lowest_weight_in_the_kernel(farm: Host) -> None:
    farm.run("systemctl start plancton.slice")
    # cgroup v2 has cpu.idle; on v1 an idle unit gets the least that cpu.shares takes.
    files = "/sys/fs/cgroup/plancton.slice/cpu.idle /sys/fs/cgroup/cpu/plancton.slice/cpu.shares"
    assert farm.run(f"cat {files} 2>/dev/null || true") in ("1", "2")
    assert farm.show("plancton.slice", "CPUWeight") == "idle"
    assert farm.show("plancton.slice", "IOWeight") == "1"
    assert farm.show("plancton.slice", "ManagedOOMMemoryPressure") == "kill"


def test_pilots_lie_below_the_slice_that_has_the_weight(quick: Host) -> None:
    quick.run("systemctl start plancton.timer")
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == 4)
    container = quick.run("docker inspect -f '{{.Id}}' plancton-0")
    processes = quick.run(
        f"cat /sys/fs/cgroup/cpu/plancton.slice/*/{container}/cgroup.procs "
        "/sys/fs/cgroup/plancton.slice/*/docker-*.scope/cgroup.procs 2>/dev/null || true"
    )
    assert processes
    # The manager must not take the folder away while it has no unit of its own in there.
    quick.run("systemctl daemon-reload")
    assert len(quick.pilots("running")) == 4
    assert quick.run("cat /sys/fs/cgroup/cpu/plancton.slice/cpu.shares") == "2"


def test_a_drop_in_caps_all_pilots_together_at_once(farm: Host) -> None:
    farm.run("systemctl start plancton.slice")
    farm.drop_in("plancton.slice", "[Slice]\nCPUQuota=50%\nMemoryMax=100M\n")
    assert farm.run("cat /sys/fs/cgroup/cpu/plancton.slice/cpu.cfs_quota_us") == "50000"
    limit = farm.run("cat /sys/fs/cgroup/memory/plancton.slice/memory.limit_in_bytes")
    assert int(limit) == 100 << 20
    farm.drop_in("plancton.slice", None)


def test_a_request_to_pull_starts_the_pulls_service(quick: Host) -> None:
    quick.run("systemctl start plancton.timer")
    quick.drop_in(
        "plancton-pull.service",
        "[Service]\nExecStart=\nExecStart=/bin/sh -c 'mv /run/plancton/pull/* /run/plancton/'\n",
    )
    try:
        quick.run("touch /run/plancton/pull/asked")
        quick.wait_for("the request served", lambda: quick.run("ls /run/plancton/asked || true"))
        assert quick.run("ls /run/plancton/pull") == ""
        assert quick.show("plancton-pull.path", "ActiveState") == "active"
    finally:
        quick.drop_in("plancton-pull.service", None)
        quick.run("rm -f /run/plancton/asked")


def test_a_pull_that_fails_at_once_does_not_start_for_ever(quick: Host) -> None:
    quick.run("systemctl start plancton.timer")
    quick.drop_in("plancton-pull.service", "[Service]\nExecStart=\nExecStart=/bin/false\n")
    try:
        quick.run("touch /run/plancton/pull/asked")
        quick.wait_for("the request gone", lambda: quick.run("ls /run/plancton/pull") == "")
        quick.run("sleep 1")
        assert quick.show("plancton-pull.path", "ActiveState") == "active"
        assert quick.show("plancton-pull.path", "Result") == "success"
    finally:
        quick.drop_in("plancton-pull.service", None)
        quick.run("systemctl reset-failed plancton-pull.service")


def test_a_request_to_stop_stops_the_timer_after_the_tick_that_runs(quick: Host) -> None:
    quick.run("systemctl start plancton.timer")
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == 4)
    since = quick.cursor()
    quick.run("runuser -u plancton touch /run/plancton/stop")
    quick.wait_for(
        "the timer stopped", lambda: quick.show("plancton.timer", "ActiveState") == "inactive"
    )
    quick.wait_for(
        "the request gone", lambda: not quick.run("ls /run/plancton/stop 2>&1 || true", check=False)
        .startswith("/run/plancton/stop")
    )  # fmt: skip
    assert quick.show("plancton.service", "Result") == "success"
    assert len(quick.pilots("running")) == 4
    # Nothing is left that would stop it again.
    quick.run("systemctl start plancton.timer")
    before = len(quick.ticks())
    quick.wait_for("ticks", lambda: len(quick.ticks()) >= before + 2)
    assert quick.show("plancton.timer", "ActiveState") == "active"
    failures = [
        entry["MESSAGE"] for entry in quick.journal(since) if int(entry.get("PRIORITY", 6)) <= 4
    ]
    assert failures == []


def test_who_starts_the_timer_while_it_is_being_stopped_is_not_overruled(quick: Host) -> None:
    # The program that takes its time stands for a machine that does.
    quick.drop_in("plancton-stop.service", "[Service]\nExecStart=\nExecStart=/bin/sleep 600\n")
    try:
        quick.run("systemctl start plancton.timer")
        quick.run("runuser -u plancton touch /run/plancton/stop")
        quick.wait_for(
            "the stop at work",
            lambda: quick.show("plancton-stop.service", "ActiveState") == "activating",
        )
        assert quick.show("plancton.timer", "ActiveState") == "inactive"
        quick.run("systemctl start plancton.timer")
        before = len(quick.ticks())
        quick.wait_for("ticks", lambda: len(quick.ticks()) >= before + 2)
        assert quick.show("plancton.timer", "ActiveState") == "active"
        assert quick.run("systemctl --failed --no-legend") == ""
    finally:
        quick.drop_in("plancton-stop.service", None)


def test_the_catalog_explains_every_event() -> None:
    catalog = (UNITS / "plancton.catalog").read_text()
    entries = re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.MULTILINE)
    assert sorted(entries) == sorted(kind.value for kind in Kind)


def test_the_journal_shows_the_explanation_beside_the_event(quick: Host) -> None:
    since = quick.cursor()
    quick.run("systemctl start plancton.timer")
    quick.wait_for("pilots", lambda: len(quick.pilots("running")) == 4)
    quick.run("journalctl --sync")
    text = quick.run(f"journalctl -x -u plancton --since={since}")
    assert "Subject: A pilot was started" in text
    assert "@PLANCTON" not in text
