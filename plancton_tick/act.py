"""Carry out a plan: note, act, note.

The ledger is written before anything is done, so that a tick killed in the middle has counted what
it was about to remove and marked what it was about to end; and again afterwards for what only the
doing tells: that a signal was sent, that a spawn failed, that a stranger holds a name.

Reclaims come first: the owner waits for them. Within each kind all run in parallel, so that an
engine that hangs with one of them costs a tick one time-out, and not one for every pilot.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar, assert_never

from plancton_tick import outcome
from plancton_tick.cgroup import lift_slice, weigh_slice
from plancton_tick.container import JOURNALD, make_body
from plancton_tick.engine import EngineInfo, Holder
from plancton_tick.errors import (
    ConflictError,
    EngineRefusedError,
    EngineUnavailableError,
    ImageMissingError,
    NameTakenError,
    NotFoundError,
    PlanctonError,
    RequestError,
)
from plancton_tick.ledger import Snapshot, VolumeEngine, remove_lower, replace, update
from plancton_tick.model import (
    Action,
    Ask,
    Ending,
    Ledger,
    Pause,
    PilotState,
    Plan,
    Reap,
    Resume,
    Spawn,
    Stranger,
    Terminate,
)
from plancton_tick.mounts import find_mount_faults

# The engine itself does not create more than this many containers at once any faster.
PARALLEL = 16
# Docker refuses the journald driver unless it finds this socket, whatever its list of drivers says.
JOURNALD_SOCKET = "/run/systemd/journal/socket"

ActionT = TypeVar("ActionT", bound=Action)


class ActingEngine(VolumeEngine, Protocol):
    """What acting needs of an engine, besides volumes."""

    instance: str

    @property
    def is_local(self) -> bool:
        """Tell whether the engine runs on this host."""

    def prepare_changes(self) -> None:
        """Connect what several threads are about to share."""

    def read_info(self) -> EngineInfo:
        """Say what the engine is."""

    def read_holder(self, name: str) -> Holder:
        """Say who holds a container name."""

    def create(self, name: str, body: dict[str, object]) -> str:
        """Create a container, return its id."""

    def start(self, container_id: str) -> None:
        """Start a created container."""

    def pause(self, container_id: str) -> None:
        """Freeze a container."""

    def resume(self, container_id: str) -> None:
        """Thaw a container."""

    def signal(self, container_id: str, signal: str) -> None:
        """Send a signal to a container."""

    def remove(self, container_id: str) -> None:
        """Remove a container, killing it if it runs."""


class Verdict(StrEnum):
    """What became of an action."""

    DONE = "done"
    OVERTAKEN = "overtaken"
    STRANGER = "stranger"
    FAILED = "failed"


class Done(NamedTuple):
    """What became of an action; ``container_id`` is set for a spawn that worked.

    Overtaken means that another tick, or the pilot itself, was first: nobody's fault. ``holder``
    is the stranger's container that holds the name of the slot.
    """

    action: Action
    verdict: Verdict
    container_id: str = ""
    holder: str = ""
    error: PlanctonError | None = None


class Acted(NamedTuple):
    """What a tick did, in order, and the ledger it left.

    ``error`` is why the ledger lacks what only the doing told.
    """

    done: tuple[Done, ...]
    ledger: Ledger
    error: PlanctonError | None = None


def apply(
    plan: Plan,
    engine: ActingEngine,
    snapshot: Snapshot,
    observed: Ledger,
    now: float,
    node: str,
    runtime: str | None = None,
) -> Acted:
    """Carry out the plan and return what became of each action, in the plan's order.

    ``observed`` is the ledger that the plan was made from, ``runtime`` the folder that images are
    asked for in. Raises LostRaceError, with nothing done,
    if somebody changed the ledger since; EngineUnavailableError if the engine cannot be reached.
    """
    # Where there are pilots there is a ledger, so that none found means one being replaced.
    if plan.ledger != observed or not snapshot.generation:
        snapshot = replace(engine, engine.instance, snapshot, plan.ledger)
    else:
        remove_lower(engine, snapshot)
    if not plan.actions:
        return Acted((), snapshot.ledger)
    engine.prepare_changes()
    first: list[Action] = [a for a in plan.actions if isinstance(a, Terminate | Pause)]
    reaps: list[Action] = [a for a in plan.actions if isinstance(a, Reap)]
    resumes: list[Action] = [a for a in plan.actions if isinstance(a, Resume)]
    spawns = [a for a in plan.actions if isinstance(a, Spawn)]
    done: list[Done] = []
    if engine.is_local:
        # Where no systemd does it the promise to the owner is the tick's: before any pilot runs.
        weigh_slice(f"{engine.instance}.slice")
    done += _give_back(engine, first)
    for each in (reaps, resumes):
        done += _in_parallel(lambda action: _try(engine, action), each)
    done += [_ask(ask, runtime) for ask in plan.actions if isinstance(ask, Ask)]
    if spawns:
        done += _spawn_all(engine, spawns, now, node)
    if not any(_leaves_a_note(entry) for entry in done):
        return Acted(tuple(done), snapshot.ledger)
    since = now if observed.overload_since is None else observed.overload_since
    try:
        noted = update(engine, engine.instance, lambda fresh: _note(fresh, done, now, since))
    except (EngineRefusedError, EngineUnavailableError) as error:
        # What was done is told all the same; the next tick does once more what it finds no note of.
        return Acted(tuple(done), snapshot.ledger, error)
    return Acted(tuple(done), noted.ledger)


def _give_back(engine: ActingEngine, ends: Sequence[Action]) -> list[Done]:
    if not (engine.is_local and any(isinstance(action, Pause) for action in ends)):
        return _in_parallel(lambda action: _try(engine, action), ends)
    lift_slice(f"{engine.instance}.slice")
    try:
        return _in_parallel(lambda action: _try(engine, action), ends)
    finally:
        weigh_slice(f"{engine.instance}.slice")


def _try(engine: ActingEngine, action: Action) -> Done:
    """Do one action on one pilot; a pilot that went by itself is no error."""
    try:
        match action:
            case Terminate(pilot=pilot):
                if pilot.state is PilotState.PAUSED:
                    # A frozen process gets its signal only when it is thawed.
                    _ignoring_conflict(engine.resume, pilot.id)
                engine.signal(pilot.id, "SIGTERM")
            case Pause(pilot=pilot):
                engine.pause(pilot.id)
            case Resume(pilot=pilot):
                engine.resume(pilot.id)
            case Reap(pilot=pilot):
                engine.remove(pilot.id)
            case Spawn() | Ask():
                raise TypeError("spawns are done together, and asking is for _ask")
            case _:
                assert_never(action)
    except (NotFoundError, ConflictError):
        return Done(action, Verdict.OVERTAKEN)
    except (EngineRefusedError, EngineUnavailableError) as error:
        return Done(action, Verdict.FAILED, error=error)
    return Done(action, Verdict.DONE)


def _ask(ask: Ask, runtime: str | None) -> Done:
    from plancton_tick.asking import write_request

    try:
        if runtime is None:
            raise RequestError(f"image {ask.image}: there is no folder to ask for it in")
        write_request(runtime, ask.image)
    except RequestError as error:
        return Done(ask, Verdict.FAILED, error=error)
    return Done(ask, Verdict.DONE)


def _ignoring_conflict(call: Callable[[str], None], container_id: str) -> None:
    with suppress(ConflictError):
        call(container_id)


def _spawn_all(engine: ActingEngine, spawns: Sequence[Spawn], now: float, node: str) -> list[Done]:
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
        )
        return _spawn(engine, spawn, f"{engine.instance}-{spawn.slot}", body)

    return _in_parallel(spawn_one, spawns)


def _spawn(engine: ActingEngine, spawn: Spawn, name: str, body: dict[str, object]) -> Done:
    try:
        container_id = engine.create(name, body)
    except NameTakenError:
        return _who_holds(engine, spawn, name)
    except (EngineRefusedError, EngineUnavailableError) as error:
        return Done(spawn, Verdict.FAILED, error=error)
    try:
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
    return Done(spawn, Verdict.DONE, container_id=container_id)


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


def _in_parallel(do: Callable[[ActionT], Done], actions: Sequence[ActionT]) -> list[Done]:
    if len(actions) < 2:
        return [do(action) for action in actions]
    with ThreadPoolExecutor(min(PARALLEL, len(actions))) as pool:
        return list(pool.map(do, actions))


def _leaves_a_note(done: Done) -> bool:
    refused = isinstance(done.error, EngineRefusedError)
    if isinstance(done.action, Terminate):
        return done.verdict is Verdict.DONE or refused
    if isinstance(done.action, Pause):
        return done.verdict is Verdict.FAILED
    if isinstance(done.action, Spawn):
        # Refused: a type that cannot start (no image, no such command), not an engine in trouble.
        return done.verdict is Verdict.STRANGER or refused
    return False


def _note(ledger: Ledger, all_done: Iterable[Done], now: float, overload_since: float) -> Ledger:
    """Return the ledger with what only the doing told.

    ``overload_since`` is when the overload began that this tick paused pilots for.
    """
    paused = dict(ledger.paused)
    ending = dict(ledger.ending)
    strangers = dict(ledger.strangers)
    backoffs = ledger.backoffs
    for done in all_done:
        if not _leaves_a_note(done):
            continue
        match done.action:
            case Terminate(pilot=pilot, outcome=how):
                # A signal that was refused was a warning too: its grace runs, and ends it.
                ending[pilot.id] = Ending(how, now, signalled=True)
            case Pause(pilot=pilot):
                # Not given back: the next tick tries again, without waiting for the overload anew.
                paused.pop(pilot.id, None)
                ledger = ledger._replace(overload_since=overload_since)
            case Spawn(type=pilot_type, slot=slot):
                if done.verdict is Verdict.STRANGER:
                    strangers[str(slot)] = Stranger(done.holder, now)
                else:
                    missing = isinstance(done.error, ImageMissingError)
                    why = outcome.IMAGE_MISSING if missing else outcome.NOT_STARTED
                    backoffs = outcome.after_failed_spawn(backoffs, pilot_type, now, why)
            case _:
                continue
    return ledger._replace(paused=paused, ending=ending, strangers=strangers, backoffs=backoffs)
