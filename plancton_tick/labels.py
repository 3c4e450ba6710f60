"""Labels to pilots and back. Pure.

A pilot is read from the engine's list alone. A label that is missing or makes no sense (a pilot
started by hand) gets a careful value instead: the container is ours by its type label, so it
counts against the cap, and what is not known of it is taken from the engine.
"""

from collections.abc import Mapping

from plancton_tick import __version__
from plancton_tick.model import (
    DEFAULT_INSTANCE,
    LABEL_CONFIG,
    LABEL_CPU_BEFORE,
    LABEL_CPUS,
    LABEL_EXPIRES_AT,
    LABEL_INSTANCE,
    LABEL_MEMORY,
    LABEL_PEAK_BEFORE,
    LABEL_SLOT,
    LABEL_SPAWNED_AT,
    LABEL_TYPE,
    LABEL_VERSION,
    Pilot,
    PilotState,
    PilotType,
    SlotUsage,
)

STATES = {
    "created": PilotState.CREATED,
    "initialized": PilotState.CREATED,
    "configured": PilotState.CREATED,
    "running": PilotState.RUNNING,
    "restarting": PilotState.RUNNING,
    "stopping": PilotState.RUNNING,
    "paused": PilotState.PAUSED,
    "exited": PilotState.EXITED,
    "stopped": PilotState.EXITED,
    "dead": PilotState.EXITED,
    "removing": PilotState.REMOVING,
}
# What a pilot without a readable cpus label is taken to use.
UNKNOWN_CPUS = 1.0


def make_labels(
    pilot_type: PilotType,
    slot: int,
    now: float,
    instance: str,
    config_hash: str,
    used_before: SlotUsage = SlotUsage(),  # noqa: B008, a value that cannot change.
) -> dict[str, str]:
    """Return the labels of a pilot born now; they never change.

    ``used_before`` is what the pilots before it in its slot have used: what it uses itself is told
    by the difference.
    """
    before = {}
    if used_before.cpu_seconds is not None:
        before[LABEL_CPU_BEFORE] = f"{used_before.cpu_seconds:.6f}"
    if used_before.peak_bytes is not None:
        before[LABEL_PEAK_BEFORE] = str(used_before.peak_bytes)
    return {
        **dict(pilot_type.labels),
        **before,
        LABEL_TYPE: pilot_type.name,
        LABEL_INSTANCE: instance,
        LABEL_SLOT: str(slot),
        LABEL_SPAWNED_AT: f"{now:.3f}",
        LABEL_EXPIRES_AT: f"{now + pilot_type.lifetime_seconds:.3f}",
        LABEL_CPUS: f"{pilot_type.cpus:g}",
        LABEL_MEMORY: str(pilot_type.memory_bytes),
        LABEL_CONFIG: config_hash,
        LABEL_VERSION: __version__,
    }


def read_pilots(listing: object, instance: str) -> tuple[Pilot, ...]:
    """Read the pilots of this instance from the answer to GET /containers/json.

    Raises ValueError if the answer is not a list of containers: half a listing must not pass for
    a whole one.
    """
    if not isinstance(listing, list):
        raise ValueError(f"expected a list of containers, found {listing!r:.60}")
    pilots = []
    for entry in listing:
        pilot = _read_pilot(entry, instance)
        if pilot is not None:
            pilots.append(pilot)
    return tuple(pilots)


def _read_pilot(entry: object, instance: str) -> Pilot | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("Id"), str):
        raise ValueError(f"expected a container, found {entry!r:.60}")
    labels: Mapping[str, str] = entry.get("Labels") or {}
    names = entry.get("Names") or [entry["Id"][:12]]
    if not isinstance(labels, dict) or not isinstance(names, list):
        raise ValueError(f"container {entry['Id'][:12]}: expected labels and names")
    if LABEL_TYPE not in labels or labels.get(LABEL_INSTANCE, DEFAULT_INSTANCE) != instance:
        return None
    state = str(entry.get("State", "")).lower()
    if state not in STATES:
        raise ValueError(f"container {entry['Id'][:12]}: unknown state {state!r:.40}")
    if not all(isinstance(value, str) for value in labels.values()):
        raise ValueError(f"container {entry['Id'][:12]}: expected words as labels")
    created = _number(str(entry.get("Created", 0)))
    spawned_at = _number(labels.get(LABEL_SPAWNED_AT))
    cpus = _number(labels.get(LABEL_CPUS))
    memory = _number(labels.get(LABEL_MEMORY))
    slot = labels.get(LABEL_SLOT, "")
    return Pilot(
        id=entry["Id"],
        name=str(names[0]).lstrip("/"),
        type=labels[LABEL_TYPE],
        slot=int(slot) if slot.isascii() and slot.isdigit() and len(slot) < 10 else None,
        state=STATES[state],
        spawned_at=spawned_at if spawned_at is not None else created or 0.0,
        expires_at=_number(labels.get(LABEL_EXPIRES_AT)),
        cpus=cpus if cpus is not None and cpus >= 0 else UNKNOWN_CPUS,
        memory_bytes=int(memory) if memory is not None and memory >= 0 else 0,
        config_hash=labels.get(LABEL_CONFIG, ""),
        version=labels.get(LABEL_VERSION, ""),
        image=str(entry.get("Image") or ""),
        image_id=str(entry.get("ImageID") or ""),
        used_before=_used_before(labels),
    )


def _used_before(labels: Mapping[str, str]) -> SlotUsage:
    cpu, peak = _number(labels.get(LABEL_CPU_BEFORE)), _number(labels.get(LABEL_PEAK_BEFORE))
    return SlotUsage(cpu, None if peak is None else int(peak))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None
