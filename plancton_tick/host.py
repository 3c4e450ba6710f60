"""The host's kernel files as a ``HostLoad``: busy cores over a window, memory, free disk space.

The window is opened by ``start_sample`` and closed by ``finish_sample``, so that a tick can list
the engine's containers while it runs. ``root`` is ``/``, or a folder with a copy of /proc and
/sys. Only ``os`` and ``time`` are imported: this runs at every quiet tick.
"""

import os
import time
from collections.abc import Callable, Set
from typing import NamedTuple

from plancton_tick.cgroup import find_usage, read_memory, read_usage
from plancton_tick.errors import HostError
from plancton_tick.model import HostClock, HostLoad

# user nice system idle iowait irq softirq steal guest guest_nice, in this order (proc(5); show_stat
# of fs/proc/stat.c). user and nice contain guest and guest_nice already (account_guest_time of
# kernel/sched/cputime.c); a CPU that is idle or waits for I/O can be had.
_BUSY = (0, 1, 2, 5, 6, 7)
_USER_HZ = os.sysconf("SC_CLK_TCK")
_MEMINFO = ("MemTotal", "MemAvailable", "SwapTotal")


class Sample(NamedTuple):
    """One reading: the busy ticks of each online CPU, and the pilots' and our own CPU seconds.

    The pilots' seconds are None where their slice is not there or cannot be read.
    """

    root: str
    slice_name: str
    usage_paths: tuple[str, ...]
    at: float
    busy_ticks: dict[int, tuple[int, ...]]
    pilots_seconds: float | None
    own_seconds: float


