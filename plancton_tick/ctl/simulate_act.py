"""Carry out a plan on a simulated host, as ``act`` does on a real one, and count what it did."""

from typing import assert_never

from plancton_tick.ctl.simulate_lives import Phase
from plancton_tick.ctl.simulate_tally import Kind, Tally
from plancton_tick.ctl.simulate_world import World
from plancton_tick.model import (
    Action,
    Announce,
    Ask,
    Ending,
    Outcome,
    Pause,
    PilotState,
    Plan,
    Reap,
    Resume,
    Spawn,
    Terminate,
)

COUNTED_AS = {
    Outcome.DONE: "done",
    Outcome.NO_WORK: "without_work",
    Outcome.UNREACHABLE: "without_work",
    Outcome.FAILED: "failed",
    Outcome.EXPIRED: "expired",
}


class Hands:
    """Does what plans say, and counts."""

    def __init__(self, world: World, tolerance_cores: float, reserve_memory_bytes: int) -> None:
        self.world = world
        self.tolerance_cores = tolerance_cores
        self.reserve_memory_bytes = reserve_memory_bytes
        self.counts = dict.fromkeys(Tally._fields, 0)
        self.lost_core_seconds = 0.0
        self.done: list[tuple[float, Action]] | None = None

    def apply(self, plan: Plan) -> None:
        """Carry out a plan."""
        world = self.world
        world.ledger = plan.ledger
        if not plan.actions:
            return
        world.settle()
        signalled = {}
        for action in plan.actions:
            if self.done is not None:
                self.done.append((world.now, action))
            self._do(action)
            if isinstance(action, Terminate):
                signalled[action.pilot.id] = Ending(action.outcome, world.now, signalled=True)
        if signalled:
            ending = {**world.ledger.ending, **signalled}
            world.ledger = world.ledger._replace(ending=ending)
        world.refresh()

    def _do(self, action: Action) -> None:
        world, lives = self.world, self.world.lives
        owner_cores = world.owner_gets(world.steps.cores[world.steps.index(world.now)])
        if isinstance(action, Spawn):
            lives.spawn(action.type, action.slot, world.now, owner_cores)
            self._count("spawned", Kind.SPAWNED)
        elif isinstance(action, Resume):
            lives.resume(action.pilot.id, world.now, owner_cores)
            self._count("resumed", Kind.RESUMED)
        elif isinstance(action, Pause):
            self._look_for_flap(action.pilot.id, owner_cores)
            lives.pause(action.pilot.id, world.now)
            self._count("paused", Kind.PAUSED)
        elif isinstance(action, Terminate):
            if action.outcome is Outcome.RECLAIMED:
                self._lose(action.pilot.id, owner_cores)
            lives.terminate(action.pilot.id, world.now)
        elif isinstance(action, Reap):
            self._reap(action, owner_cores)
        elif isinstance(action, Ask | Announce):
            # Every image is there, and simulated pilots take no notice.
            pass
        else:
            assert_never(action)

    def _reap(self, action: Reap, owner_cores: float) -> None:
        life = self.world.lives.lives.get(action.pilot.id)
        is_told = life is not None and life.phase is Phase.STOPPING
        if life is not None and not is_told and action.outcome is Outcome.RECLAIMED:
            # Removed without a word to it beforehand.
            self._lose(action.pilot.id, owner_cores)
        self.world.lives.remove(action.pilot.id)
        if action.outcome in COUNTED_AS:
            self.counts[COUNTED_AS[action.outcome]] += 1

    def _lose(self, pilot_id: str, owner_cores: float) -> None:
        """Count a pilot ended for the owner's sake, with the work that goes with it."""
        life = self.world.lives.lives[pilot_id]
        if self.world.pilots[pilot_id].state is PilotState.RUNNING:
            # One that was paused before was looked at then.
            self._look_for_flap(pilot_id, owner_cores)
        self.lost_core_seconds += self.world.lives.used_core_seconds(life)
        self._count("killed", Kind.KILLED)

    def _look_for_flap(self, pilot_id: str, owner_cores: float) -> None:
        load = self.world.read_load()
        is_short = load.memory_available_bytes < self.reserve_memory_bytes
        before = self.world.lives.lives[pilot_id].owner_cores
        if not is_short and owner_cores <= before + self.tolerance_cores:
            self.counts["flaps"] += 1

    def _count(self, name: str, kind: Kind) -> None:
        self.counts[name] += 1
        self.world.note(kind)
