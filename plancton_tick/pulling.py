"""Which images to ask for now, and what becomes of an answer. Pure.

The tick asks and does not wait: ``plancton-pull`` pulls, and writes into the ledger what came of
it. An image is due

- when a pilot could not be started for want of it: at once;
- else ``pull`` after the last pull, or after it was first seen here; each host takes a tenth more
  or less of that time, always the same, so that a fleet set up at once does not pull at once. With
  ``pull: infinity``, or a name that ends in a digest, never;
- after a pull that failed: 30 s later, doubled each time up to an hour;
- where nobody took it up: two minutes after it was asked for, or as long as after a failure if
  that is longer; where a pull was begun and nothing came of it, when it must be over. A restart of
  the host loses what was asked for and what was begun, so then at once.
"""

from collections.abc import Mapping

from plancton_tick.model import Ask, Config, Ledger, Observation, PilotType, Pull, PullState
from plancton_tick.outcome import IMAGE_MISSING, without

FIRST_WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 3600.0
ANSWER_SECONDS = 120.0
# Longer than any pull may take: its time-out, a last silence, and some for a slow engine.
PULLING_SECONDS = 2400.0
# Each host's part of ``pull`` is drawn from 1 - SPREAD to 1 + SPREAD.
SPREAD = 0.1
# A prime, and a factor of about the golden ratio of it, for names that differ in a digit alone.
PRIME = 2**61 - 1
FACTOR = 0x13C6EF372FE94F82
INFINITY = float("inf")
UNANSWERED = (PullState.ASKED, PullState.PULLING)


def plan_asks(
    config: Config, observation: Observation, ledger: Ledger
) -> tuple[tuple[Ask, ...], Mapping[str, Pull]]:
    """Say which images to ask for, and what the ledger is to hold on images then.

    While draining nothing is asked for, nor while the disk is short that an image would fill.
    """
    host, now = observation.host, observation.taken_at
    free = host.disk_free_bytes
    is_short = free is not None and free < config.host.reserve_disk_bytes
    if not observation.can_ask or ledger.drain is not None or is_short:
        return (), ledger.pulls
    asks = []
    pulls = {}
    for image, types in images_of(config).items():
        pull = ledger.pulls.get(image) or Pull(PullState.SEEN, now)
        missing_at = read_missing_at(types, ledger)
        every = every_seconds(image, types)
        due = due_at(
            pull,
            every,
            is_missing=missing_at is not None,
            stretch=stretch(observation.node, image),
            booted_at=observation.booted_at,
        )
        if due <= now:
            asks.append(Ask(image, _reason(pull, every, missing_at, now)))
            in_vain = pull.failures + (pull.state in UNANSWERED)
            pull = Pull(PullState.ASKED, round(now, 3), in_vain, pull.digest)
        pulls[image] = pull
    return tuple(asks), pulls


def images_of(config: Config) -> dict[str, list[PilotType]]:
    """Return the images that pilots may be spawned from, each with its types."""
    images: dict[str, list[PilotType]] = {}
    for pilot_type in config.pilots:
        if pilot_type.share > 0 and pilot_type.max_live != 0:
            images.setdefault(pilot_type.image, []).append(pilot_type)
    return images


def every_seconds(image: str, types: list[PilotType]) -> float:
    """Return the shortest ``pull`` of an image's types; a digest always names the same image."""
    return INFINITY if "@" in image else min(pilot_type.pull_seconds for pilot_type in types)


def read_missing_at(types: list[PilotType], ledger: Ledger) -> float | None:
    """Return when a pilot was last found to have no image, None if the image is not missing."""
    waits = (ledger.backoffs.get(pilot_type.name) for pilot_type in types)
    missing = [
        wait.until - wait.step_seconds
        for wait in waits
        if wait is not None and wait.why == IMAGE_MISSING
    ]
    return max(missing, default=None)


