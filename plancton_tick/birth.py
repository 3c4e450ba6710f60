"""Bring pilots to life: create, tell them of their host and their time, start.

A slot is claimed by the container's name, which the engine gives once. A pilot that is created and
not started, because the tick was killed or the engine hung, is removed as a leftover later.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from plancton_tick.accounting import read_slot
from plancton_tick.container import JOURNALD, make_body
from plancton_tick.doing import ActingEngine, Done, Verdict, in_parallel
from plancton_tick.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    NameTakenError,
    NotFoundError,
)
from plancton_tick.features import FOLDER, make_features, to_tar
from plancton_tick.model import SlotUsage, Spawn
from plancton_tick.mounts import find_mount_faults

# Docker refuses the journald driver unless it finds this socket, whatever its list of drivers says.
JOURNALD_SOCKET = "/run/systemd/journal/socket"


def spawn_all(engine: ActingEngine, spawns: Sequence[Spawn], now: float, node: str) -> list[Done]:
    """Create and start these pilots at once; what keeps one of them from it is in its Done."""
    try:
        info = engine.read_info()
    except EngineUnavailableError as error:
        return [Done(spawn, Verdict.FAILED, error=error) for spawn in spawns]
    has_journald = JOURNALD in info.log_drivers and (
        not engine.is_local or os.path.exists(JOURNALD_SOCKET)
    )

    # An engine whose data is not seen here sees other folders than we do.
    sees_our_folders = engine.is_local and os.path.isdir(info.data_root or "")

    def spawn_one(spawn: Spawn) -> Done:
        if sees_our_folders:
            faults = find_mount_faults(spawn.type, data_root=info.data_root)
            if faults:
                return Done(spawn, Verdict.FAILED, error=EngineRefusedError("; ".join(faults)))
        body = make_body(
            spawn.type,
            slot=spawn.slot,
            now=now,
            node=node,
            instance=engine.instance,
            cgroup_driver=info.cgroup_driver,
            has_journald=has_journald,
            used_before=(
                read_slot(engine.instance, spawn.slot) if engine.is_local else SlotUsage()
            ),
        )
        name = str(body["Hostname"])
        features = make_features(spawn.type, name=name, spawned_at=now, ncpus=info.ncpus)
        # What is there of a read-only root before its start is its volume.
        folder = FOLDER if spawn.type.read_only else "/"
        tar = to_tar(features, now, folder)
        return _spawn(engine, spawn, f"{engine.instance}-{spawn.slot}", body, folder, tar)

    return in_parallel(spawn_one, spawns)


def _spawn(
    engine: ActingEngine, spawn: Spawn, name: str, body: dict[str, object], folder: str, tar: bytes
) -> Done:
    try:
        container_id = engine.create(name, body)
    except NameTakenError:
        return _who_holds(engine, spawn, name)
    except (EngineRefusedError, EngineUnavailableError) as error:
        return Done(spawn, Verdict.FAILED, error=error)
    try:
        engine.put(container_id, folder, tar)
        engine.start(container_id)
    except EngineUnavailableError as error:
        # It may start yet, or have started: then it is a pilot like any other, and not to be
        # killed. If not, a later tick removes it as a leftover.
        return Done(spawn, Verdict.FAILED, error=error)
    except EngineRefusedError as error:
        # One that cannot be removed stays as created; a later tick removes it as a leftover.
        with suppress(EngineRefusedError, EngineUnavailableError):
            engine.remove(container_id)
        return Done(spawn, Verdict.FAILED, error=error)
    return Done(spawn, Verdict.DONE, container_id=container_id, name=name)


def _who_holds(engine: ActingEngine, spawn: Spawn, name: str) -> Done:
    try:
        holder = engine.read_holder(name)
    except NotFoundError:
        return Done(spawn, Verdict.OVERTAKEN)
    except EngineUnavailableError as error:
        return Done(spawn, Verdict.FAILED, error=error)
    if holder.is_pilot:
        return Done(spawn, Verdict.OVERTAKEN)
    return Done(spawn, Verdict.STRANGER, holder=holder.container_id)
