"""The nouns of Plancton as immutable values, the names of its labels, and labels to pilots.

Loads and caps are in cores, sizes in bytes, durations in seconds, instants in seconds since the
epoch. Values are named tuples: a frozen data class costs a tick 0.7 ms of import each, and the
``dataclasses`` module 12 ms, together more than all the rest of a quiet tick. Mappings inside a
value are never changed.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

LABEL = "io.plancton"
LABEL_TYPE = "io.plancton.type"
LABEL_INSTANCE = "io.plancton.instance"
LABEL_SLOT = "io.plancton.slot"
LABEL_SPAWNED_AT = "io.plancton.spawned-at"
LABEL_EXPIRES_AT = "io.plancton.expires-at"
LABEL_CPUS = "io.plancton.cpus"
LABEL_MEMORY = "io.plancton.memory"
LABEL_CONFIG = "io.plancton.config"
LABEL_VERSION = "io.plancton.version"
LABEL_CPU_BEFORE = "io.plancton.cpu-before"
LABEL_PEAK_BEFORE = "io.plancton.memory-peak-before"
LABEL_LEDGER = "io.plancton.ledger"

DEFAULT_INSTANCE = "plancton"


class Outcome(StrEnum):
    """How a pilot ended."""

    DONE = "done"
    NO_WORK = "no-work"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    RECLAIMED = "reclaimed"
    EXPIRED = "expired"
    DRAINED = "drained"


class PilotState(StrEnum):
    """Where a pilot is in its life, as the engine's list tells."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"
    REMOVING = "removing"


class PullState(StrEnum):
    """What is known of the last pull of an image."""

    SEEN = "seen"
    ASKED = "asked"
    PULLING = "pulling"
    PULLED = "pulled"
    FAILED = "failed"


class ReclaimAction(StrEnum):
    """What a reclaim does first."""

    PAUSE = "pause"
    STOP = "stop"


# --- configuration -------------------------------------------------------------------------------


class Mount(NamedTuple):
    """A host path shown to a pilot."""

    source: str
    target: str
    read_only: bool
    propagation: str


class Device(NamedTuple):
    """A device node of the host given to a pilot; permissions are a subset of ``rwm``."""

    host: str
    container: str
    permissions: str


class ExitCodes(NamedTuple):
    """Which exit codes of a pilot mean what; any other means failed."""

    done: tuple[int, ...]
    no_work: tuple[int, ...]
    unreachable: tuple[int, ...]


class PilotType(NamedTuple):
    """One entry of ``pilots:`` in the configuration."""

    name: str
    image: str
    command: tuple[str, ...] | None
    cpus: float
    memory_bytes: int
    swap_bytes: int
    share: float
    max_live: int | None
    lifetime_seconds: float
    stop_grace_seconds: float
    fizzle_seconds: float
    backoff_seconds: float
    backoff_max_seconds: float
    exit_codes: ExitCodes
    pull_seconds: float
    user: str | None
    env: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    devices: tuple[Device, ...]
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    security_opt: tuple[str, ...]
    privileged: bool
    read_only: bool
    network: str
    pids: int
    log: str
    labels: tuple[tuple[str, str], ...]


class HostConfig(NamedTuple):
    """``host:``. ``max_pilots`` is an expression in postfix order (see expression.py)."""

    max_pilots: tuple[str | float, ...]
    reserve_cpus: float
    reserve_memory_bytes: int
    reserve_disk_bytes: int
    sample_seconds: float


class SpawnConfig(NamedTuple):
    """``spawn:``."""

    per_tick: int
    cooldown_seconds: float


class ReclaimConfig(NamedTuple):
    """``reclaim:``."""

    tolerance_cores: float
    after_seconds: float
    action: ReclaimAction
    pause_at_most_seconds: float


class EngineConfig(NamedTuple):
    """``engine:``. ``instance`` tells two Planctons on one engine apart."""

    socket: str
    timeout_seconds: float
    instance: str


