"""The ledger as JSON, and its instants when the clock was stepped. Pure.

The JSON is read as a stranger's: every value is checked, and what does not fit makes the whole
ledger unreadable, because half a ledger would count pilots twice or forget a drain.
"""

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from plancton_tick.model import (
    Backoff,
    Drain,
    Ending,
    HostClock,
    Ledger,
    Outcome,
    Pull,
    PullState,
    Stranger,
)

SCHEMA = 1
# Below this a difference between two clocks is drift, not a step.
STEP_SECONDS = 2.0

Value = TypeVar("Value")


def dump(ledger: Ledger, marks: tuple[str, ...]) -> str:
    """Return the ledger as one line of JSON; empty facts are left out."""
    facts: dict[str, object] = dict(ledger.unknown)
    facts.setdefault("schema", SCHEMA)
    facts["marks"] = marks
    for name in Ledger._fields:
        value = getattr(ledger, name)
        if name != "unknown" and value is not None and value != {}:
            facts[name] = _plain(value)
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def parse(text: str | None) -> tuple[Ledger, tuple[str, ...]]:
    """Read a ledger and its marks back. Raises ValueError: what was expected, what was found."""
    if text is None:
        raise ValueError("expected the label io.plancton.ledger, found none")
    try:
        facts = json.loads(text)
        if not isinstance(facts, dict):
            raise ValueError(f"expected a mapping, found {type(facts).__name__}")
        schema = facts.get("schema")
        if type(schema) is not int or schema < SCHEMA:
            raise ValueError(f"expected schema {SCHEMA} or later, found {schema!r}")
        marks = tuple(_text(mark) for mark in _list(facts.pop("marks", None)))
        clock = facts.pop("clock", None)
        drain = facts.pop("drain", None)
        ledger = Ledger(
            drain=None if drain is None else _read_drain(drain),
            overload_since=_optional_number(facts.pop("overload_since", None)),
            last_reclaim_at=_optional_number(facts.pop("last_reclaim_at", None)),
            paused=_map(facts.pop("paused", {}), _number),
            ending=_map(facts.pop("ending", {}), _read_ending),
            backoffs=_map(facts.pop("backoffs", {}), _read_backoff),
            counts=_map(facts.pop("counts", {}), lambda of_type: _map(of_type, _count)),
            pauses=_map(facts.pop("pauses", {}), _count),
            counted=_map(facts.pop("counted", {}), _number),
            strangers=_map(facts.pop("strangers", {}), _read_stranger),
            pulls=_map(facts.pop("pulls", {}), _read_pull),
            told=_map(facts.pop("told", {}), _number),
            announced=_map(facts.pop("announced", {}), _number),
            clock=None if clock is None else _read_clock(clock),
            unknown={} if set(facts) == {"schema"} and schema == SCHEMA else facts,
        )
        for slot in ledger.strangers:
            int(slot)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a readable ledger: {error}") from None
    return ledger, marks


def rebase(ledger: Ledger, clock: HostClock, now: float) -> Ledger:
    """Return the ledger with its instants on today's clock.

    If the wall clock was stepped since the ledger was written, in the same boot, all its instants
    move by the step: what lasted ten seconds still has lasted ten seconds. Whatever then still
    began in the future (another boot with its clock set back) counts as beginning now.
    """
    if ledger.clock == clock:
        return ledger
    step = 0.0
    if ledger.clock is not None and ledger.clock.boot_id == clock.boot_id:
        difference = clock.offset_seconds - ledger.clock.offset_seconds
        if abs(difference) < STEP_SECONDS:
            return ledger
        step = difference

    def began(instant: float) -> float:
        return min(instant + step, now)

    return ledger._replace(
        clock=clock,
        drain=ledger.drain and ledger.drain._replace(at=began(ledger.drain.at)),
        overload_since=_shift(ledger.overload_since, began),
        last_reclaim_at=_shift(ledger.last_reclaim_at, began),
        paused={key: began(since) for key, since in ledger.paused.items()},
        ending={
            key: ending._replace(since=began(ending.since)) for key, ending in ledger.ending.items()
        },
        backoffs={
            key: wait._replace(until=min(wait.until + step, now + wait.step_seconds))
            for key, wait in ledger.backoffs.items()
        },
        counted={key: began(at) for key, at in ledger.counted.items()},
        strangers={
            key: stranger._replace(seen_at=began(stranger.seen_at))
            for key, stranger in ledger.strangers.items()
        },
        pulls={
            image: pull._replace(since=began(pull.since)) for image, pull in ledger.pulls.items()
        },
        told={key: began(at) for key, at in ledger.told.items()},
        announced={key: until + step for key, until in ledger.announced.items()},
    )


def _plain(value: object) -> object:
    """Turn named tuples into mappings, so that a later version may add a field to one."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _shift(instant: float | None, began: Callable[[float], float]) -> float | None:
    return None if instant is None else began(instant)


def _number(value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"expected a number, found {value!r:.80}")
    number = float(value)  # type: ignore[arg-type]  # the line above says what it is
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"expected a finite number, found {value!r}")
    return number


def _optional_number(value: object) -> float | None:
    return None if value is None else _number(value)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a count, found {value!r:.80}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, found {value!r:.80}")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, found {value!r:.80}")
    return value


def _fields(value: object, *names: str) -> list[object]:
    if not isinstance(value, dict) or not all(name in value for name in names):
        raise ValueError(f"expected a mapping with {', '.join(names)}, found {value!r:.80}")
    return [value[name] for name in names]


def _map(value: object, read: Callable[[object], Value]) -> Mapping[str, Value]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping, found {value!r:.80}")
    return {key: read(entry) for key, entry in value.items()}


def _optional(value: object, name: str, default: object = False) -> object:
    """Return what a field that earlier versions did not write says."""
    return value.get(name, default) if isinstance(value, dict) else default


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {value!r:.80}")
    return value


def _read_drain(value: object) -> Drain:
    by, at, why = _fields(value, "by", "at", "why")
    flags = [_flag(_optional(value, name)) for name in ("ends_pilots", "stops_timer")]
    return Drain(_text(by), _number(at), _text(why), *flags)


def _read_ending(value: object) -> Ending:
    outcome, since, signalled = _fields(value, "outcome", "since", "signalled")
    return Ending(Outcome(_text(outcome)), _number(since), _flag(signalled))


def _read_backoff(value: object) -> Backoff:
    until, step, why = _fields(value, "until", "step_seconds", "why")
    return Backoff(_number(until), _number(step), _text(why))


def _read_stranger(value: object) -> Stranger:
    container_id, seen_at = _fields(value, "container_id", "seen_at")
    return Stranger(_text(container_id), _number(seen_at))


def _read_pull(value: object) -> Pull:
    state, since, failures, digest = _fields(value, *Pull._fields)
    return Pull(PullState(_text(state)), _number(since), _count(failures), _text(digest))


def _read_clock(value: object) -> HostClock:
    boot_id, offset = _fields(value, "boot_id", "offset_seconds")
    return HostClock(_text(boot_id), _number(offset))
