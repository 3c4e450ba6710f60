"""The rules of Plancton 0.6, restated, to compare with.

A daemon looks every 30 s, with its defaults:

- The CPU used by all, over the last loop, is compared with what the pilots may use: cpus times the
  running pilots, as a part of the host. If it is above that by a tenth of the host for longer than
  120 s, one pilot is killed, the youngest; and one more in each loop, until it is below or none is
  left.
- Pilots are started while 95 % of the idle CPU holds them, at most 4 a loop, up to the cap. None is
  for 60 s after a pilot was killed, *or removed because it had exited*.
- Pilots are removed after their lifetime, without a signal. Memory is not looked at.

Its containers had the weight of any other process group. How it counts pilots, what it does without
an image and what it says are left out: they do not change these numbers.
"""

from plancton_tick.ctl.simulate_rules import Rest
from plancton_tick.ctl.simulate_steps import Band
from plancton_tick.ctl.simulate_world import World
from plancton_tick.model import (
    Action,
    Config,
    Outcome,
    Pilot,
    PilotState,
    Plan,
    Reap,
    Spawn,
)
from plancton_tick.outcome import judge
from plancton_tick.room import youngest_first
from plancton_tick.spawning import read_cap

LOOP_SECONDS = 30.0
KILL_AFTER_SECONDS = 120.0
SPAWN_AFTER_SECONDS = 60.0
SPAWNS_A_LOOP = 4
TOLERATED_SHARE = 0.1
USABLE_SHARE = 0.95


class ClassicRules:
    """The daemon: what it remembers lives as long as it does. It knows one type, the first."""

    cadence = LOOP_SECONDS
    weight = 1.0

    def __init__(self, config: Config) -> None:
        self.config = config
        self.pilot_type = config.pilots[0]
        self._over_since: float | None = None
        self._last_removal = float("-inf")
        self._last_look = 0.0
        self._last_busy = 0.0

    def plan(self, world: World) -> Plan:
        """Run one loop."""
        actions: list[Action] = []
        cap = read_cap(self.config, world.read_load())[0]
        running = [p for p in world.pilots.values() if p.state is PilotState.RUNNING]
        busy_share = self._read_busy_share(world)
        killed = self._control(world, running, cap, busy_share)
        if killed is not None:
            actions.append(killed)
            running.remove(killed.pilot)
        if world.now - self._last_removal > SPAWN_AFTER_SECONDS:
            actions += self._spawn(world, len(running), cap, busy_share)
        removed = self._clean(world, killed)
        if removed:
            self._last_removal = world.now
        return Plan((*actions, *removed), (), world.ledger)

    def rest(self, world: World, plan: Plan) -> Rest:
        """Look at every loop: what it sees is a mean since the last."""
        return Rest(world.now, Band(-1.0, -1.0, (), 0.0))

    def _read_busy_share(self, world: World) -> float:
        world.settle()
        busy, span = world.busy_core_seconds, world.now - self._last_look
        used = (busy - self._last_busy) / span / world.machine.ncpus if span > 0 else 1.0
        self._last_busy, self._last_look = busy, world.now
        return used

    def _control(
        self, world: World, running: list[Pilot], cap: int, busy_share: float
    ) -> Reap | None:
        budget = self.pilot_type.cpus * min(len(running), cap) / world.machine.ncpus
        if not budget or busy_share <= budget + TOLERATED_SHARE:
            self._over_since = None
            return None
        if self._over_since is None:
            self._over_since = world.now
        if world.now - self._over_since <= KILL_AFTER_SECONDS:
            return None
        self._last_removal = world.now
        youngest = min(running, key=youngest_first)
        return Reap(youngest, Outcome.RECLAIMED, f"{busy_share:.0%} of the CPU is used")

    def _spawn(self, world: World, running: int, cap: int, busy_share: float) -> list[Spawn]:
        idle_cores = (1.0 - busy_share) * world.machine.ncpus
        fitting = int(idle_cores * USABLE_SHARE / self.pilot_type.cpus)
        count = min(fitting, max(cap - running, 0), SPAWNS_A_LOOP)
        # Its containers had names drawn at random, and no slots.
        first = world.lives.born
        reason = f"{idle_cores:.2f} cores idle"
        return [Spawn(self.pilot_type, first + at, reason) for at in range(count)]

    def _clean(self, world: World, killed: Reap | None) -> list[Reap]:
        reaps = []
        for pilot in world.pilots.values():
            if killed is not None and pilot.id == killed.pilot.id:
                continue
            if pilot.state is PilotState.EXITED:
                how, reason = judge(pilot, self.pilot_type, None)
                reaps.append(Reap(pilot, how, reason))
            elif world.now - pilot.spawned_at > self.pilot_type.lifetime_seconds:
                reaps.append(Reap(pilot, Outcome.EXPIRED, "past its lifetime"))
        return reaps
