"""Inside the test host: keep /proc/stat to what this host uses, as a machine of its own would.

A container's /proc/stat is the machine's, neighbours and all: their load would pass for the
owner's. What the host itself used, CPU by CPU, is counted by its control group. And an owner who
really worked would get of a busy machine what the neighbours leave: the tests' owner has a file
that says how many cores they use.
"""

import os
import subprocess
import time

USAGE = "/sys/fs/cgroup/cpuacct/cpuacct.usage_percpu"
COPY = "/run/own-stat"
OWNER = "/run/owner-cores"
STEP_SECONDS = 0.05
HZ = os.sysconf("SC_CLK_TCK")


def lines(nanoseconds: list[int], now: float) -> str:
    """Return the file: all CPU time as user time, the rest of each CPU as idle, in fixed width."""
    rows = []
    for used in nanoseconds:
        busy = round(used / 1e9 * HZ)
        rows.append((busy, max(0, round(now * HZ) - busy)))
    text = "".join(
        f"{name} {busy:012} 0 0 {idle:012} 0 0 0 0 0 0\n"
        for name, (busy, idle) in [
            ("cpu ", (sum(row[0] for row in rows), sum(row[1] for row in rows))),
            *((f"cpu{number}", row) for number, row in enumerate(rows)),
        ]
    )
    return f"{text}intr 0\nctxt 0\nbtime {round(time.time() - now)}\nprocesses 1\n"


def owner_cores() -> float:
    """Return how many cores the tests' owner uses now."""
    try:
        with open(OWNER) as file:
            return float(file.read() or 0)
    except FileNotFoundError:
        return 0.0


def main() -> None:
    """Write the copy once, put it over the kernel's file, and keep it up."""
    started = time.monotonic()
    # Rewritten in place, by one call and at one length: a bind mount shows the file it was made of.
    descriptor = os.open(COPY, os.O_RDWR | os.O_CREAT, 0o644)
    is_mounted = False
    owner_seconds, before = 0.0, started
    while True:
        now = time.monotonic()
        owner_seconds += owner_cores() * (now - before)
        before = now
        with open(USAGE) as file:
            used = [int(number) for number in file.read().split()]
        share = round(owner_seconds / len(used) * 1e9)
        used = [nanoseconds + share for nanoseconds in used]
        os.pwrite(descriptor, lines(used, 1000 + now - started).encode(), 0)
        if not is_mounted:
            subprocess.run(["mount", "--bind", COPY, "/proc/stat"], check=True)
            subprocess.run(["systemd-notify", "--ready"], check=True)
            is_mounted = True
        time.sleep(STEP_SECONDS)


if __name__ == "__main__":
    main()
