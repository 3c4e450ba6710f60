"""The pilots' slice in the kernel's cgroup tree: what it used, and its promise to the owner.

A slice is looked for where the engine's two cgroup drivers put it: systemd nests by name
(``plancton.slice/plancton-demo.slice``, systemd.slice(5)), cgroupfs does not. Both are looked at
and their figures added, since on one host the first may be systemd's empty one and the second
the engine's. Trees with cgroup v2, with v1, and with v1 beside v2 (``unified/``) are understood.

A slice that is not there is None, not 0: it may be that no pilot has ever run here, or that the
pilots of a remote or rootless engine are accounted for elsewhere.
"""

import os

# On a hybrid host the pilots are also in the v2 tree, so only the first tree that has them counts.
# v2's cpu.stat exists whether or not the cpu controller is enabled (cgroup-v2.rst, "CPU").
_USAGE = (
    ("", "cpu.stat"),
    ("cpuacct", "cpuacct.usage"),
    ("cpu,cpuacct", "cpuacct.usage"),
    ("cpuacct,cpu", "cpuacct.usage"),
    ("unified", "cpu.stat"),
)
_MEMORY = (
    ("", "memory.current"),
    ("memory", "memory.usage_in_bytes"),
    ("unified", "memory.current"),
)
_V2 = ("", "unified")
_V1_CPU = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def find_usage(slice_name: str, root: str = "/") -> tuple[str, ...]:
    """Find the files that count the slice's CPU time; none if the slice is not there."""
    return find_files(slice_paths(slice_name), root, _USAGE)


def read_usage(paths: tuple[str, ...]) -> float | None:
    """Read the CPU seconds used so far by the slice and all below it, past members included.

    ``usage_usec`` of cgroup v2's cpu.stat (cgroup-v2.rst) or the nanoseconds of v1's cpuacct.usage
    (cgroup-v1/cpuacct.rst). None without files, or if one has gone or makes no sense.
    """
    seconds = 0.0
    for path in paths:
        text = _read(path)
        if path.endswith("cpuacct.usage"):
            used, unit = _number(text), 1e-9
        else:
            used, unit = _field(text, "usage_usec"), 1e-6
        if used is None:
            return None
        seconds += used * unit
    return seconds if paths else None


def read_memory(slice_name: str, root: str = "/") -> int | None:
    """Read the bytes of memory the slice holds that the kernel could not give back at once.

    That is memory.current (v1: memory.usage_in_bytes) less the inactive page cache, which
    MemAvailable counts as free too (cgroup-v2.rst, "Memory"; proc(5)). None where it is not there.
    """
    held = 0
    paths = find_files(slice_paths(slice_name), root, _MEMORY)
    for path in paths:
        used = read_number(path)
        # v1 keeps apart what the group itself holds, "inactive_file", and the whole subtree.
        cache_key = "inactive_file" if path.endswith("current") else "total_inactive_file"
        cache = _field(_read(os.path.join(os.path.dirname(path), "memory.stat")), cache_key)
        if used is None or cache is None:
            return None
        held += max(0, used - cache)
    return held if paths else None


def read_number(path: str) -> int | None:
    """Read a file that holds one number; None if it cannot be read, or holds something else."""
    return _number(_read(path))


def list_members(slice_name: str, root: str = "/") -> tuple[str, ...]:
    """List the groups right below the slice, as paths that ``find_usage`` and others take."""
    base = os.path.join(root, "sys/fs/cgroup")
    for tree, _ in _USAGE:
        found: list[str] = []
        for path in slice_paths(slice_name):
            try:
                with os.scandir(os.path.join(base, tree, path)) as entries:
                    found += [f"{path}/{entry.name}" for entry in entries if entry.is_dir()]
            except OSError:
                continue
        if found:
            return tuple(found)
    return ()


def weigh_slice(slice_name: str, root: str = "/") -> bool:
    """Give the slice the lowest CPU and I/O weight, and say whether its CPU weight is the lowest.

    Where systemd runs, the slice unit has the weights and this only looks (False also while the
    slice does not exist). Elsewhere it creates the slice, and sets cpu.idle (cgroup v2 before
    Linux 5.15: cpu.weight 1; v1: cpu.shares 2) and an I/O weight of 1 (v1's blkio.weight: 10).
    Without a weight of the slice itself each pilot weighs little among pilots, and all of them
    together as much as the owner. Writes only what differs; raises nothing.
    """
    base = os.path.join(root, "sys/fs/cgroup")
    may_write = not os.access(os.path.join(root, "run/systemd/system"), os.F_OK)
    for tree in _V2:
        top = os.path.join(base, tree)
        controllers = _words(os.path.join(top, "cgroup.controllers"))
        if "cpu" in controllers:
            folders = _slice_folders(slice_name, top)
            if may_write and not os.access(os.path.join(folders[0], "cpu.weight"), os.F_OK):
                _enable(top, folders[0], controllers)
            lowest = [_weigh_v2(folder, may_write) for folder in folders]
            return all(lowest)
    for tree in _V1_CPU:
        top = os.path.join(base, tree)
        if os.access(os.path.join(top, "cpu.shares"), os.F_OK):
            for folder in _slice_folders(slice_name, os.path.join(base, "blkio")):
                _weigh_blkio(folder, may_write)
            lowest = [_weigh_v1(folder, may_write) for folder in _slice_folders(slice_name, top)]
            return all(lowest)
    return False


