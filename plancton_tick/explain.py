"""A plan for eyes and for programs: what the next tick would do, and why nothing more."""

import json
from datetime import datetime

from plancton_tick.model import Action, Ask, Observation, Plan, Reap, Spawn, Terminate, Veto
from plancton_tick.room import LIVE_STATES, read_memory, read_owner_cores, sum_cpus


def to_json(plan: Plan, observation: Observation) -> str:
    """Return the plan as one JSON document. Cores, bytes and seconds; instants since the epoch."""
    document = {
        "actions": [_action(action) for action in plan.actions],
        "vetoes": [
            {"veto": veto.name, "type": veto.type, "reason": veto.reason, "until": veto.until}
            for veto in plan.vetoes
        ],
        "observation": _observation(observation),
    }
    return json.dumps(document, indent=2)


def to_text(plan: Plan, observation: Observation) -> str:
    """Return the plan as lines for a person."""
    host = observation.host
    owner = read_owner_cores(host, observation.pilots)
    live = sum(pilot.state in LIVE_STATES for pilot in observation.pilots)
    lines = [
        f"owner uses {owner:.2f} of {host.ncpus} cores, {live} pilots live "
        f"with {sum_cpus(observation.pilots):g} cores, "
        f"{host.memory_available_bytes / 2**30:.1f} GiB of memory available"
    ]
    lines += [f"would {_words(action)}" for action in plan.actions]
    if not plan.actions:
        lines.append("would do nothing")
    lines += [veto_words(veto, observation.taken_at) for veto in plan.vetoes]
    return "\n".join(lines)


def _words(action: Action) -> str:
    if isinstance(action, Spawn):
        return f"spawn {action.type.name} in slot {action.slot}: {action.reason}"
    if isinstance(action, Ask):
        return f"ask for image {action.image}: {action.reason}"
    verb = type(action).__name__.lower()
    how = action.outcome if isinstance(action, Reap | Terminate) else None
    counted = f", counted as {how}" if how is not None else ""
    return f"{verb} {action.pilot.name} ({action.pilot.type}){counted}: {action.reason}"


def veto_words(veto: Veto, now: float) -> str:
    """Return a veto as a line for a person."""
    of_type = f" {veto.type}" if veto.type else ""
    until = "" if veto.until is None else f"; earliest {_when(veto.until, now)}"
    return f"no new{of_type} pilot ({veto.name}): {veto.reason}{until}"


def _when(instant: float, now: float) -> str:
    left = instant - now
    if left <= 0:
        return "at the next tick"
    return f"in {left:.0f} s, at {datetime.fromtimestamp(instant):%H:%M:%S}"


def _action(action: Action) -> dict[str, object]:
    described: dict[str, object] = {"action": type(action).__name__.lower()}
    if isinstance(action, Spawn):
        described |= {"type": action.type.name, "slot": action.slot}
    elif isinstance(action, Ask):
        described |= {"image": action.image}
    else:
        pilot = action.pilot
        described |= {"pilot": pilot.name, "id": pilot.id, "type": pilot.type, "slot": pilot.slot}
    if isinstance(action, Reap | Terminate):
        described["outcome"] = action.outcome
    described["reason"] = action.reason
    return described


def _observation(observation: Observation) -> dict[str, object]:
    host = observation.host
    live = [pilot for pilot in observation.pilots if pilot.state in LIVE_STATES]
    memory = read_memory(host, live)
    return {
        "taken_at": observation.taken_at,
        "config_is_bad": observation.config_is_bad,
        "owner_cores": read_owner_cores(host, observation.pilots),
        "host": host._asdict(),
        "promised_memory_bytes": memory.promised_bytes,
        "pilots": [
            {
                "id": pilot.id,
                "name": pilot.name,
                "type": pilot.type,
                "slot": pilot.slot,
                "state": pilot.state,
                "spawned_at": pilot.spawned_at,
                "expires_at": pilot.expires_at,
                "cpus": pilot.cpus,
                "memory_bytes": pilot.memory_bytes,
            }
            for pilot in observation.pilots
        ],
        "draining": observation.ledger.drain is not None,
        "counts": observation.ledger.counts,
    }
