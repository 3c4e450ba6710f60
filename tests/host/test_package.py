"""The packages on a real systemd: installed, upgraded and downgraded under pilots, and erased."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick import __version__
from tests.host.conftest import PILOTS, QUICK, configure
from tests.host.install import install_plancton
from tests.host.machine import Host
from tests.host.package import (
    OTHER_CONFIG,
    build_deb,
    build_named_rpm,
    build_other_rpm,
    build_rpm,
    install_rpm,
    put_package,
)

LATER = "999.0.0"
CONFIG = "/etc/plancton/config.yaml"
CODE = "/usr/lib/plancton"
COUNT_SOURCES = f"find {CODE}/ -name '*.py' | wc -l"
COUNT_COMPILED = f"find {CODE}/ -name '*.pyc' | wc -l"
# What has the name but does not come from the package: the tests' own, and what pilots have.
FIND_FILES = (
    "find / -xdev -name '*plancton*' -not -path '/proc/*' -not -path '/var/lib/docker/*' "
    "-not -path '/root/packages/*'"
)


@pytest.fixture
def bare(host: Host) -> Iterator[Host]:
    """Return the host without Plancton; afterwards it is as the other tests want it."""
    remove(host)
    yield host
    host.drop_in("plancton.timer", None)
    remove(host)
    install_plancton(host)


@pytest.fixture
def fresh(bare: Host) -> Host:
    """Return the host with the RPM just installed, and an engine."""
    install_rpm(bare, build_rpm(), "-i")
    return bare


def remove(host: Host) -> None:
    """Remove Plancton, however it was installed, and all that it has made."""
    host.remove_all()
    host.run("rpm -e --nodeps plancton; dpkg -P plancton", check=False)
    host.run("rm -rf /etc/plancton /run/plancton; systemctl daemon-reload")


def fill(host: Host) -> None:
    """Turn the timer on and wait for pilots; those that are killed count as done."""
    done = {"done": [0, 137, 143]}
    configure(host, fizzle=0, exit_codes=done)
    host.drop_in("plancton.timer", QUICK)
    host.run("systemctl enable --now plancton.timer")
    host.wait_for("pilots", lambda: len(host.pilots("running")) == PILOTS)


def born(host: Host) -> list[str]:
    """Return what changes if a pilot's container is touched: its id, its start, its restarts."""
    form = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}"
    return sorted(
        host.run(
            f"docker ps -aq --filter label=io.plancton.type | xargs -r docker inspect -f '{form}'"
        ).splitlines()
    )


def counters(host: Host) -> object:
    """Return what the ledger has counted."""
    text = host.run(
        "docker volume ls -q --filter label=io.plancton.ledger | sort -V | tail -n 1 "
        "| xargs docker volume inspect -f '{{index .Labels \"io.plancton.ledger\"}}'"
    )
    return json.loads(text).get("counts")


def replace_pilot(host: Host) -> str:
    """Kill a pilot, wait for the next one in its slot, and return the version that made it."""
    name = host.pilots("running")[0]
    old = host.run(f"docker inspect -f '{{{{.Id}}}}' {name}")
    host.run(f"docker kill {name}")
    look = f"docker inspect -f '{{{{.Id}}}}' {name} 2>/dev/null || true"
    host.wait_for("another pilot", lambda: host.run(look) not in ("", old))
    host.wait_for("pilots", lambda: len(host.pilots("running")) == PILOTS)
    return host.run(
        f"docker inspect -f '{{{{index .Config.Labels \"io.plancton.version\"}}}}' {name}"
    )


def wait_for_ticks(host: Host, number: int) -> None:
    """Wait until the timer has fired so many times more."""
    before = len(host.ticks())
    host.wait_for("ticks", lambda: len(host.ticks()) >= before + number)


def complaints(host: Host, since: str) -> list[object]:
    """Return what the journal has of Plancton at warning and above, also from the manager."""
    return [
        entry.get("MESSAGE")
        for entry in host.journal(since, "-p", "4")
        if "plancton" in json.dumps(entry)
    ]


def test_what_is_installed_is_what_was_packaged(fresh: Host) -> None:
    assert fresh.run("rpm -V --nodeps plancton") == ""
    for command in ("plancton-tick", "planctonctl", "plancton-pull"):
        assert fresh.run(f"{command} --version") == f"plancton {__version__}"
    assert fresh.run(f"planctonctl check {CONFIG} >&2; echo $?") == "0"


