"""What a pilot used of CPU and memory, once it is over.

A container's own control group goes with it, before any tick can look. So each slot has a group
that stays, around those of its pilots, one after the other: what its pilots had used before is
noted in a label at a pilot's birth, and when it has exited the difference is its own. The slot's
name is held until the pilot is removed, so nobody else can have used anything in between.
"""

import os

from plancton_tick.cgroup import find_files, read_number, read_usage, slice_paths
from plancton_tick.model import Pilot, SlotUsage

# As in cgroup.py, but with the tree that systemd keeps first: on a hybrid host it may clear away
# the group of an empty slot from the others, and with it what was counted.
_USAGE = (
    ("", "cpu.stat"),
    ("unified", "cpu.stat"),
    ("cpuacct", "cpuacct.usage"),
    ("cpu,cpuacct", "cpuacct.usage"),
    ("cpuacct,cpu", "cpuacct.usage"),
)
# cgroup-v2.rst, "Memory", since Linux 5.19; cgroup-v1/memory.rst.
_PEAK = (("", "memory.peak"), ("memory", "memory.max_usage_in_bytes"))
# A quota is kept to over periods of 100 ms, and a process may begin before the engine says so.
QUOTA_SLACK, QUOTA_SLACK_SECONDS = 1.1, 1.0


def slot_group(instance: str, slot: int) -> str:
    """Name the group of a slot, as a slice: systemd nests it in the instance's own by its name."""
    return f"{instance}-slot{slot}.slice"


def read_slot(instance: str, slot: int, root: str = "/") -> SlotUsage:
    """Read what the pilots of a slot have used so far: nothing yet, if there were none.

    Raises nothing: what cannot be read is None.
    """
    name = slot_group(instance, slot)
    groups = tuple(f"{parent}/{name}" for parent in slice_paths(f"{instance}.slice"))
    usage, peaks = find_files(groups, root, _USAGE), find_files(groups, root, _PEAK)
    return SlotUsage(
        cpu_seconds=read_usage(usage) if usage else 0.0,
        peak_bytes=max((read_number(path) or 0 for path in peaks), default=0),
    )


def used_by(pilot: Pilot, ran_seconds: float | None, now: SlotUsage) -> SlotUsage:
    """Say what an exited pilot used itself. Pure.

    Memory is told only of a pilot that held more than all before it in its slot: the kernel keeps
    one mark a group. CPU time that its quota did not allow is none of it: the group was made anew.
    """
    before = pilot.used_before
    cpu = peak = None
    if before.cpu_seconds is not None and now.cpu_seconds is not None and ran_seconds is not None:
        cpu = now.cpu_seconds - before.cpu_seconds
        at_most = pilot.cpus * ran_seconds * QUOTA_SLACK + QUOTA_SLACK_SECONDS
        cpu = cpu if 0 < cpu <= at_most else None
    if before.peak_bytes is not None and now.peak_bytes is not None:
        peak = now.peak_bytes if now.peak_bytes > before.peak_bytes else None
    return SlotUsage(cpu, peak)


def parent_of(instance: str, slot: int, is_systemd: bool) -> str:
    """Write the group of a slot as the engine's driver of control groups reads it.

    With cgroupfs it is a path from the root; a relative one would lie below the engine's own group.
    """
    name = slot_group(instance, slot)
    return name if is_systemd else os.path.join("/", f"{instance}.slice", name)
