"""What lasts is said when it begins and when it ends, not at every tick.

Which states have been said to last is kept in the service's runtime folder. It decides nothing:
where it is lost, or there is no such folder, a line is said once more. A quiet tick looks here
too, so what reports is imported only when there is something to say.
"""

import json
import os
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import NamedTuple

from plancton_tick.errors import HostError, PlanctonError
from plancton_tick.model import Observation, PilotState, Plan

FILE_NAME = "lasting.json"


class State(StrEnum):
    """What can last over many ticks."""

    BAD_CONFIG = "bad-config"
    ENGINE_DOWN = "engine-down"
    HOST_UNREADABLE = "host-unreadable"
    DRAINING = "draining"
    HELD = "held"


# A person who runs a tick by hand, outside a service, is told of these each time.
TROUBLES = (State.BAD_CONFIG, State.ENGINE_DOWN, State.HOST_UNREADABLE)
# What a tick that could not see the engine or the host knows nothing of.
UNSEEN_IN_TROUBLE = (State.DRAINING, State.HELD)


class Change(NamedTuple):
    """The states that begin now, and those that end with the seconds they lasted."""

    began: tuple[State, ...]
    ended: tuple[tuple[State, float], ...]


def read_lasting(faults: tuple[str, ...], observation: Observation, plan: Plan) -> dict[State, str]:
    """Return the states that hold now and may last, each with its text."""
    states = {}
    if faults:
        states[State.BAD_CONFIG] = "\n".join(faults)
    drain = observation.ledger.drain
    if drain is not None:
        states[State.DRAINING] = drain.words()
    running = any(pilot.state is PilotState.RUNNING for pilot in observation.pilots)
    held = [veto for veto in plan.vetoes if veto.name == "cpus"]
    if held and not running and not plan.actions:
        states[State.HELD] = held[0].reason
    return states


def say_what_lasts(states: Mapping[State, str], now: float, unseen: Collection[State] = ()) -> None:
    """Report the states that begin or end with this tick."""
    change = note(os.environ.get("RUNTIME_DIRECTORY"), states, now, unseen)
    if change.began or change.ended:
        from plancton_tick.report import report_change

        report_change(change, states)


def say_trouble(error: PlanctonError, now: float) -> None:
    """Report why a tick could not see engine or host, once for as long as it lasts."""
    state = State.HOST_UNREADABLE if isinstance(error, HostError) else State.ENGINE_DOWN
    states = {state: error.words()}
    if error.faults:
        states[State.BAD_CONFIG] = "\n".join(error.faults)
    say_what_lasts(states, now, UNSEEN_IN_TROUBLE)


def note(
    folder: str | None,
    lasting: Mapping[State, str],
    now: float,
    unseen: Collection[State] = (),
) -> Change:
    """Compare what lasts now with what was said to last, keep it, and return the difference.

    ``lasting`` maps each state to its text; a bad configuration whose faults have changed begins
    anew. States in ``unseen`` stay as they were. Without a folder every trouble begins now.
    """
    if folder is None:
        return Change(tuple(state for state in TROUBLES if state in lasting), ())
    path = os.path.join(folder, FILE_NAME)
    before = _read(path)
    after = {state: before[state] for state in before if state in unseen}
    began = []
    for state, text in lasting.items():
        said = before.get(state)
        if said is None or (state is State.BAD_CONFIG and said[1] != text):
            began.append(state)
            said = (now, text)
        after[state] = said
    ended = tuple(
        (state, max(0.0, now - since)) for state, (since, _) in before.items() if state not in after
    )
    if began or ended:
        _write(path, after)
    return Change(tuple(began), ended)


def _read(path: str) -> dict[State, tuple[float, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
        return {State(state): (float(since), str(text)) for state, (since, text) in said.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: str, said: Mapping[State, tuple[float, str]]) -> None:
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(said, file)
        os.rename(fresh, path)
    except OSError:
        # The line is said once more at the next tick: better than a tick that fails for it.
        return
