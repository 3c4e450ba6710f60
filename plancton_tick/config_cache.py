"""Keep the checked configuration between ticks, so that a quiet tick need not import yaml.

A cache is one file in the service's runtime folder: the signature of all that was read, and the
configuration as JSON. It holds nothing that cannot be made again, and deleting it is always safe.
The signature is of the files' status alone: reading the cache costs some system calls.
"""

import os
import time
from collections.abc import Sequence
from json import dumps, loads
from stat import S_IMODE, S_ISREG
from typing import Any

from plancton_tick import __version__
from plancton_tick.loaded import Loaded
from plancton_tick.model import (
    Config,
    Database,
    Device,
    EngineConfig,
    ExitCodes,
    HostConfig,
    MetricsConfig,
    Mount,
    PilotType,
    ReclaimAction,
    ReclaimConfig,
    SpawnConfig,
)

CACHE_NAME = "config.json"

# A file changed twice within one step of the file system's clock has the same status both times.
# What is younger than this is not trusted to show its next change, as git has it ("racily clean").
SETTLED_SECONDS = 2.0

Signature = list[Any]


def read_config(path: str, cache_dir: str | None, *, host: tuple[int, int] | None = None) -> Loaded:
    """Give the configuration, from the cache if nothing has changed since it was written.

    ``cache_dir`` is where the cache is kept, None for nowhere; ``host`` is as for `load_config`.
    A configuration with faults is never cached. Raises nothing.
    """
    cache = None if cache_dir is None else os.path.join(cache_dir, CACHE_NAME)
    if cache is not None:
        cached = _read_cache(cache, path, host)
        if cached is not None:
            return cached
    # Imported here because only a changed configuration needs it, and yaml with it.
    from plancton_tick.config import load_config

    before = time.time()
    first = _sign(path, _list_files(path), host)
    loaded = load_config(path, host=host)
    if cache is not None and first is not None and not loaded.faults:
        second = _sign(path, loaded.files, host)
        if first == second and _is_settled(second, before):
            _write_cache(cache, second, loaded)
    return loaded


# --- the signature -------------------------------------------------------------------------------


def _folder(path: str) -> str:
    return os.path.join(os.path.dirname(path), "config.d")


def _list_files(path: str) -> list[str]:
    folder = _folder(path)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    visible = (name for name in names if name.endswith(".yaml") and not name.startswith("."))
    return [path, *(os.path.join(folder, name) for name in visible)]


def _sign(path: str, files: Sequence[str], host: tuple[int, int] | None) -> Signature | None:
    """Sum up all that the configuration depends on. Gives None if a file cannot be examined."""
    statuses: list[Any] = []
    try:
        folder = os.stat(_folder(path))
    except FileNotFoundError:
        statuses.append(None)
    except (OSError, ValueError):
        return None
    else:
        statuses.append(_status(folder))
    try:
        statuses.extend([file, *_status(os.stat(file))] for file in files)
    except (OSError, ValueError):
        return None
    shape = [Config._fields, HostConfig._fields, PilotType._fields, MetricsConfig._fields]
    fixed = [__version__, [list(fields) for fields in shape], os.geteuid(), os.path.abspath(path)]
    return [*fixed, None if host is None else list(host), *statuses]


def _status(found: os.stat_result) -> list[int]:
    return [
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_uid,
        found.st_mode,
    ]


def _is_settled(signature: Signature, now: float) -> bool:
    newest = (now - SETTLED_SECONDS) * 1e9
    folder, files = signature[5], signature[6:]
    times = [] if folder is None else folder[:2]
    for file in files:
        times.extend(file[1:3])
    return all(changed < newest for changed in times)


# --- the file ------------------------------------------------------------------------------------


def _read_cache(cache: str, path: str, host: tuple[int, int] | None) -> Loaded | None:
    data = _read_trusted(cache)
    if data is None:
        return None
    try:
        checksum, _, content = data.partition(b"\n")
        if int(checksum) != _checksum(content):
            return None
        signature, config, notes = loads(content)
        files = [file[0] for file in signature[6:]]
        if files[0] != path or _sign(path, files, host) != signature:
            return None
        return Loaded(_build_config(config), (), tuple(files), tuple(notes))
    # Whatever is wrong with it, it is only a cache.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _checksum(content: bytes) -> int:
    # A remainder by a prime notices what a damaged file may have, and needs no import.
    return int.from_bytes(content, "big") % (2**61 - 1)


def _read_trusted(cache: str) -> bytes | None:
    try:
        descriptor = os.open(cache, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        is_ours = found.st_uid in (0, os.geteuid()) and not S_IMODE(found.st_mode) & 0o022
        if not is_ours or not S_ISREG(found.st_mode):
            return None
        chunks = []
        while chunk := os.read(descriptor, 1 << 20):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _write_cache(cache: str, signature: Signature, loaded: Loaded) -> None:
    content = dumps([signature, loaded.config, loaded.notes]).encode()
    data = b"%d\n%s" % (_checksum(content), content)
    fresh = f"{cache}.{os.getpid()}"
    try:
        # Left by a killed tick of the same number.
        if os.path.lexists(fresh):
            os.unlink(fresh)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        # Secrets may stand in a pilot's environment: nobody else is to read them here.
        descriptor = os.open(fresh, flags, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.rename(fresh, cache)
        except BaseException:
            os.unlink(fresh)
            raise
    except (OSError, ValueError):
        # No room, no right, no folder: the next tick reads the configuration itself again.
        return


def _build_config(values: Any) -> Config:
    """Turn the arrays that JSON makes of named tuples into a `Config` again."""
    host, spawn, reclaim, engine, pilots, metrics = values
    return Config(
        host=HostConfig(tuple(host[0]), *host[1:]),
        spawn=SpawnConfig(*spawn),
        reclaim=ReclaimConfig(*reclaim)._replace(action=ReclaimAction(reclaim[2])),
        engine=EngineConfig(*engine),
        pilots=tuple(_build_pilot(pilot) for pilot in pilots),
        metrics=_build_metrics(metrics),
    )


def _build_metrics(values: Any) -> MetricsConfig:
    metrics = MetricsConfig(*values)
    return metrics._replace(influxdb=tuple(Database(*each) for each in metrics.influxdb))


def _build_pilot(values: Any) -> PilotType:
    pilot = PilotType(*values)
    command, codes = pilot.command, ExitCodes(*pilot.exit_codes)
    return pilot._replace(
        command=None if command is None else tuple(command),
        exit_codes=ExitCodes(*(tuple(numbers) for numbers in codes)),
        env=tuple((name, value) for name, value in pilot.env),
        mounts=tuple(Mount(*mount) for mount in pilot.mounts),
        devices=tuple(Device(*device) for device in pilot.devices),
        cap_add=tuple(pilot.cap_add),
        cap_drop=tuple(pilot.cap_drop),
        security_opt=tuple(pilot.security_opt),
        labels=tuple((name, value) for name, value in pilot.labels),
    )
