"""What came of a simulated day, in numbers that can be added up over a fleet, and the record."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What can happen to a pilot."""

    SPAWNED = "spawned"
    DONE = "done"
    WITHOUT_WORK = "without work"
    PAUSED = "paused"
    RESUMED = "resumed"
    KILLED = "killed"


class Event(NamedTuple):
    """Something that happened to a pilot, in seconds since the day began."""

    at: float
    kind: Kind


class Segment(NamedTuple):
    """A while in which nothing changed: cores used, and bytes held, by owner and pilots.

    ``owner_cores`` is what the owner wants, ``owner_got`` what it gets.
    """

    start: float
    end: float
    owner_cores: float
    owner_got: float
    pilot_cores: float
    owner_memory: float
    pilot_memory: float


class Tally(NamedTuple):
    """Sums over a day, or over many hosts' days.

    ``idle`` is what the owner left, less the reserve; ``harvested`` what pilots used, ``lost`` the
    part of it that went with pilots ended for the owner's sake; ``stalled`` what running pilots
    could not get. A *flap* is a pilot given back although the owner used no more than when the
    pilot was started or resumed, but for the tolerance. ``killed`` were terminated or removed for
    the owner's sake. ``owner_short`` is what the owner wanted of the CPU and pilots had;
    ``memory_short`` what pilots held of the memory that the owner wanted.
    """

    hosts: int = 1
    seconds: float = 0.0
    ticks: int = 0
    decisions: int = 0
    idle_core_seconds: float = 0.0
    harvested_core_seconds: float = 0.0
    lost_core_seconds: float = 0.0
    stalled_core_seconds: float = 0.0
    owner_core_seconds: float = 0.0
    owner_short_core_seconds: float = 0.0
    memory_short_byte_seconds: float = 0.0
    memory_short_peak_bytes: float = 0.0
    spawned: int = 0
    done: int = 0
    without_work: int = 0
    failed: int = 0
    expired: int = 0
    paused: int = 0
    resumed: int = 0
    killed: int = 0
    flaps: int = 0

    @property
    def harvested_share(self) -> float | None:
        """Return the part of the idle CPU that pilots used; None if there was none."""
        idle = self.idle_core_seconds
        return self.harvested_core_seconds / idle if idle > 0 else None

    @property
    def kept_share(self) -> float | None:
        """Return the same less what was lost."""
        idle = self.idle_core_seconds
        kept = self.harvested_core_seconds - self.lost_core_seconds
        return kept / idle if idle > 0 else None

    @property
    def reclaims(self) -> int:
        """Return how often a pilot was given back: paused, or ended at once."""
        return self.paused + self.killed

    def add(self, other: "Tally") -> "Tally":
        """Return the sums of both; of peaks the higher."""
        sums = Tally._make(mine + theirs for mine, theirs in zip(self, other, strict=True))
        peak = max(self.memory_short_peak_bytes, other.memory_short_peak_bytes)
        return sums._replace(memory_short_peak_bytes=peak)


class Record:
    """What happened and how the load went, for pictures; None of it is needed for the sums."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.segments: list[Segment] = []
