"""Values with short defaults, a small simulated host, and strategies that draw both at random.

``World`` is a real double of a host with its engine: pilots use cores and memory, the owner comes
first, and a plan is carried out step by step as ``act`` does it, so that several ticks can be
interleaved at every step.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from hypothesis import strategies as st

from plancton_tick.decide import decide
from plancton_tick.model import (
    Action,
    Announce,
    Ask,
    Backoff,
    Config,
    Drain,
    Ending,
    EngineConfig,
    ExitCodes,
    HostConfig,
    HostLoad,
    Ledger,
    Observation,
    Outcome,
    Pause,
    Pilot,
    PilotExit,
    PilotState,
    PilotType,
    Plan,
    Pull,
    PullState,
    Reap,
    ReclaimAction,
    ReclaimConfig,
    Resume,
    Spawn,
    SpawnConfig,
    Stranger,
    Terminate,
)

GIB = 1024**3
NOW = 1_700_000_000.0
LIVE = (PilotState.CREATED, PilotState.RUNNING, PilotState.PAUSED)


# --- values --------------------------------------------------------------------------------------


def make_type(
    name: str = "default",
    *,
    image: str = "busybox",
    command: tuple[str, ...] | None = ("sleep", "60"),
    cpus: float = 1.0,
    memory: int = GIB,
    swap: int = 0,
    share: float = 1.0,
    max_live: int | None = None,
    lifetime: float = 43200.0,
    stop_grace: float = 30.0,
    fizzle: float = 30.0,
    backoff: float = 30.0,
    backoff_max: float = 3600.0,
    exit_codes: ExitCodes | None = None,
    log: str = "journald",
    security_opt: tuple[str, ...] = (),
    privileged: bool = False,
    read_only: bool = False,
    user: str | None = None,
    env: tuple[tuple[str, str], ...] = (),
    labels: tuple[tuple[str, str], ...] = (),
) -> PilotType:
    return PilotType(
        name=name,
        image=image,
        command=command,
        cpus=cpus,
        memory_bytes=memory,
        swap_bytes=swap,
        share=share,
        max_live=max_live,
        lifetime_seconds=lifetime,
        stop_grace_seconds=stop_grace,
        fizzle_seconds=fizzle,
        backoff_seconds=backoff,
        backoff_max_seconds=backoff_max,
        exit_codes=exit_codes or ExitCodes(done=(0,), no_work=(75,), unreachable=(69,)),
        pull_seconds=43200.0,
        user=user,
        env=env,
        mounts=(),
        devices=(),
        cap_add=(),
        cap_drop=(),
        security_opt=security_opt,
        privileged=privileged,
        read_only=read_only,
        network="bridge",
        pids=4096,
        log=log,
        labels=labels,
    )


def make_config(
    *types: PilotType,
    max_pilots: float | tuple[str | float, ...] = 100,
    reserve_cpus: float = 1.0,
    reserve_memory: int = GIB,
    reserve_disk: int = 2 * GIB,
    per_tick: int = 4,
    cooldown: float = 60.0,
    tolerance: float = 0.5,
    after: float = 10.0,
    action: ReclaimAction = ReclaimAction.PAUSE,
    pause_at_most: float = 120.0,
) -> Config:
    cap = max_pilots if isinstance(max_pilots, tuple) else (float(max_pilots),)
    return Config(
        host=HostConfig(
            max_pilots=cap,
            reserve_cpus=reserve_cpus,
            reserve_memory_bytes=reserve_memory,
            reserve_disk_bytes=reserve_disk,
            sample_seconds=1.0,
        ),
        spawn=SpawnConfig(per_tick=per_tick, cooldown_seconds=cooldown),
        reclaim=ReclaimConfig(
            tolerance_cores=tolerance,
            after_seconds=after,
            action=action,
            pause_at_most_seconds=pause_at_most,
        ),
        engine=EngineConfig(
            socket="unix:///run/docker.sock", timeout_seconds=5.0, instance="plancton"
        ),
        pilots=types or (make_type(),),
    )


def make_pilot(
    slot: int | None = 0,
    *,
    id: str | None = None,
    type: str = "default",
    state: PilotState = PilotState.RUNNING,
    age: float = 600.0,
    now: float = NOW,
    left: float | None = 36000.0,
    cpus: float = 1.0,
    memory: int = GIB,
    code: int | None = None,
    ran: float | None = None,
    oom: bool = False,
) -> Pilot:
    """Return a pilot ``age`` seconds old with ``left`` seconds to live; exited if it has a code."""
    if code is not None:
        state = PilotState.EXITED
    return Pilot(
        id=id or f"id-{slot}",
        name=f"plancton-{slot}" if slot is not None else "by-hand",
        type=type,
        slot=slot,
        state=state,
        spawned_at=now - age,
        expires_at=None if left is None else now + left,
        cpus=cpus,
        memory_bytes=memory,
        config_hash="0123456789ab",
        version="1.0",
        exit=None
        if code is None
        else PilotExit(
            code=code, ran_seconds=age if ran is None else ran, oom_killed=oom, message=""
        ),
    )


def make_host(
    *,
    ncpus: int = 8,
    owner: float = 0.0,
    pilots_cores: float | None = 0.0,
    busy: float | None = None,
    memory_total: int = 64 * GIB,
    available: int = 60 * GIB,
    swap_total: int = 0,
    pilots_memory: int | None = 0,
    disk_free: int | None = 100 * GIB,
) -> HostLoad:
    """Return a host whose owner uses ``owner`` cores; ``busy`` overrides what follows from it."""
    return HostLoad(
        ncpus=ncpus,
        busy_cores=owner + (pilots_cores or 0.0) if busy is None else busy,
        pilots_cores=pilots_cores,
        memory_total_bytes=memory_total,
        memory_available_bytes=available,
        swap_total_bytes=swap_total,
        pilots_memory_bytes=pilots_memory,
        disk_free_bytes=disk_free,
        window_seconds=1.0,
    )


def make_observation(
    *pilots: Pilot,
    host: HostLoad | None = None,
    ledger: Ledger | None = None,
    now: float = NOW,
    booted_at: float = 0.0,
    config_is_bad: bool = False,
    can_ask: bool = False,
) -> Observation:
    return Observation(
        taken_at=now,
        host=host or make_host(),
        pilots=pilots,
        ledger=ledger or Ledger(),
        booted_at=booted_at,
        config_is_bad=config_is_bad,
        can_ask=can_ask,
    )


# --- the simulated world -------------------------------------------------------------------------


class Happened(NamedTuple):
    """An action that was carried out, and when."""

    at: float
    action: Action


class World:
    """A host, its owner, its engine and its ledger.

    Pilots use ``usage`` of their cores as far as the owner leaves them any, and ``memory_usage``
    of their memory. ``strangers`` are slot numbers whose names other containers hold. A pilot that
    got its SIGTERM is gone when time next advances, unless its id is in ``stubborn``.
    """

    def __init__(
        self,
        config: Config,
        *,
        ncpus: int = 8,
        owner: float = 0.0,
        now: float = NOW,
        pilots: Iterable[Pilot] = (),
        ledger: Ledger | None = None,
        usage: float = 1.0,
        memory_total: int = 64 * GIB,
        owner_memory: int = 2 * GIB,
        memory_usage: float = 0.5,
        disk_free: int | None = 100 * GIB,
        slice_is_readable: bool = True,
        strangers: Iterable[int] = (),
        can_ask: bool = False,
    ) -> None:
        self.config = config
        self.ncpus = ncpus
        self.owner = owner
        self.now = now
        self.pilots = {pilot.id: pilot for pilot in pilots}
        self.ledger = ledger or Ledger()
        self.generation = 0
        self.usage = usage
        self.memory_total = memory_total
        self.owner_memory = owner_memory
        self.memory_usage = memory_usage
        self.disk_free = disk_free
        self.slice_is_readable = slice_is_readable
        self.strangers = frozenset(strangers)
        self.can_ask = can_ask
        self.stubborn: set[str] = set()
        self.signalled: set[str] = set()
        self.happened: list[Happened] = []
        self.most_live = 0
        self._born = 0

    # what is there

    def live(self, type_name: str | None = None) -> list[Pilot]:
        return [
            pilot
            for pilot in self.pilots.values()
            if pilot.state in LIVE and type_name in (None, pilot.type)
        ]

    def running_cpus(self) -> float:
        return sum(p.cpus for p in self.pilots.values() if p.state is PilotState.RUNNING)

    def reclaims(self, since: float = 0.0) -> list[Happened]:
        """List the pauses and the terminations for the owner's sake since an instant."""
        return [
            entry
            for entry in self.happened
            if entry.at >= since
            and (
                isinstance(entry.action, Pause)
                or (
                    isinstance(entry.action, Terminate)
                    and entry.action.outcome is Outcome.RECLAIMED
                )
            )
        ]

    def spawns(self) -> list[Happened]:
        return [entry for entry in self.happened if isinstance(entry.action, Spawn)]

    def observe(self) -> Observation:
        used = min(self.usage * self.running_cpus(), max(0.0, self.ncpus - self.owner))
        users = [p for p in self.live() if p.state is not PilotState.CREATED]
        used_memory = int(self.memory_usage * sum(p.memory_bytes for p in users))
        host = HostLoad(
            ncpus=self.ncpus,
            busy_cores=min(float(self.ncpus), self.owner) + used,
            pilots_cores=used if self.slice_is_readable else None,
            memory_total_bytes=self.memory_total,
            memory_available_bytes=max(0, self.memory_total - self.owner_memory - used_memory),
            swap_total_bytes=0,
            pilots_memory_bytes=used_memory if self.slice_is_readable else None,
            disk_free_bytes=self.disk_free,
            window_seconds=1.0,
        )
        return Observation(
            taken_at=self.now,
            host=host,
            pilots=tuple(self.pilots.values()),
            ledger=self.ledger,
            can_ask=self.can_ask,
        )

    # what happens

    def tick(self) -> Plan:
        """Run one tick undisturbed."""
        observation = self.observe()
        plan = decide(self.config, observation)
        for _ in self.apply(plan, observation):
            pass
        return plan

    def interruptible_tick(self) -> Iterator[None]:
        """Run one tick that others may interrupt wherever it yields."""
        generation, observation = self.generation, self.observe()
        yield
        plan = decide(self.config, observation)
        yield from self.apply(plan, observation, generation)

    def apply(
        self, plan: Plan, observation: Observation, generation: int | None = None
    ) -> Iterator[None]:
        """Carry out a plan, yielding between any two calls of the engine.

        Nothing is done if the ledger was to change and somebody changed it before.
        """
        if plan.ledger != observation.ledger:
            if generation not in (None, self.generation):
                return
            self._write(plan.ledger)
            yield
        signalled: dict[str, Ending] = {}
        strangers: dict[str, Stranger] = {}
        announced: dict[str, float] = {}
        for action in plan.actions:
            if isinstance(action, Ask):
                self.happened.append(Happened(self.now, action))
            elif isinstance(action, Spawn):
                if action.slot in self.strangers:
                    strangers[str(action.slot)] = Stranger("stranger", self.now)
                else:
                    self._spawn(action)
            elif isinstance(action, Announce):
                if action.pilot.id in self.pilots:
                    announced[action.pilot.id] = action.until
                self.happened.append(Happened(self.now, action))
            elif self._do(action) and isinstance(action, Terminate):
                signalled[action.pilot.id] = Ending(action.outcome, self.now, signalled=True)
            yield
        if signalled or strangers or announced:
            ledger = self.ledger
            is_told = ledger.drain is not None
            self._write(
                ledger._replace(
                    ending={**ledger.ending, **signalled},
                    strangers={**ledger.strangers, **strangers},
                    announced={**ledger.announced, **announced} if is_told else {},
                )
            )

    def _write(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.generation += 1

    def _spawn(self, action: Spawn) -> None:
        if any(pilot.slot == action.slot for pilot in self.pilots.values()):
            return
        self._born += 1
        born = make_pilot(
            action.slot,
            id=f"born-{self._born}",
            type=action.type.name,
            age=0.0,
            now=self.now,
            left=action.type.lifetime_seconds,
            cpus=action.type.cpus,
            memory=action.type.memory_bytes,
        )
        self.pilots[born.id] = born
        self.happened.append(Happened(self.now, action))
        self.most_live = max(self.most_live, len(self.live()))

    def _do(self, action: Pause | Resume | Terminate | Reap) -> bool:
        """Do what the engine would; False where it would refuse."""
        pilot = self.pilots.get(action.pilot.id)
        if pilot is None:
            return False
        if isinstance(action, Reap):
            del self.pilots[pilot.id]
        elif isinstance(action, Pause):
            if pilot.state is not PilotState.RUNNING:
                return False
            self.pilots[pilot.id] = pilot._replace(state=PilotState.PAUSED)
        elif isinstance(action, Resume):
            if pilot.state is not PilotState.PAUSED:
                return False
            self.pilots[pilot.id] = pilot._replace(state=PilotState.RUNNING)
        else:
            if pilot.state not in (PilotState.RUNNING, PilotState.PAUSED):
                return False
            self.pilots[pilot.id] = pilot._replace(state=PilotState.RUNNING)
            self.signalled.add(pilot.id)
        self.happened.append(Happened(self.now, action))
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass; who was told to end ends."""
        for pilot_id in self.signalled - self.stubborn:
            if pilot_id in self.pilots:
                self.exit(pilot_id, 143)
        self.signalled &= self.stubborn
        self.now += seconds

    def exit(self, pilot_id: str, code: int, *, ran: float | None = None) -> None:
        """Let a pilot's process end."""
        pilot = self.pilots[pilot_id]
        seconds = self.now - pilot.spawned_at if ran is None else ran
        self.pilots[pilot_id] = pilot._replace(
            state=PilotState.EXITED, exit=PilotExit(code, seconds, False, "")
        )

    def run(
        self, seconds: float, *, every: float = 5.0, before: Callable[[], None] | None = None
    ) -> None:
        """Tick at a steady pace; ``before`` is called ahead of each tick."""
        end = self.now + seconds
        while self.now < end:
            if before is not None:
                before()
            self.tick()
            self.advance(every)


# --- strategies ----------------------------------------------------------------------------------

CPUS = st.sampled_from((0.1, 0.25, 0.3, 0.5, 0.7, 1.0, 1.0, 1.5, 2.0, 4.0))
BYTES = st.sampled_from((0, GIB // 4, GIB, 2 * GIB, 3 * GIB))
PAST = st.sampled_from((0.0, 5.0, 9.9, 10.0, 29.0, 31.0, 60.0, 61.0, 120.0, 121.0, 3601.0, 9e4))
TYPE_NAMES = ("alpha", "beta", "gamma", "delta")


@st.composite
def pilot_types(draw: st.DrawFn, name: str = "default") -> PilotType:
    backoff = draw(st.sampled_from((1.0, 30.0, 60.0)))
    return make_type(
        name,
        cpus=draw(CPUS),
        memory=draw(st.sampled_from((GIB // 4, GIB, 2 * GIB))),
        share=draw(st.sampled_from((0.0, 0.5, 1.0, 1.0, 2.0, 3.0))),
        max_live=draw(st.none() | st.integers(0, 5)),
        lifetime=draw(st.sampled_from((60.0, 600.0, 43200.0))),
        stop_grace=draw(st.sampled_from((0.0, 10.0, 30.0))),
        fizzle=draw(st.sampled_from((0.0, 5.0, 30.0))),
        backoff=backoff,
        backoff_max=backoff * draw(st.sampled_from((1.0, 3.0, 100.0))),
    )


@st.composite
def configs(draw: st.DrawFn) -> Config:
    names = TYPE_NAMES[: draw(st.integers(1, 4))]
    return make_config(
        *(draw(pilot_types(name)) for name in names),
        max_pilots=draw(
            st.integers(0, 12)
            | st.sampled_from((("ncpus",), ("ncpus", 2.0, "*"), ("ncpus", 9.0, "-")))
        ),
        reserve_cpus=draw(st.sampled_from((0.0, 0.5, 1.0, 2.0))),
        reserve_memory=draw(BYTES),
        reserve_disk=draw(BYTES),
        per_tick=draw(st.integers(0, 6)),
        cooldown=draw(st.sampled_from((0.0, 10.0, 60.0))),
        tolerance=draw(st.sampled_from((0.0, 0.25, 0.5, 1.0))),
        after=draw(st.sampled_from((0.0, 10.0))),
        action=draw(st.sampled_from(tuple(ReclaimAction))),
        pause_at_most=draw(st.sampled_from((0.0, 10.0, 120.0))),
    )


@st.composite
def pilots(draw: st.DrawFn, pilot_id: str, slot: int | None) -> Pilot:
    """Draw a pilot of a configured type or of one nobody knows any more, in any state."""
    state = draw(
        st.sampled_from(
            (
                PilotState.RUNNING,
                PilotState.RUNNING,
                PilotState.RUNNING,
                PilotState.PAUSED,
                PilotState.CREATED,
                PilotState.EXITED,
                PilotState.REMOVING,
            )
        )
    )
    left = draw(st.none() | st.sampled_from((-100.0, 0.0, 50.0, 36000.0, 36000.0)))
    pilot = make_pilot(
        slot,
        id=pilot_id,
        type=draw(st.sampled_from((*TYPE_NAMES, "forgotten"))),
        state=state,
        age=draw(PAST),
        left=left,
        cpus=draw(CPUS),
        memory=draw(BYTES),
    )
    if state is not PilotState.EXITED:
        return pilot
    ended = st.builds(
        PilotExit,
        code=st.sampled_from((0, 0, 1, 69, 75, 137, 143)),
        ran_seconds=st.none() | PAST,
        oom_killed=st.booleans(),
        message=st.sampled_from(("", "no such file")),
    )
    return pilot._replace(exit=draw(st.none() | ended))


@st.composite
def pilot_lists(draw: st.DrawFn, at_most: int = 8) -> tuple[Pilot, ...]:
    """Draw pilots with ids and slots of their own, a few of them started by hand."""
    slots = draw(st.lists(st.integers(0, 14), unique=True, max_size=at_most))
    by_hand = draw(st.integers(0, 2))
    numbered: list[int | None] = [*slots, *([None] * by_hand)]
    return tuple(draw(pilots(f"id-{at}", slot)) for at, slot in enumerate(numbered))


@st.composite
def ledgers(draw: st.DrawFn, listed: tuple[Pilot, ...] = ()) -> Ledger:
    """Draw what earlier ticks may have left, about these pilots and others long gone."""
    instants = PAST.map(lambda ago: NOW - ago)
    ids = st.sampled_from((*(pilot.id for pilot in listed), "gone-1", "gone-2"))

    def some(keys: st.SearchStrategy[str], values: st.SearchStrategy[object]) -> object:
        return draw(st.dictionaries(keys, values, max_size=3))

    names = st.sampled_from((*TYPE_NAMES, "forgotten"))
    waits = st.builds(
        lambda ahead, step, why: Backoff(NOW + ahead, step, why),
        st.sampled_from((-3600.0, -31.0, -1.0, 0.0, 1.0, 500.0)),
        st.sampled_from((1.0, 30.0, 3600.0)),
        st.sampled_from(("no-work", "failed", "not started", "image missing")),
    )
    endings = st.builds(Ending, st.sampled_from(Outcome), instants, st.booleans())
    facts: dict[str, object] = {
        "drain": draw(st.none() | st.none() | st.just(Drain("root", NOW - 60, "kernel"))),
        "overload_since": draw(st.none() | instants),
        "last_reclaim_at": draw(st.none() | instants),
        "paused": some(ids, instants),
        "ending": some(ids, endings),
        "backoffs": some(names, waits),
        "counts": some(names, st.dictionaries(st.sampled_from(Outcome), st.integers(0, 9))),
        "pauses": some(names, st.integers(0, 9)),
        "counted": some(ids, instants),
        "strangers": some(
            st.integers(0, 9).map(str), st.builds(Stranger, st.just("f00"), instants)
        ),
        "pulls": some(
            st.sampled_from(("busybox", "alpine")),
            st.builds(Pull, st.sampled_from(PullState), instants, st.integers(0, 5), st.just("d")),
        ),
        "told": some(st.just("volume x"), instants),
    }
    return Ledger(**facts)  # type: ignore[arg-type]  # drawn field by field above


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    listed = draw(pilot_lists())
    ncpus = draw(st.integers(1, 16))
    loads = st.floats(0, 16, allow_nan=False)
    host = make_host(
        ncpus=ncpus,
        busy=min(float(ncpus), draw(loads)),
        pilots_cores=draw(st.none() | loads),
        available=draw(st.sampled_from((0, GIB // 2, 2 * GIB, 10 * GIB, 60 * GIB))),
        pilots_memory=draw(st.none() | BYTES),
        disk_free=draw(st.none() | st.sampled_from((0, GIB, 100 * GIB, 100 * GIB))),
    )
    return make_observation(
        *listed,
        host=host,
        ledger=draw(ledgers(listed)),
        booted_at=draw(st.sampled_from((0.0, NOW - 60.0))),
        config_is_bad=draw(st.sampled_from((False, False, False, True))),
        can_ask=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a host in the middle of its life."""
    listed = draw(pilot_lists())
    ncpus = draw(st.integers(1, 16))
    return World(
        draw(configs()),
        ncpus=ncpus,
        owner=draw(st.floats(0, ncpus)),
        pilots=listed,
        ledger=draw(ledgers(listed)),
        usage=draw(st.sampled_from((0.0, 0.5, 1.0))),
        memory_total=draw(st.sampled_from((4 * GIB, 16 * GIB, 64 * GIB))),
        owner_memory=draw(BYTES),
        memory_usage=draw(st.sampled_from((0.1, 0.5, 1.0))),
        disk_free=draw(st.none() | st.sampled_from((GIB, 100 * GIB, 100 * GIB))),
        strangers=draw(st.frozensets(st.integers(0, 9), max_size=2)),
        can_ask=draw(st.booleans()),
    )


def by_type(pilots: Iterable[Pilot]) -> Mapping[str, int]:
    """Count pilots by their type."""
    counts: dict[str, int] = {}
    for pilot in pilots:
        counts[pilot.type] = counts.get(pilot.type, 0) + 1
    return counts
