"""What is left for pilots after owner and reserve, and what is asked back. Pure.

owner load = busy − what the pilots' slice used, over the same window; where the slice cannot be
read, busy − min(busy, Σ cpus of running pilots).

The first tenth of a core of the owner's load counts as none in what follows.

room = ncpus − reserve − owner load − Σ cpus of pilots that run. It says what may be added, so a
pilot that is being ended still holds its cores.

overload = Σ cpus of pilots that stay + owner load + reserve − ncpus. It says what must be given
back, so a pilot that is being ended has given its cores back already.
"""

from collections.abc import Iterable
from typing import NamedTuple

from plancton_tick.model import HostConfig, HostLoad, Pilot, PilotState

# Sums of decimal fractions miss by some 1e-16; a pilot of 0.1 cpus must fit in a room of 0.1.
TOLERATED_ROUNDING = 1e-9

# Any system uses some hundredths of a core when nobody uses it (0.06 on an idle Debian with Docker
# and a tick every 5 s). Counted in full they would cost a whole pilot: with 2 cores and a reserve
# of 1 nothing would ever be spawned. The slice's weight gives the owner this tenth all the same.
IDLE_CORES = 0.1

LIVE_STATES = (PilotState.CREATED, PilotState.RUNNING, PilotState.PAUSED)
HOLDING_STATES = (PilotState.CREATED, PilotState.RUNNING)


def in_gib(size_bytes: int) -> str:
    """Write a size as a reason shows it: 2 GiB, 1.25 GiB, 0.016 GiB."""
    return f"{size_bytes / 2**30:.4g} GiB"


def sum_cpus(pilots: Iterable[Pilot]) -> float:
    """Add up the cores of the pilots that hold any: paused ones use none."""
    return sum(pilot.cpus for pilot in pilots if pilot.state in HOLDING_STATES)


def read_owner_cores(host: HostLoad, pilots: Iterable[Pilot]) -> float:
    """Say how many cores the owner uses."""
    used = host.pilots_cores
    if used is None:
        running = (pilot.cpus for pilot in pilots if pilot.state is PilotState.RUNNING)
        used = min(host.busy_cores, sum(running))
    return max(0.0, host.busy_cores - used)


class Memory(NamedTuple):
    """Bytes available on the host now, and what live pilots may still take of them."""

    available_bytes: int
    promised_bytes: int

    def left_bytes(self, reserve_bytes: int) -> int:
        """Return what a new pilot could be promised."""
        return self.available_bytes - self.promised_bytes - reserve_bytes


def read_memory(host: HostLoad, live: Iterable[Pilot]) -> Memory:
    """Say what is available and what is promised: Σ caps of live pilots less what they use.

    Where their use cannot be read it counts as nothing: their caps are promised in full, which
    may spawn a pilot too few but never one too many.
    """
    caps = sum(pilot.memory_bytes for pilot in live)
    return Memory(host.memory_available_bytes, max(0, caps - (host.pilots_memory_bytes or 0)))


def read_room(config: HostConfig, host: HostLoad, owner_cores: float, used_cpus: float) -> float:
    """Return the cores left for new pilots; negative when there are none."""
    owner = max(0.0, owner_cores - IDLE_CORES)
    return host.ncpus - config.reserve_cpus - owner - used_cpus


def select_to_give_back(pilots: Iterable[Pilot], overload_cores: float) -> tuple[Pilot, ...]:
    """Choose the pilots to reclaim: as many as the overload needs, youngest first, no more.

    Taking them youngest first can end with one so large that a younger, smaller one before it
    was not needed: those are left alone again, the oldest first.
    """
    chosen: list[Pilot] = []
    given = 0.0
    for pilot in sorted(pilots, key=youngest_first):
        if given >= overload_cores - TOLERATED_ROUNDING:
            break
        chosen.append(pilot)
        given += pilot.cpus
    for pilot in reversed(chosen[:]):
        if given - pilot.cpus >= overload_cores - TOLERATED_ROUNDING:
            chosen.remove(pilot)
            given -= pilot.cpus
    return tuple(chosen)


def youngest_first(pilot: Pilot) -> tuple[float, str]:
    """Sort key: the youngest pilot first; the id settles a tie, so that every tick agrees."""
    return (-pilot.spawned_at, pilot.id)
