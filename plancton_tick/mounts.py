"""Whether a pilot's mounts can work on this host, before the engine says that they cannot.

A source that is missing is an error of every engine. A mount that is to propagate needs a source
on a shared mount, for ``slave`` and ``rslave`` a slave will do, and what is around the engine's own
data must propagate: Docker starts no container otherwise (moby's daemon/oci_linux.go,
``ensureShared`` and ``ensureSharedOrSlave``; daemon/volumes_linux.go, ``validateBindDaemonRoot``).
systemd makes all mounts shared at boot; in a container, under WSL and without systemd they are
private.

Nothing is mounted by looking: stat(2) leaves an automount point alone. Only ``os`` is imported.
"""

import os
from typing import NamedTuple

from plancton_tick.model import Mount, PilotType

_SLAVE = ("slave", "rslave")
_SHARED = ("shared", "rshared")
_AROUND_DATA = ("rslave", "rshared")


class MountPoint(NamedTuple):
    """Where something is mounted, and whether mounts below it propagate from or to it."""

    path: str
    is_shared: bool
    is_slave: bool


class MountFault(NamedTuple):
    """Why a mount cannot work, and what to do about it."""

    mount: Mount
    message: str
    hint: str


def find_mount_faults(
    pilot_type: PilotType, root: str = "/", *, data_root: str | None = None
) -> tuple[str, ...]:
    """Say what keeps the engine from mounting what this type asks for, a line for each mount.

    For an engine on this host only. ``root`` is where /proc is looked for, ``data_root`` the folder
    of the engine's data (see `check_mount`). Raises nothing: what cannot be seen is left to the
    engine.
    """
    if not pilot_type.mounts:
        return ()
    points = read_mount_points(root)
    faults = (check_mount(mount, points, data_root) for mount in pilot_type.mounts)
    return tuple(f"{fault.message}; {fault.hint}" for fault in faults if fault is not None)


def check_mount(
    mount: Mount, points: tuple[MountPoint, ...], data_root: str | None = None
) -> MountFault | None:
    """Check one mount against what is mounted on the host.

    ``data_root`` is the folder of the engine's data. What is above or below it must propagate, or
    Docker refuses it: a private copy would hold on to mounts of other containers.
    """
    try:
        os.stat(mount.source)
    except (FileNotFoundError, NotADirectoryError):
        message = f"{mount.source}: expected a file or folder on this host, found none"
        return MountFault(mount, message, "mount or create it, or take it out of mounts")
    except (OSError, ValueError):
        # Others may see it: the engine is root, and this is not.
        return None
    if _holds(mount.source, data_root) and mount.propagation not in _AROUND_DATA:
        message = (
            f"{mount.source}: expected rslave or rshared, because the engine's data is in "
            f"{data_root}, found {mount.propagation}"
        )
        return MountFault(mount, message, "mount something smaller, or say rslave")
    point = find_mount_point(os.path.realpath(mount.source), points)
    if point is None or point.is_shared:
        return None
    if mount.propagation in _SLAVE and point.is_slave:
        return None
    if mount.propagation not in (*_SLAVE, *_SHARED):
        return None
    kind = "a slave" if point.is_slave else "private"
    where = "" if point.path == mount.source else f"is on {point.path}, which "
    verb = "is" if where else "is mounted"
    message = (
        f"{mount.source}: expected a shared mount for {mount.propagation}, "
        f"found that it {where}{verb} {kind}"
    )
    hint = (
        f"`mount --make-shared {point.path}` until the next boot, or "
        f"rprivate if nothing is mounted below it later"
    )
    return MountFault(mount, message, hint)


def read_mount_points(root: str = "/") -> tuple[MountPoint, ...]:
    """Read what is mounted, as this process sees it; nothing if that cannot be read."""
    try:
        path = os.path.join(root, "proc/self/mountinfo")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return parse_mount_points(file.read())
    except OSError:
        return ()


def parse_mount_points(text: str) -> tuple[MountPoint, ...]:
    """Read the lines of /proc/self/mountinfo, see proc(5).

    The mount point is the fifth field; from the seventh to a lone ``-`` stand ``shared:N`` and
    ``master:N``, if any.
    """
    points = []
    for line in text.split("\n"):
        fields = line.split(" ")
        if len(fields) < 7 or "-" not in fields[6:]:
            continue
        optional = fields[6 : fields.index("-", 6)]
        points.append(
            MountPoint(
                path=_unescape(fields[4]),
                is_shared=any(field.startswith("shared:") for field in optional),
                is_slave=any(field.startswith("master:") for field in optional),
            )
        )
    return tuple(points)


def find_mount_point(path: str, points: tuple[MountPoint, ...]) -> MountPoint | None:
    """Find the mount point that a path without symbolic links is on.

    Of several at one place Docker takes the first, so this does.
    """
    above = [point for point in points if _is_below(path, point.path)]
    return max(above, key=lambda point: len(point.path), default=None)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _holds(source: str, data_root: str | None) -> bool:
    return data_root is not None and (source.startswith(data_root) or data_root.startswith(source))


def _unescape(field: str) -> str:
    """Undo the kernel's octal escapes of blank, tab, newline and backslash."""
    for escaped, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, char)
    return field
