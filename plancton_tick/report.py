"""What a tick says: journald with structured fields where it runs under systemd, else stderr.

A quiet tick says nothing. Each event has a name, a message ID of its own (journalctl
MESSAGE_ID=…), and fields to select by: see fields.py.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from typing import NamedTuple, assert_never

from plancton_tick.act import Acted
from plancton_tick.doing import Done, Verdict
from plancton_tick.errors import EXIT_OK, HostError, ImageMissingError, PlanctonError
from plancton_tick.fields import of_end, of_overload, of_pilot, of_spawn
from plancton_tick.ledger import Snapshot
from plancton_tick.model import (
    Announce,
    Ask,
    Observation,
    Outcome,
    Pause,
    Pilot,
    Reap,
    Resume,
    Spawn,
    Terminate,
)
from plancton_tick.outcome import IMAGE_MISSING
from plancton_tick.pulling import UNANSWERED
from plancton_tick.standing import Change, State

JOURNAL_SOCKET = "/run/systemd/journal/socket"
# The unit whose journal tells the whole story: with this field journalctl -u shows what root sent.
TICK_UNIT = "plancton.service"
INTRODUCTION_SECONDS = 2.0

# syslog(3) priorities.
ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7


class Kind(Enum):
    """The events, each with the message ID by which the journal knows it."""

    SPAWNED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d01"
    ENDED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d02"
    PAUSED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d03"
    RESUMED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d04"
    TERMINATED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d05"
    REMOVED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d06"
    ACTION_FAILED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d07"
    STRANGER = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d08"
    FOREIGN_VOLUME = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d09"
    CONFIG_BAD = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d0a"
    CONFIG_GOOD = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d0b"
    ENGINE_DOWN = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d0c"
    ENGINE_BACK = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d0d"
    HOST_UNREADABLE = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d0e"
    HOST_READABLE = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d0f"
    DRAINING = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d10"
    DRAIN_ENDED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d11"
    HELD = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d12"
    HELD_ENDED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d13"
    ANNOUNCED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d15"
    OPERATOR = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d14"
    ASKED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d20"
    IMAGE_MISSING = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d21"
    PULLED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d22"
    IMAGE_CHANGED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d23"
    PULL_FAILED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d24"
    SAMPLE = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d30"
    EXPORT_FAILED = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d31"
    DATABASE_DOWN = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d32"
    DATABASE_BACK = "5f4dd8b6f5c34a6d8a4c0a3c7d0f6d33"


class Event(NamedTuple):
    """One line for the operator; ``fields`` are journal fields besides the message."""

    kind: Kind
    priority: int
    message: str
    fields: Mapping[str, str]


def report(observation: Observation, snapshot: Snapshot, acted: Acted) -> int:
    """Report what a tick did and return its exit code: the gravest of its failed actions."""
    for name, fault in snapshot.foreign.items():
        if f"volume {name}" not in observation.ledger.told:
            message = f"volume {name} is left alone: {fault}"
            emit(Event(Kind.FOREIGN_VOLUME, WARNING, message, {"PLANCTON_VOLUME": name}))
    told: set[str] = set()
    errors = []
    for done in acted.done:
        event = describe(done, observation)
        is_missing = isinstance(done.error, ImageMissingError)
        if event is not None and not (is_missing and event.message in told):
            emit(event)
            told.add(event.message)
        # Whoever has asked for what was missing has done all that is to be done.
        if done.error is not None and not (is_missing and observation.can_ask):
            errors.append(done.error)
    if acted.error is not None:
        emit(Event(Kind.ACTION_FAILED, ERROR, f"not noted: {acted.error.message}", {}))
        errors.append(acted.error)
    # 69, the engine itself, says more than 75, some action of many.
    return min((error.exit_code for error in errors), default=EXIT_OK)


def report_faults(faults: Iterable[str]) -> None:
    """Report every fault of a bad configuration, a line each."""
    for fault in faults:
        emit(Event(Kind.CONFIG_BAD, ERROR, fault, {}))


def report_error(error: PlanctonError) -> None:
    """Report why nothing could be done."""
    report_faults(error.faults)
    kind = Kind.HOST_UNREADABLE if isinstance(error, HostError) else Kind.ENGINE_DOWN
    emit(Event(kind, ERROR, error.words(), {}))


def report_change(change: Change, states: Mapping[State, str]) -> None:
    """Report the states that begin and end now."""
    for state, seconds in change.ended:
        lasted = {"PLANCTON_SECONDS": f"{seconds:.0f}"}
        message = f"{_ENDINGS[state][1]}, after {seconds:.0f} s"
        emit(Event(_ENDINGS[state][0], NOTICE, message, lasted))
    for state in change.began:
        text = states[state]
        if state is State.BAD_CONFIG:
            report_faults(text.split("\n"))
        else:
            kind, priority, opening = _BEGINNINGS[state]
            emit(Event(kind, priority, f"{opening}{text}", {"PLANCTON_REASON": text}))


_BEGINNINGS = {
    State.ENGINE_DOWN: (Kind.ENGINE_DOWN, ERROR, ""),
    State.HOST_UNREADABLE: (Kind.HOST_UNREADABLE, ERROR, ""),
    State.DRAINING: (Kind.DRAINING, NOTICE, "no new pilots: "),
    State.HELD: (Kind.HELD, NOTICE, "held by the owner: "),
}
_ENDINGS = {
    State.BAD_CONFIG: (Kind.CONFIG_GOOD, "the configuration is good again"),
    State.ENGINE_DOWN: (Kind.ENGINE_BACK, "the engine answers again"),
    State.HOST_UNREADABLE: (Kind.HOST_READABLE, "the host can be read again"),
    State.DRAINING: (Kind.DRAIN_ENDED, "no longer draining"),
    State.HELD: (Kind.HELD_ENDED, "no longer held by the owner"),
}


def describe(done: Done, observation: Observation) -> Event | None:
    """Put into words what became of an action; None if there is nothing to say of it."""
    action, node = done.action, observation.node
    # A pilot that this tick has counted is reported by it, whoever was first to remove it.
    if done.verdict is Verdict.OVERTAKEN and not (isinstance(action, Reap) and action.outcome):
        return None
    if done.error is not None:
        if isinstance(action, Spawn) and isinstance(done.error, ImageMissingError):
            return _missing_image(action, done.error, observation)
        return _failure(done, done.error, node)
    match action:
        case Spawn(type=pilot_type, slot=slot, reason=reason):
            if done.verdict is Verdict.STRANGER:
                return _stranger(done, slot, observation)
            message = f"spawned {pilot_type.name} in slot {slot}: {reason}"
            fields = of_spawn(action, done.name, done.container_id, observation.taken_at, node)
            return Event(Kind.SPAWNED, NOTICE, message, fields)
        case Reap(pilot=pilot, outcome=how, reason=reason):
            if how is None:
                message = f"removed {_name(pilot)}: {reason}"
                return Event(Kind.REMOVED, NOTICE, message, of_pilot(pilot, reason, node))
            fields = {**of_pilot(pilot, reason, node), **of_end(pilot, how, done.digest)}
            priority = ERROR if how is Outcome.FAILED else NOTICE
            message = f"{_name(pilot)} ended, {how}: {reason}{_usage(pilot)}"
            return Event(Kind.ENDED, priority, message, fields)
        case Terminate(pilot=pilot, outcome=how, reason=reason):
            fields = {**of_pilot(pilot, reason, node), "PLANCTON_OUTCOME": str(how)}
            fields |= of_overload(action.overload_seconds)
            message = f"terminating {_name(pilot)}, {how}: {reason}"
            return Event(Kind.TERMINATED, NOTICE, message, fields)
        case Pause(pilot=pilot, reason=reason):
            message = f"paused {_name(pilot)}: {reason}"
            fields = {**of_pilot(pilot, reason, node), **of_overload(action.overload_seconds)}
            return Event(Kind.PAUSED, NOTICE, message, fields)
        case Announce(pilot=pilot, reason=reason):
            message = f"announced to {_name(pilot)}: {reason}"
            return Event(Kind.ANNOUNCED, INFO, message, of_pilot(pilot, reason, node))
        case Resume(pilot=pilot, reason=reason):
            message = f"resumed {_name(pilot)}: {reason}"
            return Event(Kind.RESUMED, NOTICE, message, of_pilot(pilot, reason, node))
        case Ask(image=image, reason=reason):
            fields = {"PLANCTON_IMAGE": image, "PLANCTON_REASON": reason}
            message = f"asked for image {image}: {reason}"
            return Event(Kind.ASKED, _urgency(image, observation), message, fields)
        case _:
            assert_never(action)


def _failure(done: Done, error: PlanctonError, node: str) -> Event:
    action = done.action
    if isinstance(action, Spawn):
        what = f"no {action.type.name} pilot in slot {action.slot}"
        fields = {
            "PLANCTON_TYPE": action.type.name,
            "PLANCTON_SLOT": str(action.slot),
            "PLANCTON_REASON": error.message,
        }
    elif isinstance(action, Ask):
        what = "no new image"
        fields = {"PLANCTON_IMAGE": action.image, "PLANCTON_REASON": action.reason}
    else:
        what = f"{_name(action.pilot)} not {_PARTICIPLES[type(action)]}"
        fields = of_pilot(action.pilot, action.reason, node)
    return Event(Kind.ACTION_FAILED, ERROR, f"{what}: {error.words()}", fields)


def _missing_image(spawn: Spawn, error: ImageMissingError, observation: Observation) -> Event:
    """Say once for all pilots of the type, and softly from then on, that there is no image."""
    image, name = spawn.type.image, spawn.type.name
    hint = "it is asked for" if observation.can_ask else error.hint
    fields = {"PLANCTON_TYPE": name, "PLANCTON_IMAGE": image, "PLANCTON_REASON": error.message}
    wait = observation.ledger.backoffs.get(name)
    is_known = wait is not None and wait.why == IMAGE_MISSING
    priority = (INFO if is_known else WARNING) if observation.can_ask else ERROR
    message = f"no {name} pilots: image {image} is missing ({hint})"
    return Event(Kind.IMAGE_MISSING, priority, message, fields)


def _urgency(image: str, observation: Observation) -> int:
    """Say how loudly to tell that an image is asked for: an ask in vain loudly, and once."""
    pull = observation.ledger.pulls.get(image)
    if pull is not None and pull.failures:
        return INFO
    return WARNING if pull is not None and pull.state in UNANSWERED else NOTICE


_PARTICIPLES: Mapping[type, str] = {
    Terminate: "terminated",
    Pause: "paused",
    Resume: "resumed",
    Announce: "told",
    Reap: "removed",
}


def _stranger(done: Done, slot: int, observation: Observation) -> Event | None:
    known = observation.ledger.strangers.get(str(slot))
    if known is not None and known.container_id == done.holder:
        return None
    message = (
        f"slot {slot} is left out: its name is held by container {done.holder[:12]}, "
        "which is not a pilot and is left alone"
    )
    fields = {"PLANCTON_SLOT": str(slot), "CONTAINER_ID_FULL": done.holder}
    return Event(Kind.STRANGER, WARNING, message, fields)


def _name(pilot: Pilot) -> str:
    return f"{pilot.name} ({pilot.type})"


def _usage(pilot: Pilot) -> str:
    seconds = pilot.exit.used.cpu_seconds if pilot.exit is not None else None
    return "" if seconds is None else f", used {seconds:.3g} s of CPU"


def emit(event: Event, program: str = "plancton-tick") -> None:
    """Write one event where this process's messages go."""
    if is_journal_stream():
        introduce(sys.stderr.fileno())
        # Sent natively: as text on stderr it would lose its fields.
        _send(event, program)
    else:
        print(f"{program}: {event.message}", file=sys.stderr)


