"""The lives of a simulated host's pilots: fetching a task, working, and ending."""

from enum import Enum

from plancton_tick.ctl.simulate_steps import INFINITY
from plancton_tick.ctl.simulate_tasks import Fate
from plancton_tick.model import Pilot, PilotExit, PilotState, PilotType
from plancton_tick.spawning import born

TERMINATED_CODE = 143


class Phase(Enum):
    """What a pilot's process does."""

    STARTING = 1
    WORKING = 2
    STOPPING = 3
    GONE = 4


class Life:
    """One pilot's process. ``left`` is what its phase lacks while it is paused."""

    __slots__ = (
        *("pilot_id", "cores", "memory", "code", "phase", "works", "stops", "left", "due_at"),
        *("due_worked", "is_paused", "was_told", "owner_cores"),
    )

    def __init__(self, pilot_id: str, cores: float, memory: int, code: int) -> None:
        self.pilot_id = pilot_id
        self.cores = cores
        self.memory = memory
        self.code = code
        self.phase = Phase.STARTING
        self.works = 0.0
        self.stops = 0.0
        self.left = 0.0
        # When a wait is over, on the clock; and when its work is, on the clock of work.
        self.due_at = INFINITY
        self.due_worked = INFINITY
        self.is_paused = False
        self.was_told = False
        # What the owner used when it was last let run.
        self.owner_cores = 0.0


class Lives:
    """All containers of the host, and a clock that runs as fast as pilots get to work.

    ``worked`` is how long a pilot would have worked that had been there all the time: seconds at
    full speed. A pilot's work is over when it reaches the pilot's mark.
    """

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.pilots: dict[str, Pilot] = {}
        self.lives: dict[str, Life] = {}
        self.worked = 0.0
        self.born = 0

    # what they want, and until when

    def read_demand(self) -> tuple[float, int]:
        """Return the cores that pilots would use if they could, and the bytes that they hold."""
        cores, memory = 0.0, 0
        for life in self.lives.values():
            memory += life.memory
            if life.phase is Phase.WORKING and not life.is_paused:
                cores += life.cores
        return cores, memory

    def next_instants(self) -> tuple[float, float]:
        """Return when the next pilot begins to work, and when the next dies."""
        begins = dies = INFINITY
        for life in self.lives.values():
            if life.phase is Phase.STARTING and life.works > 0:
                begins = min(begins, life.due_at)
            else:
                dies = min(dies, life.due_at)
        return begins, dies

    def next_worked(self) -> float | None:
        """Return the next mark on the clock of work; None if nobody works."""
        mark = min((life.due_worked for life in self.lives.values()), default=INFINITY)
        return mark if mark < INFINITY else None

    def live_on(self, now: float) -> list[Life]:
        """Take the next step of all pilots whose time has come; return those that ended."""
        ended = []
        # The clock of work has come so far by a sum, and the marks by another: they may differ.
        reached = self.worked + 1e-7
        for life in list(self.lives.values()):
            if life.due_at <= now and life.phase is Phase.STARTING and life.works > 0:
                life.phase, life.due_at = Phase.WORKING, INFINITY
                life.due_worked = self.worked + life.works
            elif life.due_at <= now or life.due_worked <= reached:
                self._end(life, now)
                ended.append(life)
        return ended

    def _end(self, life: Life, now: float) -> None:
        pilot = self.pilots[life.pilot_id]
        code = TERMINATED_CODE if life.phase is Phase.STOPPING else life.code
        life.phase = Phase.GONE
        ran = now - pilot.spawned_at
        self.pilots[pilot.id] = pilot._replace(
            state=PilotState.EXITED, exit=PilotExit(code, ran, False, "")
        )
        del self.lives[pilot.id]

    # what is done to them

    def spawn(self, pilot_type: PilotType, slot: int, now: float, owner_cores: float) -> Pilot:
        """Start a container."""
        self.born += 1
        pilot = born(pilot_type, slot, now)
        pilot = pilot._replace(id=f"pilot-{self.born}", name=f"plancton-{slot}")
        tasks = self.fate.tasks
        drawn = self.fate.draw(next(iter(pilot_type.exit_codes.no_work), 75))
        memory = int(tasks.memory_usage * pilot.memory_bytes)
        life = Life(pilot.id, tasks.usage * pilot.cpus, memory, drawn.code)
        life.works, life.stops, life.due_at = drawn.works, drawn.stops, now + drawn.starts
        life.owner_cores = owner_cores
        self.pilots[pilot.id], self.lives[pilot.id] = pilot, life
        return pilot

    def pause(self, pilot_id: str, now: float) -> None:
        """Freeze a container."""
        life = self.lives[pilot_id]
        is_working = life.phase is Phase.WORKING
        life.left = life.due_worked - self.worked if is_working else life.due_at - now
        life.due_at = life.due_worked = INFINITY
        life.is_paused = True
        self.pilots[pilot_id] = self.pilots[pilot_id]._replace(state=PilotState.PAUSED)

    def resume(self, pilot_id: str, now: float, owner_cores: float) -> None:
        """Thaw a container."""
        life = self.lives[pilot_id]
        life.is_paused = False
        if life.phase is Phase.WORKING:
            life.due_worked = self.worked + life.left
        else:
            life.due_at = now + life.left
        life.owner_cores = owner_cores
        self.pilots[pilot_id] = self.pilots[pilot_id]._replace(state=PilotState.RUNNING)

    def terminate(self, pilot_id: str, now: float) -> None:
        """Send SIGTERM, thawing the container if it is frozen."""
        life = self.lives[pilot_id]
        life.left = self.left_to_work(life)
        life.phase, life.is_paused, life.was_told = Phase.STOPPING, False, True
        life.due_at, life.due_worked = now + life.stops, INFINITY
        self.pilots[pilot_id] = self.pilots[pilot_id]._replace(state=PilotState.RUNNING)

    def remove(self, pilot_id: str) -> None:
        """Remove a container, killing it if it runs."""
        del self.pilots[pilot_id]
        self.lives.pop(pilot_id, None)

    def left_to_work(self, life: Life) -> float:
        """Return the seconds of work that a pilot has before it."""
        if life.phase is Phase.WORKING:
            return life.left if life.is_paused else life.due_worked - self.worked
        return life.works if life.phase is Phase.STARTING else life.left

    def used_core_seconds(self, life: Life) -> float:
        """Return what a pilot has used so far: all of it is lost if it does not finish."""
        return life.cores * (life.works - self.left_to_work(life))
