"""Pilots without Plancton, to compare with: a slice of low weight, and ``Restart=always``.

As many services as the cap allows run all the time in a slice with ``CPUWeight=1``; each is started
again when it ends. The kernel gives the owner the CPU; nobody looks at anything else.
"""

from plancton_tick.ctl.simulate_rules import Rest
from plancton_tick.ctl.simulate_steps import INFINITY, Band
from plancton_tick.ctl.simulate_world import World
from plancton_tick.model import Action, Config, Outcome, PilotState, Plan, Reap, Spawn
from plancton_tick.outcome import judge
from plancton_tick.spawning import read_cap

NOTHING_SEEN = Band(INFINITY, INFINITY, (), INFINITY)


class SliceRules:
    """The service manager: ``cadence`` is ``RestartSec=``. It knows one type, the first."""

    # CPUWeight=1 beside the 100 of any other.
    weight = 0.01

    def __init__(self, config: Config, cadence: float) -> None:
        self.config = config
        self.cadence = cadence
        self.pilot_type = config.pilots[0]

    def plan(self, world: World) -> Plan:
        """Start again what has ended."""
        cap = read_cap(self.config, world.read_load())[0]
        actions: list[Action] = []
        for pilot in world.pilots.values():
            if pilot.state is PilotState.EXITED:
                how, reason = judge(pilot, self.pilot_type, None)
                actions.append(Reap(pilot, how, reason))
            elif world.now - pilot.spawned_at >= self.pilot_type.lifetime_seconds:
                actions.append(Reap(pilot, Outcome.EXPIRED, "RuntimeMaxSec="))
        # Services are numbered as they are, and no number is taken twice.
        for at in range(cap - len(world.pilots) + len(actions)):
            number = world.lives.born + at
            actions.append(Spawn(self.pilot_type, number, "Restart=always"))
        return Plan(tuple(actions), (), world.ledger)

    def rest(self, world: World, plan: Plan) -> Rest:
        """Wait until one ends."""
        lifetime = self.pilot_type.lifetime_seconds
        expiries = [pilot.spawned_at + lifetime for pilot in world.pilots.values()]
        return Rest(min(expiries, default=INFINITY), NOTHING_SEEN)