class Database(NamedTuple):
    """A database of InfluxDB: one entry of ``metrics.influxdb``.

    ``url`` has no credentials in it. With ``org`` this is a bucket of InfluxDB 2 or later, whose
    token is in ``token_file``, else a database of InfluxDB 1.
    """

    url: str
    name: str
    user: str = ""
    password: str = ""
    org: str = ""
    token_file: str = ""

    def __repr__(self) -> str:
        """Write it as it may be shown: without its password."""
        return f"{self.url}#{self.name}"


class MetricsConfig(NamedTuple):
    """``metrics:``. ``textfile`` is the folder of the file for Prometheus, None for none."""

    textfile: str | None = None
    influxdb: tuple[Database, ...] = ()
    insecure_https: bool = False


class Config(NamedTuple):
    """The whole configuration, defaults filled in."""

    host: HostConfig
    spawn: SpawnConfig
    reclaim: ReclaimConfig
    engine: EngineConfig
    pilots: tuple[PilotType, ...]
    metrics: MetricsConfig = MetricsConfig()


# --- observation ---------------------------------------------------------------------------------


class HostLoad(NamedTuple):
    """What the host's kernel says, over one sampling window.

    ``busy_cores`` counts everything but idle and I/O wait, steal time included and the tick's
    own CPU time not. ``pilots_cores`` and ``pilots_memory_bytes`` are what the pilots' slice
    used, None where it cannot be read; ``disk_free_bytes`` is None where the engine's data cannot
    be seen.
    """

    ncpus: int
    busy_cores: float
    pilots_cores: float | None
    memory_total_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    pilots_memory_bytes: int | None
    disk_free_bytes: int | None
    window_seconds: float


class SlotUsage(NamedTuple):
    """What all pilots of a slot have used so far, as their common control group counts it.

    None is what the kernel does not tell; ``peak_bytes`` is the most memory held at any time.
    """

    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class PilotExit(NamedTuple):
    """How a pilot's process ended; ``ran_seconds`` is None where the engine's times are absurd.

    ``used`` is what it alone used, None where that is not known.
    """

    code: int
    ran_seconds: float | None
    oom_killed: bool
    message: str
    used: SlotUsage = SlotUsage()


class Pilot(NamedTuple):
    """A container with our label, as the engine lists it. ``exit`` is None unless it has exited."""

    id: str
    name: str
    type: str
    slot: int | None
    state: PilotState
    spawned_at: float
    expires_at: float | None
    cpus: float
    memory_bytes: int
    config_hash: str
    version: str
    exit: PilotExit | None = None
    image: str = ""
    image_id: str = ""
    used_before: SlotUsage = SlotUsage()


class Drain(NamedTuple):
    """No new pilots until resumed: who asked, when and why.

    With ``ends_pilots`` those that run are terminated too, else they are left to finish; with
    ``stops_timer`` the timer is to be stopped when the last has gone.
    """

    by: str
    at: float
    why: str
    ends_pilots: bool = False
    stops_timer: bool = False

    def words(self) -> str:
        """Say who drained, and why if they told."""
        return f"drained by {self.by}: {self.why}" if self.why else f"drained by {self.by}"


class Ending(NamedTuple):
    """A pilot being terminated: the outcome it will count as, and whether SIGTERM was sent."""

    outcome: Outcome
    since: float
    signalled: bool


class Backoff(NamedTuple):
    """A type waits until ``until``; then one canary. ``step_seconds`` is the wait that is on."""

    until: float
    step_seconds: float
    why: str


class Stranger(NamedTuple):
    """A container that is not ours but holds the name of one of our slots."""

    container_id: str
    seen_at: float


class Pull(NamedTuple):
    """An image's last pull: ``since`` is when its state began.

    ``failures`` counts the asks in a row that came to nothing. ``digest`` is of the image that the
    last pull found, empty before the first.
    """

    state: PullState
    since: float
    failures: int = 0
    digest: str = ""


