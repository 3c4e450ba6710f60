"""A host in virtual time: its owner, its pilots, and an engine that does what a plan says.

Nothing here is random or looks at ticks: what pilots do by themselves follows from when they were
started, stopped and starved, so that it is the same however often one looks.

CPU is shared as the kernel does it between two groups of different weights. The pilots' group has
``weight`` against the owner's 1: it gets what the owner leaves, and at least ncpus · w / (1 + w)
where it wants as much. All pilots of it run slower by the same factor.
"""

from typing import NamedTuple

from plancton_tick.ctl.simulate_lives import Life, Lives
from plancton_tick.ctl.simulate_steps import BLOCK, INFINITY, Steps
from plancton_tick.ctl.simulate_tally import Event, Kind, Record, Segment
from plancton_tick.ctl.simulate_tasks import Fate
from plancton_tick.model import HostLoad, Ledger, Pilot


class Machine(NamedTuple):
    """The size of a host."""

    ncpus: int
    memory_bytes: int


class World:
    """The host as it is at ``now``, and what has been used until ``changed_at``."""

    def __init__(
        self,
        machine: Machine,
        steps: Steps,
        fate: Fate,
        *,
        weight: float,
        record: Record | None = None,
    ) -> None:
        self.machine = machine
        self.steps = steps
        self.lives = Lives(fate)
        self.record = record
        self.ledger = Ledger()
        self.now = 0.0
        self.changed_at = 0.0
        self.next_change = INFINITY
        self.next_change_is_seen = True
        self.least_for_pilots = machine.ncpus * weight / (1.0 + weight)
        self.pilot_core_seconds = 0.0
        self.stalled_core_seconds = 0.0
        self.owner_short_core_seconds = 0.0
        self.memory_short_byte_seconds = 0.0
        self.memory_short_peak_bytes = 0.0
        self._wanted = 0.0
        self._held = 0
        self._index = 0

    @property
    def pilots(self) -> dict[str, Pilot]:
        """Return all containers, by id."""
        return self.lives.pilots

    # what is there

    def owner_gets(self, wanted: float) -> float:
        """Return what the owner gets now of the cores it wants."""
        return min(wanted, self.most_for_owner)

    @property
    def most_for_owner(self) -> float:
        """Return what pilots leave the owner at the least."""
        return self.machine.ncpus - min(self._wanted, self.least_for_pilots)

    @property
    def busy_core_seconds(self) -> float:
        """Return what all have used until the last change."""
        wanted = self.steps.wanted_until(self.changed_at)
        return wanted - self.owner_short_core_seconds + self.pilot_core_seconds

    @property
    def pilot_memory(self) -> int:
        """Return the bytes that pilots hold now."""
        return self._held

    def read_load(self) -> HostLoad:
        """Read what a tick reads."""
        at = self.steps.index(self.now)
        got = self.owner_gets(self.steps.cores[at])
        used = min(self._wanted, self.machine.ncpus - got)
        total = self.machine.memory_bytes
        return HostLoad(
            ncpus=self.machine.ncpus,
            busy_cores=got + used,
            pilots_cores=used,
            memory_total_bytes=total,
            memory_available_bytes=max(0, total - self.steps.memory[at] - self._held),
            swap_total_bytes=0,
            pilots_memory_bytes=self._held,
            disk_free_bytes=None,
            window_seconds=1.0,
        )

    def note(self, kind: Kind) -> None:
        """Write an event into the record, if there is one."""
        if self.record is not None:
            self.record.events.append(Event(self.now, kind))

    # time

    def advance(self, instant: float) -> None:
        """Let time pass, and pilots start, finish and die in it."""
        while self.next_change <= instant:
            self.now = self.next_change
            self.settle()
            ended = self.lives.live_on(self.now)
            for life in ended:
                self._note_end(life)
            self.refresh()
        self.now = instant

    def settle(self) -> None:
        """Add up what was used until now. Called before anything is changed."""
        steps, wanted, held = self.steps, self._wanted, self._held
        ncpus, total = self.machine.ncpus, self.machine.memory_bytes
        most_for_owner = self.most_for_owner
        at, index, end = self.changed_at, self._index, self.now
        worked = 0.0
        while at < end:
            if index % BLOCK == 0 and self.record is None:
                last = min(index + BLOCK, len(steps.times)) - 1
                block = index // BLOCK
                is_calm = (
                    steps.ends[last] <= end
                    and steps.most_cores[block] + wanted <= ncpus
                    and steps.most_memory[block] + held <= total
                )
                if is_calm:
                    worked += steps.ends[last] - at
                    at, index = steps.ends[last], last + 1
                    continue
            until = min(steps.ends[index], end)
            span = until - at
            cores = steps.cores[index]
            got = min(cores, most_for_owner)
            used = min(wanted, ncpus - got)
            self.owner_short_core_seconds += (cores - got) * span
            lacking = steps.memory[index] + held - total
            if lacking > 0 and held > 0:
                lacking = min(lacking, held)
                self.memory_short_byte_seconds += lacking * span
                self.memory_short_peak_bytes = max(self.memory_short_peak_bytes, lacking)
            worked += span * (used / wanted if wanted else 1.0)
            if self.record is not None:
                memory = float(steps.memory[index])
                self.record.segments.append(
                    Segment(at, until, cores, got, used, memory, float(held))
                )
            at = until
            if until == steps.ends[index]:
                index += 1
        self.pilot_core_seconds += worked * wanted
        self.stalled_core_seconds += (end - self.changed_at - worked) * wanted
        self.lives.worked += worked
        self.changed_at, self._index = end, index

    def refresh(self) -> None:
        """Find out what pilots want now and when they change by themselves. After any change."""
        self._wanted, self._held = self.lives.read_demand()
        begins, ends = self.lives.next_instants()
        working = self.lives.next_worked()
        if working is not None:
            ends = min(ends, self._find_finish(working - self.lives.worked))
        self.next_change = min(begins, ends)
        # Who begins to work while others do changes nothing that a tick can see.
        self.next_change_is_seen = ends <= begins or self._wanted < self.least_for_pilots

    def _find_finish(self, need: float) -> float:
        """Return when pilots will have run for so many seconds at full speed."""
        steps, wanted = self.steps, self._wanted
        ncpus, most_for_owner = self.machine.ncpus, self.most_for_owner
        at, index, count = self.changed_at, self._index, len(steps.times)
        while True:
            if index % BLOCK == 0 and steps.most_cores[index // BLOCK] + wanted <= ncpus:
                index = min(index + BLOCK, count) - 1
                speed = 1.0
            else:
                got = min(steps.cores[index], most_for_owner)
                speed = min(wanted, ncpus - got) / wanted
            end = steps.ends[index]
            if speed > 0 and need <= speed * (end - at):
                return at + need / speed
            if end == INFINITY:
                return INFINITY
            need -= speed * (end - at)
            at, index = end, index + 1

    def _note_end(self, life: Life) -> None:
        if not life.was_told:
            self.note(Kind.DONE if life.code == 0 else Kind.WITHOUT_WORK)
