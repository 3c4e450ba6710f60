"""What a tick sees: host and engine read into one ``Observation``, nothing changed."""

import os
from collections.abc import Callable, Mapping

from plancton_tick import host
from plancton_tick.engine import Engine
from plancton_tick.errors import NotFoundError
from plancton_tick.ledger import Snapshot, Volume, read_snapshot
from plancton_tick.ledger_json import rebase
from plancton_tick.loaded import Loaded
from plancton_tick.model import Observation, Pilot, PilotExit, PilotState, SlotUsage


def observe(
    loaded: Loaded, engine: Engine, clock: Callable[[], float]
) -> tuple[Snapshot, Observation]:
    """Read host and engine; the engine is asked while the host's load is being sampled."""
    config = loaded.config
    sample = host.start_sample(f"{engine.instance}.slice")
    pilots = engine.list_pilots()
    volumes = engine.list_volumes()
    if pilots and not volumes:
        # A ledger may pass from one volume to the next just while volumes are listed.
        volumes = engine.list_volumes()
    snapshot = read_snapshot(volumes, engine.instance)
    pilots = tuple(with_exit(engine, pilot, snapshot.ledger.counted) for pilot in pilots)
    load = host.finish_sample(sample, config.host.sample_seconds, data_root(engine, volumes))
    if any(f"volume {name}" not in snapshot.ledger.told for name in snapshot.foreign):
        # One that is just being created is listed before its label: a stranger's stays as it is.
        again = read_snapshot(engine.list_volumes(), engine.instance).foreign
        foreign = {name: again[name] for name in snapshot.foreign if name in again}
        snapshot = snapshot._replace(foreign=foreign)
    now = clock()
    host_clock = host.read_clock(wall=clock)
    return snapshot, Observation(
        taken_at=now,
        host=load,
        pilots=pilots,
        ledger=rebase(snapshot.ledger, host_clock, now),
        booted_at=host_clock.offset_seconds,
        config_is_bad=bool(loaded.faults),
        node=os.uname().nodename,
        can_ask=bool(os.environ.get("RUNTIME_DIRECTORY")),
    )


def with_exit(engine: Engine, pilot: Pilot, counted: Mapping[str, float]) -> Pilot:
    """Return the pilot with how it ended, if it has exited and is not counted yet."""
    if pilot.state is not PilotState.EXITED or pilot.id in counted:
        return pilot
    try:
        raw = engine.read_exit(pilot.id)
    except NotFoundError:
        return pilot._replace(state=PilotState.REMOVING)
    ran = None
    if raw.started_at is not None and raw.finished_at is not None:
        ran = raw.finished_at - raw.started_at
    # A clock that was set back while it ran makes the time it ran unknown.
    ran = ran if ran is not None and ran >= 0 else None
    used = SlotUsage()
    if engine.is_local and pilot.slot is not None:
        from plancton_tick.accounting import read_slot, used_by

        used = used_by(pilot, ran, read_slot(engine.instance, pilot.slot))
    return pilot._replace(exit=PilotExit(raw.code, ran, raw.oom_killed, raw.message, used))


def data_root(engine: Engine, volumes: tuple[Volume, ...]) -> str | None:
    """Say where the engine keeps its data, None if that is not on this host.

    The ledger's own mount point tells it without a further question to the engine.
    """
    if not engine.is_local:
        return None
    for volume in volumes:
        root, found, _ = volume.mountpoint.partition(f"/volumes/{volume.name}")
        if found:
            return root
    return engine.read_info().data_root