def own_cpu_seconds() -> float:
    """Return the CPU time of this process, all its threads and the children it has waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def start_sample(
    slice_name: str,
    root: str = "/",
    *,
    clock: Callable[[], float] = time.monotonic,
    own_cpu: Callable[[], float] = own_cpu_seconds,
) -> Sample:
    """Open the window. ``slice_name`` is the pilots' slice, as in ``plancton.slice``.

    Raises HostError if /proc/stat cannot be read or makes no sense.
    """
    return _read_sample(slice_name, root, find_usage(slice_name, root), clock, own_cpu)


def finish_sample(
    first: Sample,
    sample_seconds: float,
    data_root: str | None,
    *,
    affinity: Set[int] | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    own_cpu: Callable[[], float] = own_cpu_seconds,
) -> HostLoad:
    """Sleep what is left of the window, close it, and return the load over it.

    ``data_root`` is the folder where the engine keeps its data. A window that has lasted longer
    than ``sample_seconds`` counts as long as it was. Only the CPUs count that were online at both
    ends and that this process may use (``affinity``, its own unless given). Steal is busy: another
    guest of the machine's hypervisor had that time, so it is not ours. The pilots' share is None if
    their slice was not there at both ends. Raises HostError if /proc/stat or /proc/meminfo cannot
    be read or makes no sense.
    """
    rest_seconds = first.at + sample_seconds - clock()
    if rest_seconds > 0:
        sleep(rest_seconds)
    last = _read_sample(first.slice_name, first.root, first.usage_paths, clock, own_cpu)
    window_seconds = last.at - first.at
    if window_seconds <= 0:
        raise HostError(f"monotonic clock: expected to advance, found {window_seconds} s")
    allowed = os.sched_getaffinity(0) if affinity is None else affinity
    cpus = first.busy_ticks.keys() & last.busy_ticks.keys() & allowed
    if not cpus:
        raise HostError(
            f"{_stat_path(first.root)}: expected a CPU that this process may use "
            f"({_numbers(allowed)}), found {_numbers(last.busy_ticks.keys())}"
        )
    # A CPU that comes back online, and steal that is booked late, can jump by more than the window.
    busy_seconds = sum(
        min(window_seconds, _busy_seconds(first.busy_ticks[cpu], last.busy_ticks[cpu]))
        for cpu in cpus
    )
    busy_seconds -= max(0.0, last.own_seconds - first.own_seconds)
    memory_total_bytes, memory_available_bytes, swap_total_bytes = _read_meminfo(first.root)
    return HostLoad(
        ncpus=len(cpus),
        busy_cores=min(float(len(cpus)), max(0.0, busy_seconds / window_seconds)),
        pilots_cores=_pilots_cores(first, last, window_seconds),
        memory_total_bytes=memory_total_bytes,
        memory_available_bytes=memory_available_bytes,
        swap_total_bytes=swap_total_bytes,
        pilots_memory_bytes=read_memory(first.slice_name, first.root),
        disk_free_bytes=_read_disk_free(data_root, first.root),
        window_seconds=window_seconds,
    )


def read_clock(root: str = "/", wall: Callable[[], float] = time.time) -> HostClock:
    """Read which boot this is and the wall clock less the seconds since boot, sleep included.

    The boot id is random at each boot (random(4)). Raises HostError if it cannot be read.
    """
    path = os.path.join(root, "proc/sys/kernel/random/boot_id")
    boot_id = _read(path).strip()
    if not boot_id:
        raise HostError(f"{path}: expected a boot id, found nothing")
    return HostClock(boot_id, wall() - time.clock_gettime(time.CLOCK_BOOTTIME))


def _read_sample(
    slice_name: str,
    root: str,
    usage_paths: tuple[str, ...],
    clock: Callable[[], float],
    own_cpu: Callable[[], float],
) -> Sample:
    return Sample(
        root, slice_name, usage_paths, clock(), _read_stat(root), read_usage(usage_paths), own_cpu()
    )


def _read_stat(root: str) -> dict[int, tuple[int, ...]]:
    """Read the busy ticks of each online CPU; /proc/stat leaves out those that are offline."""
    path = _stat_path(root)
    busy_ticks = {}
    # The first line is the sum over all CPUs, and has no number behind "cpu".
    for line in _read(path, until="\nintr ").split("\n"):
        if not line.startswith("cpu"):
            break
        fields = line.split()
        if fields[0] == "cpu":
            continue
        if len(fields) < 9 or not (fields[0][3:] + "".join(fields[1:9])).isdecimal():
            raise HostError(f"{path}: expected 'cpuN' and 8 counters, found {line[:80]!r}")
        busy_ticks[int(fields[0][3:])] = tuple(int(fields[1 + kind]) for kind in _BUSY)
    if not busy_ticks:
        raise HostError(f"{path}: expected lines 'cpuN' with 8 counters, found none")
    return busy_ticks


def _busy_seconds(first: tuple[int, ...], last: tuple[int, ...]) -> float:
    """Return the busy seconds between two readings of a CPU; its counters can go backwards."""
    pairs = zip(first, last, strict=True)
    return sum(max(0, after - before) for before, after in pairs) / _USER_HZ


def _pilots_cores(first: Sample, last: Sample, window_seconds: float) -> float | None:
    """Return the cores the pilots used, or None if the slice came, went or was made anew."""
    if first.pilots_seconds is None or last.pilots_seconds is None:
        return None
    used_seconds = last.pilots_seconds - first.pilots_seconds
    return used_seconds / window_seconds if used_seconds >= 0 else None


def _read_meminfo(root: str) -> tuple[int, ...]:
    """Read MemTotal, MemAvailable and SwapTotal, in bytes (proc(5); "kB" there means 1024)."""
    path = os.path.join(root, "proc/meminfo")
    found = {}
    for line in _read(path).split("\n"):
        key, _, value = line.partition(":")
        if key in _MEMINFO:
            number = value.strip().removesuffix(" kB")
            if not number.isdecimal():
                raise HostError(f"{path}: expected '{key}: N kB', found {line[:80]!r}")
            found[key] = int(number) * 1024
    for key in _MEMINFO:
        if key not in found:
            raise HostError(f"{path}: expected a line '{key}: N kB', found none")
    if found["MemTotal"] == 0:
        raise HostError(f"{path}: expected some memory, found 'MemTotal: 0 kB'")
    return tuple(found[key] for key in _MEMINFO)


def _read_disk_free(data_root: str | None, root: str) -> int | None:
    """Return the bytes an ordinary user may still write there; statvfs(3) needs no right to read.

    None where the folder is not to be seen, as with an engine on another host.
    """
    if data_root is None:
        return None
    try:
        disk = os.statvfs(os.path.join(root, data_root.lstrip("/")))
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _stat_path(root: str) -> str:
    return os.path.join(root, "proc/stat")


def _numbers(cpus: Set[int]) -> str:
    return ",".join(str(cpu) for cpu in sorted(cpus)) or "none"


def _read(path: str, until: str | None = None) -> str:
    """Read a kernel file, or as much of it as it takes to see ``until``.

    The "intr" line of /proc/stat has a number for each interrupt, thousands on a large host.
    """
    text = ""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while chunk := os.read(descriptor, 65536):
                text += chunk.decode("utf-8", "replace")
                if until is not None and until in text:
                    break
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HostError(f"{path}: expected a readable file, found {error.strerror}") from error
    return text