def test_all_is_compiled_for_the_hosts_python(fresh: Host) -> None:
    assert fresh.run(COUNT_SOURCES) == fresh.run(COUNT_COMPILED) != "0"
    cache = fresh.run("python3 -c 'import sys; print(sys.implementation.cache_tag)'")
    assert fresh.run(f"find {CODE}/ -name '*.pyc' ! -name '*.{cache}.pyc'") == ""


def test_byte_code_is_made_again_when_python_changes(fresh: Host) -> None:
    try:
        for version in ("3.99.0", "3.99.1"):
            fresh.run(f"rm -r {CODE}/current/plancton_tick/__pycache__")
            fresh.run(f"touch {CODE}/current/plancton_tick/ctl/__pycache__/tick.cpython-30.pyc")
            install_rpm(fresh, build_named_rpm("python3", version))
            assert fresh.run(COUNT_SOURCES) == fresh.run(COUNT_COMPILED)
            assert fresh.run(f"find {CODE}/ -name '*cpython-30*'") == ""
    finally:
        fresh.run("rpm -e --nodeps python3")


def test_installing_turns_nothing_on(fresh: Host) -> None:
    for manager in ("", "--global "):
        assert fresh.run(f"systemctl {manager}is-enabled plancton.timer", check=False) == "disabled"
        fresh.run(f"systemctl {manager}preset plancton.timer")
        assert fresh.run(f"systemctl {manager}is-enabled plancton.timer", check=False) == "disabled"
    assert fresh.run("systemctl is-active plancton.timer", check=False) == "inactive"


def test_the_group_of_an_engine_that_is_not_there_yet_is_made(bare: Host) -> None:
    bare.run("groupmod -n docker-away docker")
    try:
        install_rpm(bare, build_rpm(), "-i")
        assert bare.run("getent group docker")
        bare.run("groupdel docker")
    finally:
        bare.run("groupmod -n docker docker-away")


def test_install_enable_and_look_is_all_it_takes(fresh: Host) -> None:
    configure(fresh)
    fresh.run("systemctl enable --now plancton.timer")
    fresh.wait_for("pilots", lambda: len(fresh.pilots("running")) == PILOTS)
    fresh.run("journalctl --sync")
    assert "spawned idle in slot 0" in fresh.run("journalctl -u plancton --no-pager -n 20")


def test_an_upgrade_and_a_downgrade_leave_pilots_and_counters_alone(fresh: Host) -> None:
    fill(fresh)
    assert replace_pilot(fresh) == __version__
    for package, version in ((build_other_rpm(LATER), LATER), (build_rpm(), __version__)):
        pilots, counted = born(fresh), counters(fresh)
        assert counted
        install_rpm(fresh, package)
        active = "systemctl is-active plancton.timer plancton-pull.path plancton-stop.path"
        assert fresh.run(active).split() == ["active"] * 3
        wait_for_ticks(fresh, 2)
        assert born(fresh) == pilots
        assert counters(fresh) == counted
        assert fresh.run("plancton-tick --version") == f"plancton {version}"
        assert replace_pilot(fresh) == version
        assert fresh.run(f"ls {CODE}").split() == [f"{version}-1", "current"]
        assert fresh.run(COUNT_SOURCES) == fresh.run(COUNT_COMPILED)


def test_installing_the_same_version_again_changes_nothing(fresh: Host) -> None:
    install_rpm(fresh, build_rpm(), "-U --replacepkgs")
    assert fresh.run("rpm -V --nodeps plancton") == ""
    assert fresh.run(COUNT_SOURCES) == fresh.run(COUNT_COMPILED)


def test_a_tick_with_work_to_do_that_runs_during_an_upgrade_does_no_harm(fresh: Host) -> None:
    fill(fresh)
    fresh.write("/etc/plancton/config.d/sample.yaml", "host: {sample: 3s}\n")
    wait_for_ticks(fresh, 2)
    others = [line for line in born(fresh) if not is_of(fresh, line, "plancton-0")]
    since = fresh.cursor()
    for package in (build_other_rpm(LATER), build_rpm()):
        fresh.run("docker kill plancton-0")
        # It has just begun, and looks at the host for longer than the exchange takes. After that
        # it has a pilot to reap and one to spawn, for which it needs modules it has not loaded.
        wait_for_ticks(fresh, 1)
        install_rpm(fresh, package)
        fresh.wait_for("pilots", lambda: len(fresh.pilots("running")) == PILOTS)
    assert complaints(fresh, since) == []
    assert set(others) < set(born(fresh))
    assert counters(fresh) == {"idle": {"done": 2}}


def is_of(host: Host, line: str, name: str) -> bool:
    """Say whether a line of ``born`` is of the pilot with a name."""
    return line.startswith(host.run(f"docker inspect -f '{{{{.Id}}}}' {name}"))