def lift_slice(slice_name: str, root: str = "/") -> None:
    """Let the slice weigh as much as any other for the moment of a pause; cgroup v1 only.

    A frozen v1 group is one whose tasks have each run far enough to stop. Tasks of the lowest
    weight beside a busy owner get no CPU to do so, and runc gives up after a quarter of a second.
    Only where the tick manages the slice; ``weigh_slice`` takes it back. Raises nothing.
    """
    if os.access(os.path.join(root, "run/systemd/system"), os.F_OK):
        return
    for tree in _V1_CPU:
        top = os.path.join(root, "sys/fs/cgroup", tree)
        if os.access(os.path.join(top, "cpu.shares"), os.F_OK):
            for folder in _slice_folders(slice_name, top):
                _settle(os.path.join(folder, "cpu.shares"), "1024", may_write=True)
            return


def _weigh_v2(folder: str, may_write: bool) -> bool:
    """Weigh one folder. An idle group refuses cpu.weight, so cpu.idle is looked at first."""
    for name in ("io.weight", "io.bfq.weight"):
        _settle(os.path.join(folder, name), "default 1", may_write)
    return _settle(os.path.join(folder, "cpu.idle"), "1", may_write) or _settle(
        os.path.join(folder, "cpu.weight"), "1", may_write
    )


def _weigh_v1(folder: str, may_write: bool) -> bool:
    """Weigh one folder of the cpu controller: an idle group refuses cpu.shares."""
    if may_write:
        _make(folder)
    return _settle(os.path.join(folder, "cpu.idle"), "1", False) or _settle(
        os.path.join(folder, "cpu.shares"), "2", may_write
    )


def _weigh_blkio(folder: str, may_write: bool) -> None:
    """Weigh one folder of the blkio controller: 10 is the least that blkio.weight takes."""
    if may_write and os.access(os.path.dirname(folder), os.F_OK):
        _make(folder)
    _settle(os.path.join(folder, "blkio.weight"), "10", may_write)
    _settle(os.path.join(folder, "blkio.bfq.weight"), "1", may_write)


def find_files(
    groups: tuple[str, ...], root: str, places: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    """Find a file of these groups in the first tree that has one of them.

    ``places`` are pairs of a tree below /sys/fs/cgroup and the name the file has in it.
    """
    base = os.path.join(root, "sys/fs/cgroup")
    for tree, name in places:
        paths = tuple(os.path.join(base, tree, each, name) for each in groups)
        found = tuple(path for path in paths if os.access(path, os.R_OK))
        if found:
            return found
    return ()


def slice_paths(slice_name: str) -> tuple[str, ...]:
    """Name the folders a slice can be in, below the top of a tree: nested, then flat.

    A path is the folder itself.
    """
    if "/" in slice_name or "-" not in slice_name or not slice_name.endswith(".slice"):
        return (slice_name,)
    parts = slice_name.removesuffix(".slice").split("-")
    nested = ["-".join(parts[: depth + 1]) + ".slice" for depth in range(len(parts))]
    return "/".join(nested), slice_name


def _slice_folders(slice_name: str, top: str) -> tuple[str, ...]:
    """List the slice's folders that exist, or else the one a cgroupfs driver would use."""
    folders = tuple(os.path.join(top, path) for path in slice_paths(slice_name))
    return tuple(each for each in folders if os.access(each, os.F_OK)) or folders[-1:]


def _enable(top: str, folder: str, controllers: list[str]) -> None:
    """Create a v2 folder, with cpu and io enabled on the way: else it has no weight to set."""
    parent = top
    for part in os.path.relpath(folder, top).split("/"):
        control = os.path.join(parent, "cgroup.subtree_control")
        for controller in ("cpu", "io"):
            if controller in controllers and controller not in _words(control):
                _write(control, f"+{controller}")
        parent = os.path.join(parent, part)
        _make(parent)


def _settle(path: str, value: str, may_write: bool) -> bool:
    """Write the value unless it is there already, and say whether it is there now."""
    text = _read(path)
    if text is None:
        return False
    if text.split("\n", 1)[0] == value:
        return True
    if not may_write or not _write(path, value):
        return False
    text = _read(path)
    return text is not None and text.split("\n", 1)[0] == value


def _make(folder: str) -> None:
    try:
        if not os.access(folder, os.F_OK):
            os.mkdir(folder)
    except OSError:
        pass  # The caller finds no weight there, and says so.


def _read(path: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, 65536).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _write(path: str, value: str) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _words(path: str) -> list[str]:
    return (_read(path) or "").split()


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _field(text: str | None, key: str) -> int | None:
    """Return the number beside a key of a flat-keyed file (cgroup-v2.rst, "Format")."""
    for line in (text or "").split("\n"):
        name, _, value = line.partition(" ")
        if name == key:
            return _number(value)
    return None
