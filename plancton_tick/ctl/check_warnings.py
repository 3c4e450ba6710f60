"""What is legal in a configuration, but unlikely meant: one small rule for each.

Each rule yields warnings with the key they are about, what is so, and what to do now. Those of
keys read nothing but their arguments; those of files, mounts and devices look at this host.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from plancton_tick.container import JOURNALD
from plancton_tick.ctl.check_engine import EngineFacts, Image
from plancton_tick.ctl.check_fit import Fit, TypeFit, as_idle
from plancton_tick.model import Config, HostLoad, PilotType, Veto
from plancton_tick.mounts import check_mount, read_mount_points
from plancton_tick.spawning import read_cap
from plancton_tick.units import format_duration, format_size

SERVICE_USER = "plancton"
# /proc/stat counts in hundredths of a second: below this a core is seen in steps of 5 % or more.
SHORT_SAMPLE_SECONDS = 0.2
LONG_SAMPLE_SECONDS = 10.0
SMALL_TOLERANCE = 0.1
SHORT_BACKOFF_SECONDS = 10.0
SHORT_GRACE_SECONDS = 1.0
_ENGINE_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock")


class Warned(NamedTuple):
    """A warning: its name for programs, the key, what is so, and what to do now."""

    name: str
    key: str
    message: str
    hint: str


def warn_of_config(config: Config, host: HostLoad) -> Iterator[Warned]:
    """Look at host, spawn and reclaim. Pure."""
    cap, why = read_cap(config, host)
    if why is not None:
        message = f"has no value on this host ({why}), so no pilot is started"
        yield Warned("no-pilots", "host.max_pilots", message, "write another expression")
    elif cap == 0:
        message = "is 0 on this host, so no pilot is started"
        yield Warned("no-pilots", "host.max_pilots", message, "to stop for a while, drain instead")
    if config.spawn.per_tick == 0:
        message = "is 0, so no pilot is started"
        yield Warned("no-pilots", "spawn.per_tick", message, "to stop for a while, drain instead")
    sample = config.host.sample_seconds
    if sample < SHORT_SAMPLE_SECONDS:
        steps = 1 / os.sysconf("SC_CLK_TCK") / sample
        message = f"is so short that the load of a core is seen in steps of {steps:.0%}"
        yield Warned("sample-short", "host.sample", message, "1s is the default")
    elif sample > LONG_SAMPLE_SECONDS:
        message = f"makes every tick last {format_duration(sample)}, and the owner wait for it"
        yield Warned("sample-long", "host.sample", message, "1s is the default")
    tolerance = config.reclaim.tolerance_cores
    if tolerance < SMALL_TOLERANCE:
        message = f"is {tolerance:g}: the least noise of the owner makes pilots give way"
        yield Warned("tolerance-small", "reclaim.tolerance", message, "0.5 is the default")
    elif tolerance >= host.ncpus:
        message = f"is {tolerance:g} on {host.ncpus} cores: pilots never give cores back"
        yield Warned("tolerance-large", "reclaim.tolerance", message, "0.5 is the default")


def warn_of_fit(config: Config, host: HostLoad, fit: Fit) -> Iterator[Warned]:
    """Look for types that get no place. Pure."""
    if config.spawn.per_tick == 0:
        return
    host = as_idle(host)
    for each in fit.types:
        key = f"pilots[{each.type.name}]"
        # Where max_pilots is 0 that is said once, and of no type.
        own = [veto for veto in each.on_empty.vetoes if veto.name != "cap"]
        if each.type.max_live == 0:
            message = "is 0, so this type is off"
            yield Warned("type-off", f"{key}.max", message, "leave it so, or take the type out")
        elif each.type.share == 0 and not each.on_empty.pilots:
            message = "is 0, so this type is off"
            yield Warned("type-off", f"{key}.share", message, "leave it so, or take the type out")
        elif not each.on_empty.pilots and own:
            veto = own[0]
            empty = host._replace(memory_available_bytes=host.memory_total_bytes)
            message = f"can never fit on this host: {_reason(veto, each.type, config, empty)}"
            yield Warned("never-fits", f"{key}.{_key_of(veto.name)}", message, _make_room(each))
        elif each.on_empty.pilots and not each.alone.pilots:
            reasons = (_reason(veto, each.type, config, host) for veto in each.alone.vetoes)
            message = f"does not fit now, even with the owner idle: {'; '.join(reasons)}"
            yield Warned("no-room-now", key, message, "free some, or ask for less")
        elif each.alone.pilots and not each.together:
            message = "gets no place beside the other types, which fill the host first"
            yield Warned("crowded-out", key, message, "cap the others with max, or make it smaller")


def warn_of_type(pilot_type: PilotType, host: HostLoad) -> Iterator[Warned]:
    """Look at the values of one type. Pure."""
    key = f"pilots[{pilot_type.name}]"
    lifetime, fizzle = pilot_type.lifetime_seconds, pilot_type.fizzle_seconds
    if lifetime <= fizzle:
        message = (
            f"is {format_duration(lifetime)}, not above fizzle ({format_duration(fizzle)}): every "
            "pilot that ends well counts as one without work"
        )
        yield Warned("lifetime-short", f"{key}.lifetime", message, "make fizzle shorter")
    if fizzle == 0:
        message = "is 0: a pilot that finds nothing to do and ends with 0 is replaced at every tick"
        hint = "30s is the default; or let the pilot end with 75 when it finds nothing"
        yield Warned("fizzle-zero", f"{key}.fizzle", message, hint)
    if pilot_type.backoff_max_seconds < SHORT_BACKOFF_SECONDS:
        longest = format_duration(pilot_type.backoff_max_seconds)
        message = f"is {longest}: a broken pilot is tried again that often, for ever"
        yield Warned("backoff-short", f"{key}.backoff_max", message, "1h is the default")
    if pilot_type.stop_grace_seconds < SHORT_GRACE_SECONDS:
        message = (
            f"is {format_duration(pilot_type.stop_grace_seconds)}: a pilot that is told to end has "
            "no time to hand its work back"
        )
        yield Warned("grace-short", f"{key}.stop_grace", message, "30s is the default")
    if pilot_type.swap_bytes > host.swap_total_bytes:
        has = format_size(host.swap_total_bytes) if host.swap_total_bytes else "no swap"
        message = f"is {format_size(pilot_type.swap_bytes)}, and this host has {has}"
        yield Warned("swap-missing", f"{key}.swap", message, "0 says what happens anyway")
    if pilot_type.privileged:
        message = "gives each pilot all rights of root on this host"
        hint = "cap_add and devices give single rights: SYS_ADMIN and /dev/fuse are enough for FUSE"
        yield Warned("privileged", f"{key}.privileged", message, hint)
    for mount in pilot_type.mounts:
        name = os.path.basename(mount.source.rstrip("/"))
        is_root = not mount.read_only and os.path.normpath(mount.source) in ("/", "/etc")
        if name in _ENGINE_SOCKETS or is_root:
            what = f"{mount.source}:{mount.target}"
            message = f"{what} gives each pilot all rights of root on this host"
            yield Warned("root-by-mount", f"{key}.mounts", message, "mount less than that")


def warn_of_host(pilot_type: PilotType, data_root: str | None, root: str = "/") -> Iterator[Warned]:
    """Look for the mounts and devices of a type on this host."""
    key = f"pilots[{pilot_type.name}]"
    points = read_mount_points(root) if pilot_type.mounts else ()
    for mount in pilot_type.mounts:
        fault = check_mount(mount, points, data_root)
        if fault is not None:
            name = "mount-missing" if "found none" in fault.message else "mount-not-shared"
            yield Warned(name, f"{key}.mounts", fault.message, fault.hint)
    for device in pilot_type.devices:
        if not os.path.lexists(device.host):
            message = f"{device.host} is not on this host, so no pilot of this type can start"
            yield Warned("device-missing", f"{key}.devices", message, "load its module?")


def warn_of_engine(pilot_type: PilotType, facts: EngineFacts) -> Iterator[Warned]:
    """Hold one type against what the engine has. Pure."""
    key = f"pilots[{pilot_type.name}]"
    image = facts.images.get(pilot_type.image)
    if image is None:
        message = f"{pilot_type.image} is not in the engine: pilots wait until it is"
        yield Warned("image-missing", f"{key}.image", message, f"docker pull {pilot_type.image}")
    elif isinstance(image, str):
        yield Warned("image-refused", f"{key}.image", image, "mend the name")
    else:
        yield from _warn_of_stopping(pilot_type, image)
    if pilot_type.network in facts.missing_networks:
        message = f"the engine has no network {pilot_type.network}, so no pilot can start"
        hint = f"docker network create {pilot_type.network}"
        yield Warned("network-missing", f"{key}.network", message, hint)
    log = pilot_type.log
    if log == JOURNALD and not facts.has_journald:
        message = "there is no journald here: json-file is taken instead, with 10M at most a pilot"
        yield Warned("log-missing", f"{key}.log", message, "json-file says what happens anyway")
    elif log not in ("none", JOURNALD, *facts.log_drivers):
        message = f"the engine has no log driver {log}, so no pilot can start"
        yield Warned("log-missing", f"{key}.log", message, f"it has {', '.join(facts.log_drivers)}")


def warn_of_files(files: Iterable[str], service_uid: int | None) -> Iterator[Warned]:
    """Look at who may write the files, or put others in their place, and who may read them.

    ``service_uid`` is the user of the ticks that a timer fires, None if there is none.
    """
    folders: dict[str, None] = {}
    for file in files:
        path = os.path.abspath(file)
        folders[os.path.dirname(os.path.realpath(path))] = None
        found = os.stat(path)
        if service_uid in (None, 0, found.st_uid):
            continue
        if found.st_uid != 0:
            message = f"belongs to user {found.st_uid}, so ticks that the timer fires refuse it"
            yield Warned("file-owner", file, message, f"chown root {file}")
        elif not found.st_mode & 0o004 and not _may_read_as_group(found):
            message = f"may not be read by {SERVICE_USER}, as which ticks run that the timer fires"
            hint = f"chgrp {SERVICE_USER} {file} && chmod g+r {file}"
            yield Warned("file-unreadable", file, message, hint)
    for folder in folders:
        found = os.stat(folder)
        is_open = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if is_open or found.st_uid not in (0, os.geteuid()):
            message = (
                f"mode {stat.S_IMODE(found.st_mode):04o} of user {found.st_uid}: others may put "
                "another file in its place, and start containers with it"
            )
            yield Warned("folder-writable", folder, message, f"chmod go-w {folder}")


def _warn_of_stopping(pilot_type: PilotType, image: Image) -> Iterator[Warned]:
    key = f"pilots[{pilot_type.name}]"
    seconds = image.stop_timeout_seconds
    if seconds is not None and seconds > pilot_type.stop_grace_seconds:
        message = (
            f"is {format_duration(pilot_type.stop_grace_seconds)}, and the image asks for "
            f"{format_duration(seconds)} to stop"
        )
        yield Warned("grace-short", f"{key}.stop_grace", message, format_duration(seconds))
    if image.stop_signal not in (None, "SIGTERM", "TERM", "15"):
        message = f"asks for {image.stop_signal} to stop, and gets SIGTERM"
        hint = "let its first process end at SIGTERM too"
        yield Warned("stop-signal", f"{key}.image", message, hint)


def _may_read_as_group(found: os.stat_result) -> bool:
    import grp
    import pwd

    user = pwd.getpwnam(SERVICE_USER)
    groups = {user.pw_gid, *(each.gr_gid for each in grp.getgrall() if user.pw_name in each.gr_mem)}
    return bool(found.st_mode & 0o040) and found.st_gid in groups


def _key_of(veto: str) -> str:
    return veto if veto in ("cpus", "memory", "max", "share") else "cpus"


def _reason(veto: Veto, pilot_type: PilotType, config: Config, host: HostLoad) -> str:
    """Say what a veto says, with sizes that a person can read."""
    if veto.name == "memory":
        available, reserve = host.memory_available_bytes, config.host.reserve_memory_bytes
        return (
            f"it needs {to_gib(pilot_type.memory_bytes)} of memory, and of {to_gib(available)} "
            f"host.reserve.memory keeps {to_gib(reserve)}"
        )
    if veto.name == "disk":
        free, reserve = host.disk_free_bytes or 0, config.host.reserve_disk_bytes
        return f"{to_gib(free)} of disk are free, and host.reserve.disk is {to_gib(reserve)}"
    if veto.name == "cpus":
        return (
            f"it needs {pilot_type.cpus:g} cores, and of {host.ncpus} "
            f"host.reserve.cpus keeps {config.host.reserve_cpus:g}"
        )
    return veto.reason


def to_gib(size_bytes: int) -> str:
    """Write a size in GiB, or in MiB below one."""
    if 0 < size_bytes < 2**30:
        return f"{size_bytes / 2**20:.0f} MiB"
    return f"{size_bytes / 2**30:.1f}".removesuffix(".0") + " GiB"


def _make_room(fit: TypeFit) -> str:
    names = [veto.name for veto in fit.on_empty.vetoes]
    kept = " and ".join(f"host.reserve.{name}" for name in ("cpus", "memory") if name in names)
    return f"ask for less, or lower {kept}" if kept else "ask for less"