def due_at(
    pull: Pull, every: float, *, is_missing: bool, stretch: float, booted_at: float
) -> float:
    """Return the instant from which on the image is to be asked for."""
    if not is_missing and every == INFINITY:
        return INFINITY
    match pull.state:
        case PullState.ASKED | PullState.PULLING if pull.since < booted_at:
            return pull.since
        case PullState.ASKED:
            return pull.since + max(ANSWER_SECONDS, wait_after(pull.failures))
        case PullState.PULLING:
            return pull.since + PULLING_SECONDS
        case PullState.FAILED:
            return pull.since + wait_after(pull.failures) * stretch
        case PullState.SEEN if is_missing:
            return pull.since
        case PullState.PULLED if is_missing:
            # Gone again, or no image for this host: not a pull at every tick.
            return pull.since + FIRST_WAIT_SECONDS
        case _:
            return pull.since + every * stretch


def wait_after(failures: int) -> float:
    """Return how long to wait after so many failures in a row."""
    # Bounded before it is doubled: the count is not, and 2.0**1024 is an error.
    doublings = min(max(0, failures - 1), 20)
    return min(FIRST_WAIT_SECONDS * 2.0**doublings, LONGEST_WAIT_SECONDS)


def stretch(node: str, image: str) -> float:
    """Return this host's factor for the time between two pulls of this image, 0.9 to 1.1."""
    # Multiplied rather than hashed: the import of a hash would cost every tick half a millisecond.
    name = int.from_bytes(f"{node} {image}".encode("utf-8", "surrogatepass"), "big")
    return 1 - SPREAD + 2 * SPREAD * (name * FACTOR % PRIME / PRIME)


def before_pull(ledger: Ledger, image: str, now: float) -> Ledger:
    """Return the ledger while an image is being pulled."""
    known = ledger.pulls.get(image) or Pull(PullState.SEEN, now)
    pulling = known._replace(state=PullState.PULLING, since=round(now, 3))
    return ledger._replace(pulls={**ledger.pulls, image: pulling})


def after_pull(
    ledger: Ledger, image: str, types: list[PilotType], digest: str, now: float
) -> Ledger:
    """Return the ledger after an image was pulled: types that waited for it wait no more."""
    backoffs = ledger.backoffs
    for pilot_type in types:
        wait = backoffs.get(pilot_type.name)
        if wait is not None and wait.why == IMAGE_MISSING:
            backoffs = without(backoffs, pilot_type.name)
    pulls = {**ledger.pulls, image: Pull(PullState.PULLED, round(now, 3), 0, digest)}
    return ledger._replace(backoffs=backoffs, pulls=pulls)


def after_failed_pull(ledger: Ledger, image: str, now: float) -> Ledger:
    """Return the ledger after an image could not be pulled."""
    known = ledger.pulls.get(image) or Pull(PullState.SEEN, now)
    failed = Pull(PullState.FAILED, round(now, 3), known.failures + 1, known.digest)
    return ledger._replace(pulls={**ledger.pulls, image: failed})


def _reason(pull: Pull, every: float, missing_at: float | None, now: float) -> str:
    ago = span(now - pull.since)
    missing = "" if missing_at is None else f"missing {span(now - missing_at)} ago, "
    match pull.state:
        case PullState.SEEN:
            return (
                f"{missing}never pulled" if missing else f"first seen {ago} ago, pull {span(every)}"
            )
        case PullState.ASKED:
            return (
                f"{missing}asked for {ago} ago and nobody answered: is plancton-pull.path started?"
            )
        case PullState.PULLING:
            return f"{missing}pulling since {ago} ago and nothing came of it"
        case PullState.FAILED:
            return f"{missing}{pull.failures} pulls failed, the last {ago} ago"
        case PullState.PULLED:
            return f"{missing}pulled {ago} ago" + ("" if missing else f", pull {span(every)}")


def span(seconds: float) -> str:
    """Write a length of time with the unit that fits it."""
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
