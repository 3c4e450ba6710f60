"""What the demonstration measures: the loads as a tick sees them, and what came of the idle time.

The figures are the product's own: the host's load over the time between two drawings, the owner's
part of it and the room as a tick computes them.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from plancton_tick import host
from plancton_tick.cgroup import find_usage, read_usage
from plancton_tick.model import Config, Pilot, PilotState
from plancton_tick.room import TOLERATED_ROUNDING, read_owner_cores, read_room, sum_cpus


class Reading(NamedTuple):
    """Loads over one window, in cores; ``pilots_used`` is None where it can only be estimated.

    ``room`` is what is left for one more pilot, below zero if pilots are to be given back.
    """

    owner: float
    pilots_used: float | None
    room: float


class Harvest(NamedTuple):
    """CPU seconds that the owner left idle, and those of them that pilots used."""

    idle_seconds: float = 0.0
    used_seconds: float = 0.0

    def plus(self, idle_seconds: float, used_seconds: float) -> "Harvest":
        """Return the sum."""
        return Harvest(self.idle_seconds + idle_seconds, self.used_seconds + used_seconds)

    def share(self) -> float | None:
        """Return the part used; None if there was nothing to harvest."""
        return self.used_seconds / self.idle_seconds if self.idle_seconds > 0 else None


class Meter:
    """Reads window after window, and adds up what was harvested."""

    def __init__(self, config: Config) -> None:
        self.overall = Harvest()
        self.after_fill = Harvest()
        self.is_full = False
        self.is_estimated = False
        self._config = config
        self._slice = f"{config.engine.instance}.slice"
        self._ticks_seconds = 0.0
        self._sample = self._start()
        # Left by an earlier demonstration; none if the slice is new.
        self._used_before = read_usage(find_usage(self._slice)) or 0.0

    def add_tick(self, cpu_seconds: float) -> None:
        """Note the CPU time of a tick: as for the tick itself, it is not the owner's load."""
        self._ticks_seconds += cpu_seconds

    def read(self, pilots: Sequence[Pilot]) -> Reading:
        """Close the window and open the next. ``pilots`` are those that are there now."""
        load = host.finish_sample(self._sample, 0.0, None, own_cpu=self._own_seconds)
        if load.pilots_cores is None:
            # A slice that appeared in this window has used what it says since it appeared.
            used = read_usage(find_usage(self._slice))
            if used is not None and used >= self._used_before:
                cores = (used - self._used_before) / load.window_seconds
                load = load._replace(pilots_cores=min(cores, load.busy_cores))
        self._sample = self._start()
        owner = read_owner_cores(load, pilots)
        window = load.window_seconds
        used_cores = load.pilots_cores
        if used_cores is None:
            self.is_estimated = self.is_estimated or bool(pilots)
            used_cores = load.busy_cores - owner
        self._harvest(max(0.0, load.ncpus - owner) * window, used_cores * window)
        room = read_room(self._config.host, load, owner, sum_cpus(pilots))
        self._note_full(room, pilots)
        return Reading(owner, load.pilots_cores, room)

    def _harvest(self, idle: float, used: float) -> None:
        self.overall = self.overall.plus(idle, used)
        if self.is_full:
            self.after_fill = self.after_fill.plus(idle, used)

    def _note_full(self, room: float, pilots: Sequence[Pilot]) -> None:
        """The host is full once no pilot fits any more."""
        running = sum(pilot.state is PilotState.RUNNING for pilot in pilots)
        smallest = min(pilot_type.cpus for pilot_type in self._config.pilots)
        if running and room + TOLERATED_ROUNDING < smallest:
            self.is_full = True

    def _start(self) -> host.Sample:
        return host.start_sample(self._slice, own_cpu=self._own_seconds)

    def _own_seconds(self) -> float:
        # Not os.times(): that counts the owner's load among our children once it has ended.
        return time.process_time() + self._ticks_seconds