class HostClock(NamedTuple):
    """Which boot this is, and the wall clock less the time since boot: shows a stepped clock."""

    boot_id: str
    offset_seconds: float


class Ledger(NamedTuple):
    """The few facts that outlive pilots.

    Pilot ids are the keys of ``paused``, ``ending`` and ``counted``; type names of ``backoffs``,
    ``counts`` and ``pauses``, which counts how often pilots were paused; slot numbers of
    ``strangers``; images of ``pulls``. ``told`` holds what was reported and is not to be reported
    again while it lasts, ``announced`` until when each pilot, by its id, was told by a drain that
    it may stay. ``unknown`` holds what a newer version wrote, kept as it is.
    """

    drain: Drain | None = None
    overload_since: float | None = None
    last_reclaim_at: float | None = None
    paused: Mapping[str, float] = {}
    ending: Mapping[str, Ending] = {}
    backoffs: Mapping[str, Backoff] = {}
    counts: Mapping[str, Mapping[str, int]] = {}
    pauses: Mapping[str, int] = {}
    counted: Mapping[str, float] = {}
    strangers: Mapping[str, Stranger] = {}
    pulls: Mapping[str, Pull] = {}
    told: Mapping[str, float] = {}
    announced: Mapping[str, float] = {}
    clock: HostClock | None = None
    unknown: Mapping[str, object] = {}


class Observation(NamedTuple):
    """All that a decision is made from. ``config_is_bad`` forbids spawning and reclaiming.

    ``booted_at`` is when the host started: what ended a pilot spawned before it says nothing of
    the pilot. ``node`` is the host's name. ``can_ask`` says whether there is a folder to ask for
    images in.
    """

    taken_at: float
    host: HostLoad
    pilots: tuple[Pilot, ...]
    ledger: Ledger
    booted_at: float = 0.0
    config_is_bad: bool = False
    node: str = ""
    can_ask: bool = False


# --- plan ----------------------------------------------------------------------------------------


class Spawn(NamedTuple):
    """Start a pilot of this type in this slot."""

    type: PilotType
    slot: int
    reason: str


class Pause(NamedTuple):
    """Freeze a pilot: the owner needs its cores now.

    ``overload_seconds`` is how long the overload had lasted, since a tick first saw it.
    """

    pilot: Pilot
    reason: str
    overload_seconds: float | None = None


class Resume(NamedTuple):
    """Thaw a paused pilot."""

    pilot: Pilot
    reason: str


class Terminate(NamedTuple):
    """Send SIGTERM, and remember the outcome the pilot is to count as.

    ``gone_by`` is when it will be removed: it is told so just before. ``overload_seconds`` is as
    for a pause, and None where the owner's cores are not the reason.
    """

    pilot: Pilot
    outcome: Outcome
    reason: str
    gone_by: float | None = None
    overload_seconds: float | None = None


class Announce(NamedTuple):
    """Tell a pilot that it may stay until ``until``, and no longer; nothing enforces it."""

    pilot: Pilot
    until: float
    reason: str


class Reap(NamedTuple):
    """Remove a pilot's container: exited, past its grace, or a leftover (then no outcome)."""

    pilot: Pilot
    outcome: Outcome | None
    reason: str


class Ask(NamedTuple):
    """Ask for an image to be pulled, by whom the tick does not wait for."""

    image: str
    reason: str


Action = Terminate | Pause | Reap | Resume | Announce | Ask | Spawn


class Veto(NamedTuple):
    """A named reason why no pilot (of this type, if given) is spawned now.

    ``until`` is the earliest instant it can lift by itself, None where only a change can lift it.
    """

    name: str
    type: str | None
    reason: str
    until: float | None


class Plan(NamedTuple):
    """The ordered actions of a tick, why nothing more is spawned, and the ledger it leaves."""

    actions: tuple[Action, ...]
    vetoes: tuple[Veto, ...]
    ledger: Ledger
