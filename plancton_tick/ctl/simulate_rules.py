"""What rules for pilots are to a simulation, and Plancton's own: the tick's ``decide()`` itself.

Between two events nothing that a decision is made from changes but the time and the owner's load.
So rules say, with each plan, until when it stays as it is and within which bounds of the load; the
instants in between need not be looked at. They may ask to be asked too early, never too late.
"""

from typing import NamedTuple, Protocol

from plancton_tick.ctl.simulate_steps import INFINITY, Band
from plancton_tick.ctl.simulate_world import World
from plancton_tick.decide import DEFAULT_STOP_GRACE_SECONDS, decide
from plancton_tick.model import Config, Observation, Pilot, PilotState, Plan, Veto
from plancton_tick.room import IDLE_CORES, LIVE_STATES, sum_cpus

# A margin around every bound, far above what sums of cores miss by: within it rules are asked.
MARGIN_CORES = 1e-6
# No owner wants less.
NEVER = -1.0


class Rest(NamedTuple):
    """How long a plan holds: until an instant, and while the load stays within the band."""

    until: float
    band: Band


class Rules(Protocol):
    """Rules for pilots. ``weight`` is that of all pilots' CPU against the owner's 1."""

    cadence: float
    weight: float

    def plan(self, world: World) -> Plan:
        """Say what to do now."""

    def rest(self, world: World, plan: Plan) -> Rest:
        """Say how long nothing more is to do than this plan says, which is carried out."""


class PlanctonRules:
    """Plancton as it is: the tick's own decision, in a slice of the lowest weight."""

    # CPUWeight=idle is a weight of 3 beside systemd's 100, which is 1024.
    weight = 3 / 1024

    def __init__(self, config: Config, cadence: float) -> None:
        self.config = config
        self.cadence = cadence

    def plan(self, world: World) -> Plan:
        """Observe and decide."""
        observation = Observation(
            taken_at=world.now,
            host=world.read_load(),
            pilots=tuple(world.pilots.values()),
            ledger=world.ledger,
        )
        return decide(self.config, observation)

    def rest(self, world: World, plan: Plan) -> Rest:
        """Read from the plan's vetoes and its ledger what can end it."""
        return Rest(self._until(world, plan), self._band(world, plan))

    def _until(self, world: World, plan: Plan) -> float:
        """Return the first instant at which time alone may change the plan."""
        instants = [veto.until for veto in plan.vetoes if veto.until is not None]
        ledger, types = plan.ledger, {each.name: each for each in self.config.pilots}
        for pilot in world.pilots.values():
            ending = ledger.ending.get(pilot.id)
            if ending is not None:
                pilot_type = types.get(pilot.type)
                grace = pilot_type.stop_grace_seconds if pilot_type else DEFAULT_STOP_GRACE_SECONDS
                instants.append(ending.since + grace)
            elif pilot.expires_at is not None:
                instants.append(pilot.expires_at)
        # One that has passed without an effect is decided by a strict comparison, or by the load.
        after = [at if at > world.now else world.now + self.cadence / 2 for at in instants]
        return min(after, default=INFINITY)

    def _band(self, world: World, plan: Plan) -> Band:
        """Return the loads under which nothing but time changes the plan."""
        staying = [
            pilot
            for pilot in world.pilots.values()
            if pilot.state in LIVE_STATES and pilot.id not in plan.ledger.ending
        ]
        reclaim, host = self.config.reclaim, self.config.host
        over, under = INFINITY, []
        if any(pilot.state is PilotState.RUNNING for pilot in staying):
            room = world.machine.ncpus - host.reserve_cpus - sum_cpus(staying)
            edge = room + reclaim.tolerance_cores + IDLE_CORES
            if plan.ledger.overload_since is None:
                over = edge - MARGIN_CORES
            else:
                under.append((edge + MARGIN_CORES, INFINITY))
        free = world.machine.memory_bytes - world.pilot_memory
        over_memory = free - host.reserve_memory_bytes - 1.0 if staying else INFINITY
        under += self._places(world, plan.vetoes, staying)
        return Band(over, over_memory, tuple(under), world.most_for_owner)

    def _places(
        self, world: World, vetoes: tuple[Veto, ...], staying: list[Pilot]
    ) -> list[tuple[float, float]]:
        """Return the loads, each of cores and bytes, at which a pilot may be resumed or spawned."""
        places = []
        room = world.machine.ncpus - self.config.host.reserve_cpus
        room -= sum_cpus(world.pilots.values())
        paused = [pilot.cpus for pilot in staying if pilot.state is PilotState.PAUSED]
        if paused:
            places.append((self._owner_at_most(room - min(paused)), INFINITY))
        if any(veto.type is None for veto in vetoes if veto.name != "overload"):
            # What holds back all types goes by itself, or when pilots change.
            return places
        # Of what pilots use now their promise is less already.
        promised = sum(pilot.memory_bytes for pilot in staying if pilot.state in LIVE_STATES)
        ending = [p for p in world.pilots.values() if p.state in LIVE_STATES and p not in staying]
        promised += sum(pilot.memory_bytes for pilot in ending)
        left = world.machine.memory_bytes - world.pilot_memory
        left -= max(0, promised - world.pilot_memory) + self.config.host.reserve_memory_bytes
        for pilot_type in self.config.pilots:
            names = {veto.name for veto in vetoes if veto.type == pilot_type.name}
            if names <= {"cpus", "memory"}:
                cores = self._owner_at_most(room - pilot_type.cpus)
                places.append((cores, left - pilot_type.memory_bytes + 1.0))
        return places

    def _owner_at_most(self, owner_cores: float) -> float:
        """Return what the owner may use, the tenth that counts as none included."""
        return NEVER if owner_cores < -MARGIN_CORES else owner_cores + IDLE_CORES + MARGIN_CORES
