"""What a tick costs as systemd starts it, on the test host: ``python -m tests.bench_host``.

Prints three tables and exits with 1 if a ratio misses its limit. With ``--directives`` it also
measures what each group of the sandbox adds, for docs/systemd.md.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from tests.host.conftest import configure
from tests.host.install import ROOT, install_plancton
from tests.host.machine import PILOT_IMAGE, Host

START_LIMIT = 2.0
GROWTH_LIMIT = 1.2
STARTS, ROUNDS = 20, 5
MANY = 100
# Seconds between the beginnings of two ticks, and how long each is watched.
CADENCES = {2: 40, 5: 60, 30: 95}
IDLE_SECONDS = 20

PLAIN = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
GROUPS: Mapping[str, str] = {
    "User, SupplementaryGroups": "User=plancton\nSupplementaryGroups=docker",
    "RuntimeDirectory": "User=plancton\nRuntimeDirectory=plancton\nRuntimeDirectoryPreserve=yes",
    "NoNewPrivileges, capabilities, RestrictSUIDSGID, UMask": "NoNewPrivileges=yes\n"
    "CapabilityBoundingSet=\nAmbientCapabilities=\nRestrictSUIDSGID=yes\nUMask=0077",
    "KeyringMode, RemoveIPC": "User=plancton\nKeyringMode=private\nRemoveIPC=yes",
    "RestrictAddressFamilies": "NoNewPrivileges=yes\nRestrictAddressFamilies=AF_UNIX",
    "IPAddressDeny": "IPAddressDeny=any",
    "PrivateNetwork": "PrivateNetwork=yes",
    "SystemCallArchitectures, SystemCallFilter of what is denied": "NoNewPrivileges=yes\n"
    "SystemCallArchitectures=native\nSystemCallErrorNumber=EPERM\n"
    "SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @privileged @raw-io "
    "@reboot @resources @swap",
    "the same, of what is allowed: @system-service": "NoNewPrivileges=yes\n"
    "SystemCallArchitectures=native\nSystemCallErrorNumber=EPERM\n"
    "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources",
    "MemoryDenyWriteExecute, Lock-, RestrictNamespaces, -Realtime": "NoNewPrivileges=yes\n"
    "MemoryDenyWriteExecute=yes\nLockPersonality=yes\nRestrictNamespaces=yes\n"
    "RestrictRealtime=yes",
    "DevicePolicy, ProtectClock": "NoNewPrivileges=yes\nDevicePolicy=closed\nProtectClock=yes",
    "ProtectHostname": "NoNewPrivileges=yes\nProtectHostname=yes",
    "one mount namespace: PrivateMounts": "PrivateMounts=yes",
    "ProtectSystem=strict, ProtectHome": "ProtectSystem=strict\nProtectHome=yes",
    "PrivateTmp, PrivateDevices": "PrivateTmp=yes\nPrivateDevices=yes",
    "ProtectKernel*, ProtectControlGroups, ProtectProc": "ProtectKernelTunables=yes\n"
    "ProtectKernelModules=yes\nProtectKernelLogs=yes\nProtectControlGroups=yes\n"
    "ProtectProc=invisible\nProcSubset=pid",
}


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directives", action="store_true")
    parser.add_argument("--suite", default="bookworm", help="the Debian of the host")
    options = parser.parse_args()
    with Host(options.suite) as host:
        install_plancton(host)
        print(f"host: {host.run('systemctl --version').splitlines()[0]}")
        missed = bench_starts(host)
        if options.directives:
            bench_directives(host)
        else:
            bench_cadences(host)
    return 1 if missed else 0


def bench_starts(host: Host) -> int:
    """Compare starting the tick's service with a plain oneshot, with 0 and with 100 pilots."""
    tick = (ROOT / "units/plancton.service").read_text()
    write_units(host, {"plain": PLAIN, "tick": tick.replace("/usr/bin/plancton-tick", "/bin/true")})
    few = start_seconds(host, ("plain", "tick"))
    start_pilots(host, MANY)
    many = start_seconds(host, ("plain", "tick"))
    host.remove_all()
    for pilots, taken in ((0, few), (MANY, many)):
        print(
            f"{pilots} pilots: plain oneshot {taken['plain'] * 1000:.1f} ms of CPU, "
            f"plancton.service {taken['tick'] * 1000:.1f} ms"
        )
    return say("plancton.service over a plain oneshot", few["tick"] / few["plain"], START_LIMIT) + (
        say(f"plancton.service, {MANY} pilots over 0", many["tick"] / few["tick"], GROWTH_LIMIT)
    )


