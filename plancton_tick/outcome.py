"""How a pilot ended, and what its type waits for it. Pure.

A pilot that we ended ourselves is neutral: it counts as what we did and its type waits for
nothing. Any other tells by its exit code; one that says "done" sooner than its type's ``fizzle``
found no work, whatever it says.

A type whose pilot found no work, could not reach its pool or failed waits ``backoff``. A pilot
spawned before that wait ended belongs to the same trouble and changes nothing; one spawned after
it is a *canary*, and if the canary ends badly too the wait doubles, up to ``backoff_max``. A
canary that lives past ``fizzle``, or is done after it, clears the wait.
"""

from collections.abc import Mapping

from plancton_tick.model import (
    Backoff,
    Ending,
    ExitCodes,
    Ledger,
    Outcome,
    Pilot,
    PilotState,
    PilotType,
)

DEFAULT_EXIT_CODES = ExitCodes(done=(0,), no_work=(75,), unreachable=(69,))
BAD_OUTCOMES = (Outcome.NO_WORK, Outcome.UNREACHABLE, Outcome.FAILED)
SIGKILL_CODE = 137
# Why a type waits whose pilot the engine could not start. A pull ends the one of the two.
NOT_STARTED = "not started"
IMAGE_MISSING = "image missing"


def judge(pilot: Pilot, pilot_type: PilotType | None, ending: Ending | None) -> tuple[Outcome, str]:
    """Say how an exited pilot ended, and why it counts as that.

    ``pilot_type`` is None where the configuration no longer has the type: then the usual exit
    codes hold and nothing fizzles. ``ending`` is the ledger's note if we ended the pilot.
    """
    if pilot.exit is None:
        return Outcome.FAILED, "the engine does not tell how it ended"
    code, ran = pilot.exit.code, pilot.exit.ran_seconds
    after = "" if ran is None else f" after {ran:.0f} s"
    said = f"exit code {code}{after}"
    if ending is not None:
        return ending.outcome, f"{said}, ended by us"
    codes = pilot_type.exit_codes if pilot_type else DEFAULT_EXIT_CODES
    fizzle = pilot_type.fizzle_seconds if pilot_type else 0.0
    if code in codes.done:
        if ran is not None and ran < fizzle:
            return Outcome.NO_WORK, f"{said}, sooner than fizzle ({fizzle:.0f} s): found no work"
        return Outcome.DONE, said
    if code in codes.no_work:
        return Outcome.NO_WORK, f"{said}: no work"
    if code in codes.unreachable:
        return Outcome.UNREACHABLE, f"{said}: pool unreachable"
    if pilot.exit.oom_killed:
        return Outcome.FAILED, f"{said}: out of memory ({pilot.memory_bytes / 2**30:.4g} GiB)"
    if code == SIGKILL_CODE:
        return Outcome.FAILED, f"{said}: killed, not by us (out of memory, or by hand)"
    return Outcome.FAILED, said


def count(ledger: Ledger, pilot: Pilot, how: Outcome, now: float) -> Ledger:
    """Return the ledger with the pilot counted, and its id noted so that it counts only once."""
    counts = {name: dict(of_type) for name, of_type in ledger.counts.items()}
    of_type = counts.setdefault(pilot.type, {})
    of_type[how] = of_type.get(how, 0) + 1
    return ledger._replace(counts=counts, counted={**ledger.counted, pilot.id: now})


def count_pause(pauses: Mapping[str, int], pilot: Pilot, step: int) -> Mapping[str, int]:
    """Return how often pilots of each type were paused, with one more, or one fewer, of this."""
    return {**pauses, pilot.type: max(0, pauses.get(pilot.type, 0) + step)}


def is_canary(pilot: Pilot, backoff: Backoff, now: float) -> bool:
    """Tell whether the pilot was spawned to try whether the trouble is over.

    One that seems spawned in the future dates from before the clock was set back: no canary, or
    all that run dry after that would be taken for one and each double the wait.
    """
    return backoff.until <= pilot.spawned_at <= now


def lengthen(backoff: Backoff | None, pilot_type: PilotType, why: str, now: float) -> Backoff:
    """Return the wait after a first failure (no wait yet) or after a canary's failure."""
    step = (
        pilot_type.backoff_seconds
        if backoff is None
        else min(2 * backoff.step_seconds, pilot_type.backoff_max_seconds)
    )
    return Backoff(until=round(now + step, 3), step_seconds=step, why=why)


def after_exit(
    backoffs: Mapping[str, Backoff],
    pilot: Pilot,
    pilot_type: PilotType,
    outcome: Outcome,
    now: float,
) -> Mapping[str, Backoff]:
    """Return the waits after this pilot ended; the same object where nothing changes."""
    backoff = backoffs.get(pilot_type.name)
    if outcome in BAD_OUTCOMES:
        if backoff is None or is_canary(pilot, backoff, now):
            return {**backoffs, pilot_type.name: lengthen(backoff, pilot_type, outcome, now)}
        return backoffs
    if outcome is Outcome.DONE and backoff is not None and is_canary(pilot, backoff, now):
        return without(backoffs, pilot_type.name)
    return backoffs


def after_failed_spawn(
    backoffs: Mapping[str, Backoff], pilot_type: PilotType, now: float, why: str = NOT_STARTED
) -> Mapping[str, Backoff]:
    """Return the waits after the engine could not start a pilot of this type."""
    backoff = backoffs.get(pilot_type.name)
    if backoff is not None and now < backoff.until:
        return backoffs
    return {**backoffs, pilot_type.name: lengthen(backoff, pilot_type, why, now)}


def after_survival(
    backoffs: Mapping[str, Backoff],
    pilots: tuple[Pilot, ...],
    types: Mapping[str, PilotType],
    now: float,
) -> Mapping[str, Backoff]:
    """Return the waits without those that a canary, alive past its fizzle, has cleared."""
    for name, backoff in backoffs.items():
        pilot_type = types.get(name)
        if pilot_type is None or now < backoff.until:
            continue
        if any(
            pilot.type == name
            and pilot.state is PilotState.RUNNING
            and is_canary(pilot, backoff, now)
            and now - pilot.spawned_at > pilot_type.fizzle_seconds
            for pilot in pilots
        ):
            backoffs = without(backoffs, name)
    return backoffs


def without(backoffs: Mapping[str, Backoff], name: str) -> Mapping[str, Backoff]:
    """Return the waits less that of one type."""
    return {key: value for key, value in backoffs.items() if key != name}
