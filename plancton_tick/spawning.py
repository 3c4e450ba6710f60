"""Which pilots to spawn next: the gates, the fair share and the slot. Pure.

Each gate is a veto with a name, its numbers and the earliest time it can lift. Gates are asked
again after each spawn, as if the pilot were there already, so that a plan never promises the same
core, byte or slot twice.
"""

from collections.abc import Mapping
from typing import NamedTuple

from plancton_tick.expression import evaluate
from plancton_tick.model import (
    Config,
    HostLoad,
    Ledger,
    Pilot,
    PilotState,
    PilotType,
    Spawn,
    Veto,
)
from plancton_tick.outcome import is_canary
from plancton_tick.room import (
    LIVE_STATES,
    TOLERATED_ROUNDING,
    in_gib,
    read_memory,
    read_room,
    sum_cpus,
)

# A stranger's container that holds one of our names is looked at again after this long.
STRANGER_SECONDS = 3600.0


class World(NamedTuple):
    """The host as it will be once the plan so far is done."""

    now: float
    host: HostLoad
    owner_cores: float
    pilots: tuple[Pilot, ...]
    ledger: Ledger


def read_cap(config: Config, host: HostLoad) -> tuple[int, str | None]:
    """Evaluate ``host.max_pilots`` on this host: the cap, or 0 and why it has no value."""
    values: Mapping[str, float] = {
        "ncpus": host.ncpus,
        "ram_bytes": host.memory_total_bytes,
        "swap_bytes": host.swap_total_bytes,
    }
    try:
        return max(0, int(evaluate(config.host.max_pilots, values))), None
    except (ValueError, OverflowError) as error:
        return 0, str(error)


def list_host_vetoes(config: Config, world: World) -> list[Veto]:
    """List what keeps any pilot of any type from being spawned."""
    now, ledger, host = world.now, world.ledger, world.host
    vetoes = []
    if ledger.drain is not None:
        vetoes.append(Veto("draining", None, ledger.drain.words(), None))
    live = [pilot for pilot in world.pilots if pilot.state in LIVE_STATES]
    cap, no_value = read_cap(config, host)
    if no_value is not None:
        vetoes.append(Veto("cap", None, f"host.max_pilots has no value here: {no_value}", None))
    elif len(live) >= cap:
        vetoes.append(Veto("cap", None, f"{len(live)} of {cap} pilots are live", None))
    elif next_slot(world, cap) is None:
        reason = f"{len(live)} of {cap} pilots are live, the other slots are not free yet"
        vetoes.append(Veto("slots", None, reason, None))
    if ledger.last_reclaim_at is not None:
        until = ledger.last_reclaim_at + config.spawn.cooldown_seconds
        if now < until:
            ago = now - ledger.last_reclaim_at
            reason = f"gave back {ago:.0f} s ago, cooldown {config.spawn.cooldown_seconds:.0f} s"
            vetoes.append(Veto("cooldown", None, reason, until))
    paused = [p for p in world.pilots if p.state is PilotState.PAUSED and p.id not in ledger.ending]
    if paused:
        since = min(ledger.paused.get(pilot.id, now) for pilot in paused)
        reason = f"{len(paused)} paused pilots come first"
        until = since + config.reclaim.pause_at_most_seconds
        # Pauses may be allowed to last for ever.
        vetoes.append(Veto("paused", None, reason, until if until < float("inf") else None))
    free, floor = host.disk_free_bytes, config.host.reserve_disk_bytes
    if free is not None and free < floor:
        reason = f"{in_gib(free)} free where the engine keeps its data, reserve {in_gib(floor)}"
        vetoes.append(Veto("disk", None, reason, None))
    return vetoes


def list_type_vetoes(config: Config, world: World, pilot_type: PilotType) -> list[Veto]:
    """List what keeps a pilot of this type from being spawned, besides the host's vetoes."""
    now, name, host = world.now, pilot_type.name, world.host
    live = [pilot for pilot in world.pilots if pilot.state in LIVE_STATES]
    mine = [pilot for pilot in live if pilot.type == name]
    vetoes = []
    if pilot_type.share <= 0:
        vetoes.append(Veto("share", name, "its share is 0", None))
    if pilot_type.max_live is not None and len(mine) >= pilot_type.max_live:
        reason = f"{len(mine)} of at most {pilot_type.max_live} are live"
        vetoes.append(Veto("max", name, reason, None))
    backoff = world.ledger.backoffs.get(name)
    if backoff is not None:
        canaries = [pilot for pilot in mine if is_canary(pilot, backoff, now)]
        if now < backoff.until:
            reason = f"{backoff.why}: waits {backoff.step_seconds:.0f} s"
            vetoes.append(Veto("backoff", name, reason, backoff.until))
        elif canaries:
            first = min(canaries, key=lambda pilot: pilot.spawned_at)
            # One that is paused, or on its way out, may be older than that and clears nothing.
            until = max(now, first.spawned_at + pilot_type.fizzle_seconds)
            reason = (
                f"after {backoff.why}: one canary first, {first.name}, "
                f"{now - first.spawned_at:.0f} s old, fizzle {pilot_type.fizzle_seconds:.0f} s"
            )
            vetoes.append(Veto("canary", name, reason, until))
    room = read_room(config.host, host, world.owner_cores, sum_cpus(world.pilots))
    if room + TOLERATED_ROUNDING < pilot_type.cpus:
        reason = (
            f"owner uses {world.owner_cores:.2f} of {host.ncpus} cores, "
            f"reserve {config.host.reserve_cpus:g}, pilots {sum_cpus(world.pilots):g}: "
            f"room {room:.2f}, needs {pilot_type.cpus:g}"
        )
        vetoes.append(Veto("cpus", name, reason, None))
    memory = read_memory(host, live)
    left = memory.left_bytes(config.host.reserve_memory_bytes)
    if left < pilot_type.memory_bytes:
        reason = (
            f"{in_gib(memory.available_bytes)} available, "
            f"{in_gib(memory.promised_bytes)} promised to pilots, "
            f"reserve {in_gib(config.host.reserve_memory_bytes)}: {in_gib(left)} left, "
            f"needs {in_gib(pilot_type.memory_bytes)}"
        )
        vetoes.append(Veto("memory", name, reason, None))
    return vetoes


