"""What the demonstration says at its end, and whether it kept its promises. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from plancton_tick.ctl.demo_meter import Meter
from plancton_tick.errors import EXIT_OK

EXIT_FAILED = 1


class Shown(NamedTuple):
    """What came of it.

    ``was_overloaded`` tells whether the owner's return left more than is tolerated to give back.
    ``gave_back_seconds`` is None if pilots did not give way to the owner; ``owner_share`` is what
    the owner got of the cores that it wanted until they had.
    """

    did: Counter[str]
    most_running: int
    still_live: int
    ticks: int
    failed_ticks: int
    was_overloaded: bool
    gave_back_seconds: float | None
    gave_back_pilots: int
    owner_share: float | None
    outcomes: Mapping[str, int]
    why_no_pilots: tuple[str, ...]


def summary_rows(shown: Shown, meter: Meter) -> list[tuple[str, str]]:
    """Return the results as names and texts."""
    if not shown.most_running:
        return [("pilots", _pilots(shown))]
    return [
        ("idle CPU harvested", _harvest(meter)),
        ("give back", _give_back(shown)),
        ("owner", _owner(shown)),
        ("pilots", _pilots(shown)),
        ("reclaims", _reclaims(shown)),
        ("ticks", f"{shown.ticks} fired, {shown.failed_ticks} failed"),
    ]


def list_faults(shown: Shown) -> list[str]:
    """Return what was promised and did not happen, a sentence each."""
    if not shown.most_running:
        return ["No pilot appeared.", *(f"The next tick: {line}" for line in shown.why_no_pilots)]
    faults = []
    if not shown.was_overloaded:
        faults.append(
            "Pilots had nothing to give back: this host is so busy that too few of them ran."
        )
    elif shown.gave_back_seconds is None:
        faults.append("Pilots did not give the cores back while the owner wanted them.")
    return faults


def exit_code(faults: Iterable[str], left: Iterable[str], stopped_by: int | None) -> int:
    """Return 0 if all went well, 1 if not, 128 and the signal's number if we were stopped."""
    if any(left):
        return EXIT_FAILED
    if stopped_by is not None:
        return 128 + stopped_by
    return EXIT_FAILED if any(faults) else EXIT_OK


def _harvest(meter: Meter) -> str:
    after_fill, overall = meter.after_fill.share(), meter.overall.share()
    if overall is None:
        return "none: the owner left nothing idle"
    whole = f"{overall:.0%} over the whole run"
    text = whole if after_fill is None else f"{after_fill:.0%} after the first fill, {whole}"
    if meter.is_estimated:
        text += " (in part estimated: the pilots' control group cannot be read here)"
    return text


def _give_back(shown: Shown) -> str:
    if shown.gave_back_seconds is None:
        return "none"
    pilots = f"{shown.gave_back_pilots} pilot{'s' if shown.gave_back_pilots != 1 else ''} paused"
    return f"{shown.gave_back_seconds:.1f} s after the owner came back, {pilots}"


def _owner(shown: Shown) -> str:
    if shown.owner_share is None:
        return "got nothing back"
    return f"got {min(1.0, shown.owner_share):.0%} of the cores it wanted until then"


def _pilots(shown: Shown) -> str:
    ended = "".join(f"{count} {name}, " for name, count in sorted(shown.outcomes.items()))
    return f"{shown.did['spawned']} spawned: {ended}{shown.still_live} still there at the end"


def _reclaims(shown: Shown) -> str:
    did = shown.did
    terminated = f", {did['terminating']} terminated" if did["terminating"] else ""
    return f"{did['paused']} paused, {did['resumed']} resumed{terminated}"