def bench_directives(host: Host) -> None:
    """Print what each group of directives adds to a plain oneshot, with 0 and with 100 pilots."""
    units = {f"group{number}": PLAIN + text for number, text in enumerate(GROUPS.values())}
    everything = (ROOT / "units/plancton-pull.service").read_text()
    everything = everything.replace("/usr/bin/plancton-pull", "/bin/true")
    everything = "".join(
        line for line in everything.splitlines(keepends=True) if "ExecStopPost" not in line
    )
    tick = (ROOT / "units/plancton.service").read_text()
    tick = tick.replace("/usr/bin/plancton-tick", "/bin/true")
    units = {"plain": PLAIN, "tick": tick, **units, "everything": everything}
    write_units(host, units)
    few = start_seconds(host, tuple(units))
    start_pilots(host, MANY)
    many = start_seconds(host, tuple(units))
    host.remove_all()
    names = ("plain oneshot", "plancton.service", *GROUPS, "plancton-pull.service, with all that")
    print(f"| directives | 0 pilots, ms | {MANY} pilots, ms |\n|---|---|---|")
    for name, unit in zip(names, units, strict=True):
        print(f"| {name} | {few[unit] * 1000:.1f} | {many[unit] * 1000:.1f} |")


def bench_cadences(host: Host) -> None:
    """Print the whole host's CPU for quiet ticks, less what it takes without any."""
    host.remove_all()
    configure(host)
    host.write("/etc/plancton/config.d/sample.yaml", "host: {sample: 1s}\n")
    host.run("systemctl start plancton.timer")
    host.wait_for("pilots", lambda: len(host.pilots("running")) == 4)
    time.sleep(8)
    host.run("systemctl stop plancton.timer plancton.service watch-ticks own-stat")
    host.run("umount /proc/stat")
    idle = used_cores(host, IDLE_SECONDS)
    print(f"host without ticks: {idle * 100:.2f} % of one core")
    # Without the copy of /proc/stat the neighbours are the owner; nothing may be given back to it.
    host.write("/etc/plancton/config.d/sample.yaml", "host: {sample: 1s}\nreclaim: {after: 1h}\n")
    for cadence, seconds in CADENCES.items():
        pause = max(0.5, cadence - 1.2)
        text = f"[Timer]\nOnUnitInactiveSec=\nOnUnitInactiveSec={pause}s\n"
        text += "OnBootSec=10s\nAccuracySec=100ms\n"
        host.drop_in("plancton.timer", text)
        host.run("systemctl start plancton.timer")
        time.sleep(4)
        share = used_cores(host, seconds) - idle
        host.run("systemctl stop plancton.timer plancton.service")
        each = share * cadence * 1000
        print(
            f"a tick every {cadence} s: {share * 100:.2f} % of one core, {each:.0f} ms of CPU each"
        )


def used_cores(host: Host, seconds: float) -> float:
    """Return the cores the whole host used over so long."""
    path = "/sys/fs/cgroup/cpuacct/cpuacct.usage"
    began, first = time.monotonic(), int(host.run(f"cat {path}"))
    time.sleep(seconds)
    return (int(host.run(f"cat {path}")) - first) / 1e9 / (time.monotonic() - began)


def write_units(host: Host, units: Mapping[str, str]) -> None:
    """Write services named ``bench-NAME``, each with a timer that will not fire, and the slice.

    As with plancton.timer: a slice that is not started makes each start of the service dearer.
    """
    for name, text in units.items():
        host.write(f"/run/systemd/system/bench-{name}.service", text)
        host.write(f"/run/systemd/system/bench-{name}.timer", "[Timer]\nOnActiveSec=1d\n")
    timers = " ".join(f"bench-{name}.timer" for name in units)
    host.run(f"systemctl daemon-reload; systemctl start plancton.slice {timers}")


def start_seconds(host: Host, units: Sequence[str]) -> dict[str, float]:
    """Return the manager's CPU seconds for one start of each unit, the least of some rounds.

    That is process 1 and its children that ended: what it runs before and as the service. The
    least, because what the neighbours do to the caches only ever adds.
    """
    for unit in units:
        host.run(f"systemctl start bench-{unit}")
    taken: dict[str, list[float]] = {unit: [] for unit in units}
    for _ in range(ROUNDS):
        for unit in units:
            before = manager_seconds(host)
            host.run(f"for i in $(seq {STARTS}); do systemctl start bench-{unit}; done")
            taken[unit].append((manager_seconds(host) - before) / STARTS)
    return {unit: min(values) for unit, values in taken.items()}


def manager_seconds(host: Host) -> float:
    """Return utime + stime + cutime + cstime of process 1, proc(5)."""
    fields = host.run("cat /proc/1/stat").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / 100


def start_pilots(host: Host, number: int) -> None:
    """Start so many idle pilots, past Plancton."""
    host.run(
        f"seq {number} | xargs -P 8 -I N docker run -d --network none --cgroup-parent "
        f"/plancton.slice --label io.plancton.type=bench --memory 16m {PILOT_IMAGE} sleep 3600",
        seconds=300,
    )


def say(what: str, ratio: float, limit: float) -> int:
    """Print a ratio beside its limit; return 1 if it is missed."""
    verdict = "ok" if ratio <= limit else "MISSED"
    print(f"{what}: {ratio:.2f} (limit {limit:g}) {verdict}")
    return 0 if ratio <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