def next_slot(world: World, cap: int) -> int | None:
    """Return the lowest free slot. Numbers that strangers hold are left out and made up for.

    The bound is what keeps two ticks that see different worlds below the cap: there are only so
    many names to claim, ``cap`` less the live pilots that hold none of them (started by hand, or
    numbered under a higher cap).
    """
    held = {pilot.slot for pilot in world.pilots}
    strangers = {
        int(slot)
        for slot, stranger in world.ledger.strangers.items()
        if world.now - stranger.seen_at < STRANGER_SECONDS
    }
    live = [pilot.slot for pilot in world.pilots if pilot.state in LIVE_STATES]
    would_live = len(live)
    slot = 0
    while True:
        if slot not in strangers and slot not in live:
            # Another tick may see this number as free, even if a dead pilot holds it here.
            would_live += 1
            if would_live > cap:
                return None
            if slot not in held:
                return slot
        slot += 1


def furthest_below_share(types: list[PilotType], world: World) -> PilotType:
    """Choose the type whose share of these types' live cores exceeds what it has by most.

    Cores of types that may not spawn now are left out, or the larger of the others would be owed
    part of them. Of equals the larger share goes first, then the one that the configuration names
    first.
    """
    names = {pilot_type.name for pilot_type in types}
    live = [p for p in world.pilots if p.state in LIVE_STATES and p.type in names]
    total = sum(pilot.cpus for pilot in live)
    shares = sum(pilot_type.share for pilot_type in types)

    def want(pilot_type: PilotType) -> tuple[float, float]:
        has = sum(pilot.cpus for pilot in live if pilot.type == pilot_type.name)
        return (round(pilot_type.share / shares * total - has, 9), pilot_type.share)

    return max(types, key=want)


def spawn_reason(config: Config, world: World, pilot_type: PilotType) -> str:
    """Say with its numbers why this type's pilot may be spawned now."""
    room = read_room(config.host, world.host, world.owner_cores, sum_cpus(world.pilots))
    backoff = world.ledger.backoffs.get(pilot_type.name)
    canary = f", canary after {backoff.why}" if backoff else ""
    return (
        f"room {room:.2f} cores for {pilot_type.cpus:g} "
        f"(owner {world.owner_cores:.2f} of {world.host.ncpus}){canary}"
    )


def born(pilot_type: PilotType, slot: int, now: float) -> Pilot:
    """Return the pilot as it will be listed once it is spawned."""
    return Pilot(
        id=f"planned-{slot}",
        name=f"slot {slot}",
        type=pilot_type.name,
        slot=slot,
        state=PilotState.RUNNING,
        spawned_at=now,
        expires_at=now + pilot_type.lifetime_seconds,
        cpus=pilot_type.cpus,
        memory_bytes=pilot_type.memory_bytes,
        config_hash="",
        version="",
    )


def plan_spawns(config: Config, world: World) -> tuple[tuple[Spawn, ...], tuple[Veto, ...]]:
    """Say which pilots to spawn now, and every reason why not one more."""
    spawns: list[Spawn] = []
    while True:
        host_vetoes = list_host_vetoes(config, world)
        type_vetoes = {
            pilot_type.name: list_type_vetoes(config, world, pilot_type)
            for pilot_type in config.pilots
        }
        vetoes = [*host_vetoes, *(veto for vetoes in type_vetoes.values() for veto in vetoes)]
        ready = [pilot_type for pilot_type in config.pilots if not type_vetoes[pilot_type.name]]
        if host_vetoes or not ready:
            return tuple(spawns), tuple(vetoes)
        if len(spawns) >= config.spawn.per_tick:
            reason = f"{len(spawns)} spawned now, spawn.per_tick is {config.spawn.per_tick}"
            return tuple(spawns), (*vetoes, Veto("per-tick", None, reason, world.now))
        pilot_type = furthest_below_share(ready, world)
        slot = next_slot(world, read_cap(config, world.host)[0])
        if slot is None:
            return tuple(spawns), tuple(vetoes)
        spawns.append(Spawn(pilot_type, slot, spawn_reason(config, world, pilot_type)))
        pilots = (*world.pilots, born(pilot_type, slot, world.now))
        world = world._replace(pilots=pilots)
