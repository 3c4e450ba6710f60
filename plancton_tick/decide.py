"""The one decision of a tick. Pure: it reads nothing but its arguments.

The rules, in the order in which they act:

1. Exited pilots are reaped and counted once. A container that was created and not started within
   a minute is a leftover: removed, not counted. A pilot told to end is removed after its grace.
2. Pilots past their lifetime are terminated, and all of them if a drain says so.
   If the configuration is bad the plan ends here: nothing is spawned or given back on its word.
3. Memory and disk are not elastic: below the host's reserve pilots are terminated, never paused,
   youngest first, as many as the shortfall needs.
4. Cores are given back to the owner, youngest pilot first, as many as the overload needs and no
   more, once the overload has exceeded ``reclaim.tolerance`` for ``reclaim.after``.
5. Paused pilots are resumed, oldest first, when the room holds them whole. Those paused longer
   than ``reclaim.pause_at_most`` are terminated.
6. New pilots are spawned while each fits whole into what is left (spawning.py). All that keeps
   one more from being spawned is reported as vetoes.
7. A drain that leaves pilots to finish is announced to them, so that they take no more tasks.
8. Images that are missing or too old are asked for (pulling.py). Nothing waits for them.

Spawning needs a whole pilot's room and reclaiming an overload beyond the tolerance: between the
two edges nothing happens, so a constant or slightly noisy owner never makes pilots flap.
"""

from collections.abc import Iterable

from plancton_tick import outcome
from plancton_tick.model import (
    Action,
    Announce,
    Ask,
    Config,
    Ending,
    Ledger,
    Observation,
    Outcome,
    Pause,
    Pilot,
    PilotState,
    Plan,
    Reap,
    ReclaimAction,
    Resume,
    Spawn,
    Terminate,
    Veto,
)
from plancton_tick.pulling import plan_asks
from plancton_tick.room import (
    LIVE_STATES,
    TOLERATED_ROUNDING,
    in_gib,
    read_owner_cores,
    read_room,
    select_to_give_back,
    sum_cpus,
    youngest_first,
)
from plancton_tick.spawning import World, plan_spawns

# A tick takes seconds to start what it created: after a minute nobody will.
STALE_SECONDS = 60.0
# An id is forgotten this long after its container is gone. A tick that listed the container before
# it went may still come to count it; the unit's time-out ends such a tick well before this.
COUNTED_SECONDS = 120.0
# Only these have a process to signal. One that is created and not started yet is another tick's
# work, or soon a leftover.
SIGNALLED_STATES = (PilotState.RUNNING, PilotState.PAUSED)
# What a pilot gets whose type is no longer configured.
DEFAULT_STOP_GRACE_SECONDS = 30.0
# The end of the year 9999: what a pilot without an end is told once a drain is over.
NEVER = 253402300799.0


def decide(config: Config, observation: Observation) -> Plan:
    """Say which pilots to give back and which to spawn, each with its reason.

    Pure. Loads are in cores, ages in seconds. Reclaims come first, youngest pilot first.
    Raises nothing: every observation has a plan, perhaps an empty one with its vetoes.
    """
    draft = _Draft(config, observation)
    draft.reap()
    draft.expire()
    draft.drain()
    if observation.config_is_bad:
        draft.vetoes.append(Veto("config", None, "the configuration is bad", None))
        return draft.plan()
    draft.restore_memory()
    draft.restore_disk()
    draft.give_back_cores()
    draft.resume()
    draft.end_long_pauses()
    draft.clear_backoffs()
    draft.spawn()
    draft.announce()
    draft.ask()
    return draft.plan()