def test_an_upgrade_keeps_an_edited_configuration_and_brings_the_new_one_beside(
    fresh: Host,
) -> None:
    fresh.run(f"echo '# Mine.' >>{CONFIG}")
    install_rpm(fresh, build_other_rpm(LATER))
    assert fresh.run(f"cat {CONFIG}").endswith("# Mine.")
    assert fresh.run(f"cat {CONFIG}.rpmnew").endswith(OTHER_CONFIG.strip())


def test_an_upgrade_renews_a_configuration_that_nobody_edited(fresh: Host) -> None:
    install_rpm(fresh, build_other_rpm(LATER))
    assert fresh.run(f"cat {CONFIG}").endswith(OTHER_CONFIG.strip())
    assert fresh.run("ls -A /etc/plancton").split() == ["config.d", "config.yaml"]


def test_erasing_ends_the_ticks_and_leaves_pilots_to_finish(fresh: Host) -> None:
    fill(fresh)
    pilots, since = born(fresh), fresh.cursor()
    fresh.run("rpm -e --nodeps plancton")
    assert_only_pilots_are_left(fresh, pilots)
    assert fresh.run("ls -A /etc/plancton").split() == ["config.yaml.rpmsave"]
    assert complaints(fresh, since) == []
    # Who comes back finds them.
    install_rpm(fresh, build_rpm(), "-i")
    fresh.run("rm -r /run/systemd/system/plancton.timer.d")
    assert fresh.run("ls /run/systemd/system.control 2>/dev/null || true") == ""
    fresh.run(f"mv {CONFIG}.rpmsave {CONFIG}; systemctl start plancton.timer")
    wait_for_ticks(fresh, 2)
    assert born(fresh) == pilots


def assert_only_pilots_are_left(host: Host, pilots: list[str]) -> None:
    """Check that the package has gone, and that pilots still run as the least of all."""
    time_left = host.run("systemctl list-timers --all --no-legend 'plancton*'")
    assert time_left == ""
    assert host.run("systemctl --failed --no-legend") == ""
    assert born(host) == pilots
    assert len(host.pilots("running")) == len(pilots)
    files = "/sys/fs/cgroup/plancton.slice/cpu.idle /sys/fs/cgroup/cpu/plancton.slice/cpu.shares"
    assert host.run(f"cat {files} 2>/dev/null || true") in ("1", "2")
    assert host.run(FIND_FILES).split() == ["/etc/plancton"]
    assert host.run("ls /run/plancton 2>/dev/null || true") == ""


def test_a_forced_stop_before_erasing_leaves_no_pilot(fresh: Host) -> None:
    fill(fresh)
    fresh.run("planctonctl force-stop --now --yes")
    fresh.run("rpm -e --nodeps plancton")
    assert_only_pilots_are_left(fresh, [])
    # The ledger, which holds the drain, is removed as docs/packages.md says.
    assert fresh.run("docker volume ls -q --filter label=io.plancton.ledger").count("\n") == 0
    fresh.run("docker volume ls -q --filter label=io.plancton.ledger | xargs -r docker volume rm")
    assert fresh.run("docker volume ls -q") == ""
    assert fresh.run("docker ps -aq") == ""


def test_the_debian_package_does_the_same(bare: Host) -> None:
    install_deb(bare, build_deb(build_rpm()))
    assert bare.run("systemctl is-enabled plancton.timer", check=False) == "disabled"
    assert bare.run("dpkg --verify plancton") == ""
    fill(bare)
    replace_pilot(bare)
    since = bare.cursor()
    for package in (build_other_rpm(LATER), build_rpm()):
        pilots, counted = born(bare), counters(bare)
        install_deb(bare, build_deb(package))
        assert (
            bare.run("systemctl is-active plancton.timer plancton-pull.path").split()
            == ["active"] * 2
        )
        wait_for_ticks(bare, 2)
        assert born(bare) == pilots
        assert counters(bare) == counted
        assert bare.run(COUNT_SOURCES) == bare.run(COUNT_COMPILED)
    assert complaints(bare, since) == []
    bare.run("dpkg --purge plancton")
    bare.run("rm -rf /etc/plancton/config.d; mkdir -p /etc/plancton")
    assert_only_pilots_are_left(bare, pilots)


def install_deb(host: Host, package: Path) -> None:
    """Install a Debian package, also over a later one; keep what is edited."""
    path = put_package(host, package)
    host.run(f"dpkg --force-confold,downgrade --install {path}")
