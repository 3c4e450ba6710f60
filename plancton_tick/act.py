"""Carry out a plan: note, act, note.

The ledger is written before anything is done, so that a tick killed in the middle has counted what
it was about to remove and marked what it was about to end; and again afterwards for what only the
doing tells: that a signal was sent, that a spawn failed, that a stranger holds a name.

Reclaims come first: the owner waits for them. Within each kind all run in parallel, so that an
engine that hangs with one of them costs a tick one time-out, and not one for every pilot.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, assert_never

from plancton_tick import outcome
from plancton_tick.birth import spawn_all
from plancton_tick.cgroup import lift_slice, weigh_slice
from plancton_tick.doing import ActingEngine, Done, Verdict, in_parallel
from plancton_tick.errors import (
    ConflictError,
    EngineRefusedError,
    EngineUnavailableError,
    ImageMissingError,
    NotFoundError,
    PlanctonError,
    RequestError,
)
from plancton_tick.features import FOLDER, shutdown_at, to_tar
from plancton_tick.ledger import Snapshot, remove_lower, replace, update
from plancton_tick.model import (
    Action,
    Announce,
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
    announces: list[Action] = [a for a in plan.actions if isinstance(a, Announce)]
    spawns = [a for a in plan.actions if isinstance(a, Spawn)]
    done: list[Done] = []
    if engine.is_local:
        # Where no systemd does it the promise to the owner is the tick's: before any pilot runs.
        weigh_slice(f"{engine.instance}.slice")
    done += _give_back(engine, first, now)
    for each in (reaps, resumes, announces):
        done += in_parallel(lambda action: _try(engine, action, now), each)
    done = _with_digests(engine, done)
    done += [_ask(ask, runtime) for ask in plan.actions if isinstance(ask, Ask)]
    if spawns:
        done += spawn_all(engine, spawns, now, node)
    if not any(_leaves_a_note(entry) for entry in done):
        return Acted(tuple(done), snapshot.ledger)
    since = now if observed.overload_since is None else observed.overload_since
    try:
        noted = update(engine, engine.instance, lambda fresh: _note(fresh, done, now, since))
    except (EngineRefusedError, EngineUnavailableError) as error:
        # What was done is told all the same; the next tick does once more what it finds no note of.
        return Acted(tuple(done), snapshot.ledger, error)
    return Acted(tuple(done), noted.ledger)


def _give_back(engine: ActingEngine, ends: Sequence[Action], now: float) -> list[Done]:
    if not (engine.is_local and any(isinstance(action, Pause) for action in ends)):
        return in_parallel(lambda action: _try(engine, action, now), ends)
    lift_slice(f"{engine.instance}.slice")
    try:
        return in_parallel(lambda action: _try(engine, action, now), ends)
    finally:
        weigh_slice(f"{engine.instance}.slice")


def _try(engine: ActingEngine, action: Action, now: float) -> Done:
    """Do one action on one pilot; a pilot that went by itself is no error."""
    try:
        match action:
            case Announce(pilot=pilot, until=until):
                engine.put(pilot.id, FOLDER, to_tar(shutdown_at(until), now))
            case Terminate(pilot=pilot):
                if action.gone_by is not None:
                    # Only a courtesy: the signal says the same.
                    with suppress(EngineRefusedError):
                        engine.put(pilot.id, FOLDER, to_tar(shutdown_at(action.gone_by), now))
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


def _with_digests(engine: ActingEngine, all_done: Sequence[Done]) -> list[Done]:
    """Note the digest of the image of each pilot that is counted: a name may mean another now."""
    digests: dict[str, str] = {}
    named = []
    for done in all_done:
        # An engine that has just failed is not asked again: it may cost another time-out.
        if isinstance(done.action, Reap) and done.action.outcome and done.error is None:
            image = done.action.pilot.image_id
            if image and image not in digests:
                digests[image] = image
                with suppress(EngineRefusedError, EngineUnavailableError):
                    digests[image] = engine.read_digest(image) or image
            done = done._replace(digest=digests.get(image, ""))
        named.append(done)
    return named


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


def _leaves_a_note(done: Done) -> bool:
    refused = isinstance(done.error, EngineRefusedError)
    if isinstance(done.action, Terminate):
        return done.verdict is Verdict.DONE or refused
    if isinstance(done.action, Announce):
        # One that was refused is not tried again: every tick would fail with it.
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
    announced = dict(ledger.announced)
    pauses, backoffs = ledger.pauses, ledger.backoffs
    for done in all_done:
        if not _leaves_a_note(done):
            continue
        match done.action:
            case Terminate(pilot=pilot, outcome=how):
                # A signal that was refused was a warning too: its grace runs, and ends it.
                ending[pilot.id] = Ending(how, now, signalled=True)
            case Announce(pilot=pilot, until=until):
                announced[pilot.id] = until
                if ledger.drain is None:
                    del announced[pilot.id]
            case Pause(pilot=pilot):
                # Not given back: the next tick tries again, without waiting for the overload anew.
                paused.pop(pilot.id, None)
                pauses = outcome.count_pause(pauses, pilot, -1)
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
    return ledger._replace(
        paused=paused,
        ending=ending,
        strangers=strangers,
        announced=announced,
        pauses=pauses,
        backoffs=backoffs,
    )
