"""Inside the virtual machine: how much the owner gets, alone and beside pilots, in turns.

Two processes that count as fast as they can, in the cgroup this program was started in. In every
other round the pilots' slice is frozen, which leaves the owner alone. For each round prints the
wall seconds, the CPU seconds that the kernel booked on the cgroup (usage_usec of cgroup v2's
cpu.stat), those it booked on the pilots and on all there is, and how far the two have counted.
"""

import glob
import json
import mmap
import os
import signal
import sys
import time

TOP = "/sys/fs/cgroup"
PILOTS = f"{TOP}/plancton.slice"
SETTLE_SECONDS = 0.5


def main(rounds: int, seconds: float) -> None:
    """Print a list of rounds as JSON: is_alone, wall, cpu, pilots, all, count."""
    with open("/proc/self/cgroup") as file:
        own = TOP + file.read().strip().rpartition(":")[2]
    cpus = os.cpu_count() or 1
    counters = memoryview(mmap.mmap(-1, 8 * cpus)).cast("q")
    children = [fork(counters, number) for number in range(cpus)]
    told = []
    try:
        for number in range(2 * rounds):
            is_alone = number % 2 == 0
            freeze(is_alone)
            time.sleep(SETTLE_SECONDS)
            before = read(own, counters)
            time.sleep(seconds)
            after = read(own, counters)
            told.append({"is_alone": is_alone, **{key: after[key] - before[key] for key in after}})
    finally:
        freeze(False)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    print(json.dumps(told))


def fork(counters: memoryview, number: int) -> int:
    """Start one that counts, and return its pid."""
    child = os.fork()
    if child == 0:
        count = 0
        while True:
            count += 1
            counters[number] = count
    return child


def freeze(is_frozen: bool) -> None:
    """Stop or thaw all pilots, and wait until the kernel says so."""
    with open(f"{PILOTS}/cgroup.freeze", "w") as file:
        file.write(str(int(is_frozen)))
    while True:
        with open(f"{PILOTS}/cgroup.events") as file:
            if f"frozen {int(is_frozen)}" in file.read():
                return
        time.sleep(0.05)


def read(group: str, counters: memoryview) -> dict[str, float]:
    """Return the time, the CPU seconds of the group, the pilots and all, and the counters' sum."""
    # Not the top's own file: that one is made from timer ticks, which an emulated CPU loses.
    all_seconds = sum(cpu_seconds(path) for path in glob.glob(f"{TOP}/*/"))
    used = {"cpu": cpu_seconds(group), "pilots": cpu_seconds(PILOTS), "all": all_seconds}
    return {"wall": time.monotonic(), "count": sum(counters), **used}


def cpu_seconds(group: str) -> float:
    """Return what the kernel has booked on a group so far."""
    with open(f"{group}/cpu.stat") as file:
        usage = next(line.split()[1] for line in file if line.startswith("usage_usec"))
    return int(usage) / 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