class _Draft:
    """A plan being made: the actions so far and the world as it will be after them."""

    def __init__(self, config: Config, observation: Observation) -> None:
        self.config = config
        self.observation = observation
        self.now = observation.taken_at
        self.types = {pilot_type.name: pilot_type for pilot_type in config.pilots}
        self.pilots = {pilot.id: pilot for pilot in observation.pilots}
        self.ledger = observation.ledger
        self.owner_cores = read_owner_cores(observation.host, observation.pilots)
        self.ends: list[Terminate | Pause] = []
        self.reaps: list[Reap] = []
        self.resumes: list[Resume] = []
        self.announces: list[Announce] = []
        self.asks: tuple[Ask, ...] = ()
        self.spawns: list[Spawn] = []
        self.vetoes: list[Veto] = []

    def plan(self) -> Plan:
        pressing: tuple[Action, ...] = (*self.ends, *self.reaps, *self.resumes)
        actions = (*pressing, *self.announces, *self.asks, *self.spawns)
        return Plan(actions, tuple(self.vetoes), self._pruned_ledger())

    # 1. reap

    def reap(self) -> None:
        for pilot in tuple(self.pilots.values()):
            ending = self.ledger.ending.get(pilot.id)
            age = self.now - pilot.spawned_at
            if pilot.id in self.ledger.counted:
                self._remove(pilot, None, "counted before, removed now")
            elif pilot.state is PilotState.EXITED:
                self._reap_exited(pilot, ending)
            elif pilot.state is PilotState.CREATED and abs(age) > STALE_SECONDS:
                # Ahead of the clock: it was set back since. Nobody will start that one either.
                when = f"{age:.0f} s ago" if age > 0 else f"{-age:.0f} s ahead of the clock"
                self._remove(pilot, None, f"created {when} and never started")
            elif ending is not None and pilot.state in SIGNALLED_STATES:
                self._press(pilot, ending)

    def _reap_exited(self, pilot: Pilot, ending: Ending | None) -> None:
        pilot_type = self.types.get(pilot.type)
        how, reason = outcome.judge(pilot, pilot_type, ending)
        if pilot.spawned_at < self.observation.booted_at:
            # Whoever restarted the machine took it back: no fault of the pilot's, and no error.
            how = Outcome.RECLAIMED if how in outcome.BAD_OUTCOMES else how
            reason = f"{reason}; the host has restarted since it was spawned"
        elif pilot_type is not None:
            backoffs = outcome.after_exit(self.ledger.backoffs, pilot, pilot_type, how, self.now)
            self.ledger = self.ledger._replace(backoffs=backoffs)
        self._count(pilot, how)
        self._remove(pilot, how, reason)

    def _press(self, pilot: Pilot, ending: Ending) -> None:
        """Follow up a pilot told to end: signal it if no tick got so far, remove it after grace."""
        if not ending.signalled:
            self._terminate(pilot, ending.outcome, "was to end, and not signalled yet")
            return
        grace = self._grace(pilot)
        waited = self.now - ending.since
        if waited > grace:
            reason = f"still alive {waited:.0f} s after SIGTERM, grace {grace:.0f} s"
            self._count(pilot, ending.outcome)
            self._remove(pilot, ending.outcome, reason)

    def _count(self, pilot: Pilot, how: Outcome) -> None:
        self.ledger = outcome.count(self.ledger, pilot, how, self.now)

    def _remove(self, pilot: Pilot, how: Outcome | None, reason: str) -> None:
        self.reaps.append(Reap(pilot, how, reason))
        del self.pilots[pilot.id]

    # 2. lifetime

    def expire(self) -> None:
        for pilot in self._signallable():
            if pilot.expires_at is not None and pilot.expires_at <= self.now:
                lived = self.now - pilot.spawned_at
                over = self.now - pilot.expires_at
                reason = f"lived {lived:.0f} s, {over:.0f} s over its lifetime"
                self._terminate(pilot, Outcome.EXPIRED, reason)

    def drain(self) -> None:
        drain = self.ledger.drain
        if drain is not None and drain.ends_pilots:
            for pilot in self._staying():
                self._terminate(pilot, Outcome.DRAINED, drain.words())

    def clear_backoffs(self) -> None:
        backoffs = outcome.after_survival(
            self.ledger.backoffs, tuple(self.pilots.values()), self.types, self.now
        )
        backoffs = {name: wait for name, wait in backoffs.items() if name in self.types}
        self.ledger = self.ledger._replace(backoffs=backoffs)

    # 3. memory and disk

    def restore_memory(self) -> None:
        host, reserve = self.observation.host, self.config.host.reserve_memory_bytes
        shortfall = reserve - host.memory_available_bytes
        if shortfall <= 0:
            return
        users = [p for p in self.observation.pilots if p.state in SIGNALLED_STATES]
        caps = sum(pilot.memory_bytes for pilot in users)
        # What each pilot uses is not known on one reading, so all are taken to use the same part
        # of their cap; where the slice cannot be read, all of it.
        used = caps if host.pilots_memory_bytes is None else min(caps, host.pilots_memory_bytes)
        part = used / caps if caps else 0.0
        staying = self._signallable()
        # Those on their way out, or removed by this very plan, give theirs back already.
        shortfall -= int(sum(p.memory_bytes for p in users if p not in staying) * part)
        for pilot in sorted(staying, key=youngest_first):
            if shortfall <= 0:
                return
            reason = (
                f"{in_gib(host.memory_available_bytes)} available, reserve {in_gib(reserve)}: "
                f"{in_gib(shortfall)} short"
            )
            self._reclaim(pilot, reason)
            shortfall -= int(pilot.memory_bytes * part)

    def restore_disk(self) -> None:
        free, reserve = self.observation.host.disk_free_bytes, self.config.host.reserve_disk_bytes
        if free is None or free >= reserve:
            return
        live = [pilot for pilot in self.pilots.values() if pilot.state in LIVE_STATES]
        staying = self._staying()
        # How much disk a pilot holds is not known without a slow walk over its files: end one,
        # and look again when it has gone.
        signallable = self._signallable()
        if signallable and len(staying) == len(live):
            reason = (
                f"{in_gib(free)} free where the engine keeps its data, reserve {in_gib(reserve)}"
            )
            self._reclaim(min(signallable, key=youngest_first), reason)

    # 4. cores

    def give_back_cores(self) -> None:
        running = [pilot for pilot in self._staying() if pilot.state is PilotState.RUNNING]
        room = self._room(self._staying())
        overload, tolerance = -room, self.config.reclaim.tolerance_cores
        if not running or overload <= tolerance + TOLERATED_ROUNDING:
            self.ledger = self.ledger._replace(overload_since=None)
            return
        since = self.ledger.overload_since
        since = self.now if since is None else since
        lasted, after = self.now - since, self.config.reclaim.after_seconds
        numbers = (
            f"owner uses {self.owner_cores:.2f} of {self.observation.host.ncpus} cores, "
            f"reserve {self.config.host.reserve_cpus:g}, pilots {sum_cpus(self._staying()):g}: "
            f"{overload:.2f} too many for {lasted:.0f} s"
        )
        if lasted < after:
            self.ledger = self.ledger._replace(overload_since=since)
            self.vetoes.append(
                Veto("overload", None, f"{numbers}, gives back after {after:.0f} s", since + after)
            )
            return
        self.ledger = self.ledger._replace(overload_since=None)
        for pilot in select_to_give_back(running, overload):
            self._give_back(pilot, numbers, lasted)

    def _give_back(self, pilot: Pilot, reason: str, lasted: float) -> None:
        config = self.config.reclaim
        if config.action is ReclaimAction.STOP or config.pause_at_most_seconds <= 0:
            self._reclaim(pilot, reason, lasted)
            return
        self.ends.append(Pause(pilot, reason, lasted))
        self.pilots[pilot.id] = pilot._replace(state=PilotState.PAUSED)
        paused = {**self.ledger.paused, pilot.id: self.now}
        pauses = outcome.count_pause(self.ledger.pauses, pilot, 1)
        self.ledger = self.ledger._replace(paused=paused, pauses=pauses, last_reclaim_at=self.now)

    # 5. paused pilots

    def resume(self) -> None:
        for pilot in sorted(self._staying(), key=youngest_first, reverse=True):
            if pilot.state is not PilotState.PAUSED:
                continue
            room = self._room(self.pilots.values())
            if pilot.cpus <= room + TOLERATED_ROUNDING:
                reason = f"room {room:.2f} cores for {pilot.cpus:g} (owner {self.owner_cores:.2f})"
                self.resumes.append(Resume(pilot, reason))
                self.pilots[pilot.id] = pilot._replace(state=PilotState.RUNNING)
                # Left there, it would make a later pause by hand look as old as this one.
                paused = {key: at for key, at in self.ledger.paused.items() if key != pilot.id}
                self.ledger = self.ledger._replace(paused=paused)

    def end_long_pauses(self) -> None:
        at_most = self.config.reclaim.pause_at_most_seconds
        for pilot in self._staying():
            if pilot.state is not PilotState.PAUSED:
                continue
            # Paused by hand, or before this ledger began: its time starts now.
            since = self.ledger.paused.get(pilot.id, self.now)
            if self.now - since >= at_most:
                reason = f"paused for {self.now - since:.0f} s, at most {at_most:.0f} s"
                self._reclaim(pilot, reason)
            elif pilot.id not in self.ledger.paused:
                paused = {**self.ledger.paused, pilot.id: since}
                self.ledger = self.ledger._replace(paused=paused)

    # 6. spawn

    def spawn(self) -> None:
        world = World(
            now=self.now,
            host=self.observation.host,
            owner_cores=self.owner_cores,
            pilots=tuple(self.pilots.values()),
            ledger=self.ledger,
        )
        spawns, vetoes = plan_spawns(self.config, world)
        self.spawns.extend(spawns)
        self.vetoes.extend(vetoes)

    # 7. announce

    def announce(self) -> None:
        """Tell pilots of a drain once, and once that it is over; noted only when it was done."""
        drain, announced = self.ledger.drain, self.ledger.announced
        for pilot in self._signallable():
            if drain is not None and pilot.id not in announced:
                until = drain.at + self._grace(pilot)
                self.announces.append(Announce(pilot, until, drain.words()))
            elif drain is None and pilot.id in announced:
                until = NEVER if pilot.expires_at is None else pilot.expires_at
                self.announces.append(Announce(pilot, until, "no longer draining"))

    # 8. ask for images

    def ask(self) -> None:
        self.asks, pulls = plan_asks(self.config, self.observation, self.ledger)
        self.ledger = self.ledger._replace(pulls=pulls)

    # shared

    def _reclaim(self, pilot: Pilot, reason: str, lasted: float | None = None) -> None:
        self._terminate(pilot, Outcome.RECLAIMED, reason, lasted)
        self.ledger = self.ledger._replace(last_reclaim_at=self.now)

    def _terminate(
        self, pilot: Pilot, how: Outcome, reason: str, lasted: float | None = None
    ) -> None:
        self.ends.append(Terminate(pilot, how, reason, self.now + self._grace(pilot), lasted))
        # Not "signalled" before it is: a tick killed in between leaves the signal to the next one.
        ending = {**self.ledger.ending, pilot.id: Ending(how, self.now, signalled=False)}
        self.ledger = self.ledger._replace(ending=ending)
        # To be signalled it is thawed, so until it has gone it holds its cores.
        self.pilots[pilot.id] = pilot._replace(state=PilotState.RUNNING)

    def _grace(self, pilot: Pilot) -> float:
        """Return the seconds between the signal and the removal."""
        pilot_type = self.types.get(pilot.type)
        return pilot_type.stop_grace_seconds if pilot_type else DEFAULT_STOP_GRACE_SECONDS

    def _staying(self) -> list[Pilot]:
        """List the live pilots that nobody has told to end."""
        return [
            pilot
            for pilot in self.pilots.values()
            if pilot.state in LIVE_STATES and pilot.id not in self.ledger.ending
        ]

    def _signallable(self) -> list[Pilot]:
        """List those of them that can be told to end."""
        return [pilot for pilot in self._staying() if pilot.state in SIGNALLED_STATES]

    def _room(self, pilots: Iterable[Pilot]) -> float:
        host = self.observation.host
        return read_room(self.config.host, host, self.owner_cores, sum_cpus(pilots))

    def _pruned_ledger(self) -> Ledger:
        """Return the ledger less what it holds on pilots that have gone, if it changed at all."""
        ledger = self.ledger
        if ledger == self.observation.ledger:
            return self.observation.ledger
        listed = {pilot.id: pilot for pilot in self.observation.pilots}
        paused = {pilot.id for pilot in self.pilots.values() if pilot.state is PilotState.PAUSED}
        return ledger._replace(
            paused={key: since for key, since in ledger.paused.items() if key in paused},
            ending={key: ending for key, ending in ledger.ending.items() if key in self.pilots},
            announced={key: until for key, until in ledger.announced.items() if key in self.pilots},
            counted={
                key: at
                for key, at in ledger.counted.items()
                if key in listed or self.now - at < COUNTED_SECONDS
            },
        )
