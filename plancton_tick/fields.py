"""The journal fields of an event about a pilot: who it is, and what it used. Pure.

PLANCTON_PILOT is the pilot's host name, by which batch systems know it; CONTAINER_NAME and the ids
are those that Docker's own journald driver puts beside what the pilot prints (docker-logs(1)).
"""

from plancton_tick.container import host_name
from plancton_tick.model import Outcome, Pilot, Spawn


def of_pilot(pilot: Pilot, reason: str, node: str) -> dict[str, str]:
    """Return the fields of any event about a pilot of this host, ``node``."""
    fields = {
        "PLANCTON_PILOT": pilot.name,
        "PLANCTON_TYPE": pilot.type,
        "PLANCTON_REASON": reason,
        **_container(pilot.name, pilot.id),
    }
    if pilot.slot is not None:
        fields["PLANCTON_PILOT"] = host_name(pilot.type, pilot.slot, pilot.spawned_at, node)
        fields["PLANCTON_SLOT"] = str(pilot.slot)
    return fields


def of_spawn(
    spawn: Spawn, name: str, container_id: str, spawned_at: float, node: str
) -> dict[str, str]:
    """Return the fields of the event that a pilot is born, in the container of that name."""
    return {
        "PLANCTON_PILOT": host_name(spawn.type.name, spawn.slot, spawned_at, node),
        "PLANCTON_TYPE": spawn.type.name,
        "PLANCTON_SLOT": str(spawn.slot),
        "PLANCTON_REASON": spawn.reason,
        "PLANCTON_IMAGE": spawn.type.image,
        **_container(name, container_id),
    }


def of_end(pilot: Pilot, how: Outcome, digest: str) -> dict[str, str]:
    """Return a finished pilot's accounting: what is not known of it has no field.

    Times are in seconds, memory in bytes. ``digest`` is that of its image, as its registry knows
    it, or the engine's own id of it.
    """
    fields = {"PLANCTON_OUTCOME": str(how), "PLANCTON_IMAGE": pilot.image}
    if digest:
        fields["PLANCTON_IMAGE_DIGEST"] = digest
    if pilot.exit is None:
        return fields
    fields["EXIT_STATUS"] = str(pilot.exit.code)
    fields["PLANCTON_OOM"] = str(int(pilot.exit.oom_killed))
    if pilot.exit.ran_seconds is not None:
        fields["PLANCTON_WALL_SECONDS"] = f"{pilot.exit.ran_seconds:.3f}"
    if pilot.exit.used.cpu_seconds is not None:
        fields["PLANCTON_CPU_SECONDS"] = f"{pilot.exit.used.cpu_seconds:.3f}"
    if pilot.exit.used.peak_bytes is not None:
        fields["PLANCTON_MEMORY_PEAK_BYTES"] = str(pilot.exit.used.peak_bytes)
    return fields


def of_overload(seconds: float | None) -> dict[str, str]:
    """Return how long the owner's overload had lasted when a pilot was given back for it."""
    return {} if seconds is None else {"PLANCTON_OVERLOAD_SECONDS": f"{seconds:.3f}"}


def _container(name: str, container_id: str) -> dict[str, str]:
    return {
        "CONTAINER_NAME": name,
        "CONTAINER_ID": container_id[:12],
        "CONTAINER_ID_FULL": container_id,
    }