def report_operator(verb: str, who: str, message: str) -> None:
    """Note in the journal, where there is one, what an operator did.

    It goes beside the ticks' own lines, whatever terminal the operator sits at: who looks for the
    reason of a drain looks there.
    """
    if os.path.exists(JOURNAL_SOCKET):
        fields = {
            "PLANCTON_OPERATOR": who,
            "PLANCTON_VERB": verb,
            "OBJECT_SYSTEMD_UNIT": TICK_UNIT,
        }
        event = Event(Kind.OPERATOR, NOTICE, f"{verb} by {who}: {message}", fields)
        _send(event, "planctonctl")


def _send(event: Event, identifier: str) -> None:
    from systemd import journal

    journal.send(
        event.message,
        MESSAGE_ID=event.kind.value,
        PRIORITY=str(event.priority),
        PLANCTON_EVENT=event.kind.name.lower().replace("_", "-"),
        SYSLOG_IDENTIFIER=identifier,
        **event.fields,
    )


@cache
def introduce(stream: int) -> None:
    """Have the journal know this process's unit, once and before it is told anything.

    It looks up the unit of an event's sender when it reads the event, and on a busy host the tick
    has ended by then: the event would be of no unit, and ``journalctl -u`` would not show it. But
    stderr is a ``stream`` that the manager opened in the unit's name, and with the first line there
    the journal keeps that name for all that its process says. Of an empty line it keeps no more.

    Waits until the line was read, or ``INTRODUCTION_SECONDS``: late and of no unit is better than
    a tick that waits for a journal that hangs.
    """
    import time
    from fcntl import ioctl
    from termios import TIOCOUTQ

    end = time.monotonic() + INTRODUCTION_SECONDS
    with suppress(OSError):
        os.write(stream, b"\n")
        # The bytes that the other end has not read yet, unix(7).
        while any(ioctl(stream, TIOCOUTQ, bytes(4))) and time.monotonic() < end:
            time.sleep(0.001)


def is_journal_stream(environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether stderr goes to the journal: systemd.exec(5), $JOURNAL_STREAM."""
    stream = (os.environ if environment is None else environment).get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"
