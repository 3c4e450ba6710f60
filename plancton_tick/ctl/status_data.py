"""What ``planctonctl status`` tells, as one value whose fields are the keys of its JSON.

Loads and caps are in cores, sizes in bytes, durations in seconds, instants in seconds since the
epoch. docs/status-json.md describes each field; SCHEMA grows by one when one of them changes its
meaning or goes, not when one is added.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from plancton_tick import __version__, manager
from plancton_tick.config_cache import read_config
from plancton_tick.container import config_hash
from plancton_tick.ctl.usage import Usage, find_groups, read_all, read_cpu
from plancton_tick.errors import (
    EXIT_CONFIG,
    EXIT_OK,
    EXIT_OSERR,
    EXIT_TEMPFAIL,
    EXIT_UNAVAILABLE,
    PlanctonError,
)
from plancton_tick.explain import veto_words
from plancton_tick.loaded import Loaded
from plancton_tick.model import Backoff, Drain, Pilot, PilotState
from plancton_tick.room import LIVE_STATES, read_memory, read_owner_cores
from plancton_tick.spawning import read_cap
from plancton_tick.tick import Seen, read_size, see

SCHEMA = 1
# Long enough for two digits of a load, short enough not to be waited for.
WINDOW_SECONDS = 0.4

TICK_ENDINGS = {
    EXIT_OK: "done",
    EXIT_UNAVAILABLE: "the engine was unavailable",
    EXIT_OSERR: "the host could not be read",
    EXIT_TEMPFAIL: "some actions failed",
    EXIT_CONFIG: "the configuration is bad",
}


class ConfigStatus(NamedTuple):
    """The configuration: which files it came from, and their faults."""

    files: tuple[str, ...]
    faults: tuple[str, ...]


class EngineStatus(NamedTuple):
    """The engine, and why it could not be asked."""

    url: str
    error: str | None
    hint: str | None
    exit_code: int


class TickStatus(NamedTuple):
    """The last tick that the timer fired; ``ended`` says in words how it ended."""

    is_running: bool
    started_at: float | None
    ended_at: float | None
    result: str
    exit_code: int | None
    signal: int | None
    ended: str | None


class TimerStatus(NamedTuple):
    """The timer. ``error`` says why nothing is known of it."""

    manager: str
    error: str | None
    is_installed: bool
    is_on: bool
    is_enabled: bool
    next_at: float | None
    last_tick: TickStatus | None


class HostStatus(NamedTuple):
    """The host over the window, and what is reserved of it for its owner."""

    window_seconds: float
    ncpus: int
    owner_cores: float
    pilots_cores: float | None
    reserve_cpus: float
    memory_total_bytes: int
    memory_available_bytes: int
    memory_pilots_bytes: int | None
    memory_promised_bytes: int
    reserve_memory_bytes: int
    disk_free_bytes: int | None
    reserve_disk_bytes: int


class TypeStatus(NamedTuple):
    """One pilot type; shares are parts of 1, of all shares and of all live pilots' cores.

    ``share_had`` is None while no pilot is live. ``is_configured`` is False where pilots or counts
    are left of a type that the configuration no longer has.
    """

    name: str
    is_configured: bool
    image: str | None
    cpus: float | None
    memory_bytes: int | None
    live: int
    paused: int
    max: int | None
    share_wanted: float
    share_had: float | None
    outcomes: Mapping[str, int]
    backoff: Backoff | None


class PilotStatus(NamedTuple):
    """One pilot. ``ending`` is the outcome it will count as, if it was told to end.

    ``cpu_cores`` and ``memory_used_bytes`` are None where the container's group is not to be seen;
    ``is_current`` is None where its type is no longer configured.
    """

    name: str
    id: str
    type: str
    slot: int | None
    state: str
    ending: str | None
    age_seconds: float
    left_seconds: float | None
    cpus: float
    cpu_cores: float | None
    memory_bytes: int
    memory_used_bytes: int | None
    image: str
    is_current: bool | None
    version: str


class VetoStatus(NamedTuple):
    """Why no pilot (of this type, if given) is started; ``words`` is the whole for a person."""

    veto: str
    type: str | None
    reason: str
    until: float | None
    words: str


class Status(NamedTuple):
    """All of it. ``host`` and ``max_pilots`` are None where the engine could not be asked."""

    schema: int
    version: str
    instance: str
    node: str
    taken_at: float
    config: ConfigStatus
    engine: EngineStatus
    timer: TimerStatus
    drain: Drain | None
    host: HostStatus | None
    max_pilots: int | None
    live: int
    types: tuple[TypeStatus, ...]
    pilots: tuple[PilotStatus, ...]
    vetoes: tuple[VetoStatus, ...]

    @property
    def exit_code(self) -> int:
        """What showing it ends with: as a tick would."""
        return EXIT_CONFIG if self.config.faults else self.engine.exit_code


def read_status(config_path: str, *, user: bool = False) -> Status:
    """Look at everything, as a tick does, over a short window. Raises nothing of Plancton's."""
    loaded = read_config(config_path, None, host=read_size())
    short = min(WINDOW_SECONDS, loaded.config.host.sample_seconds)
    config = loaded.config._replace(host=loaded.config.host._replace(sample_seconds=short))
    instance = config.engine.instance
    url = os.environ.get("DOCKER_HOST") or config.engine.socket
    first = read_cpu(find_groups(instance))
    seen, engine = None, EngineStatus(url, None, None, EXIT_OK)
    try:
        seen = see(loaded._replace(config=config))
    except PlanctonError as error:
        engine = EngineStatus(url, error.message, error.hint, error.exit_code)
    usage = read_all(first, instance) if seen is not None else {}
    return make_status(loaded, engine, read_timer(user=user), seen, usage)


def make_status(
    loaded: Loaded,
    engine: EngineStatus,
    timer: TimerStatus,
    seen: Seen | None,
    usage: Mapping[str, Usage],
) -> Status:
    """Put what was seen together; without it there are only configuration, engine and timer."""
    config = loaded.config
    status = Status(
        schema=SCHEMA,
        version=__version__,
        instance=config.engine.instance,
        node=os.uname().nodename,
        taken_at=time.time(),
        config=ConfigStatus(loaded.files, loaded.faults),
        engine=engine,
        timer=timer,
        drain=None,
        host=None,
        max_pilots=None,
        live=0,
        types=(),
        pilots=(),
        vetoes=(),
    )
    if seen is None:
        return status
    observation = seen.observation
    now = observation.taken_at
    pilots = sorted(
        observation.pilots,
        key=lambda pilot: (pilot.slot is None, pilot.slot or 0, pilot.spawned_at, pilot.id),
    )
    hashes = {each.name: config_hash(each) for each in config.pilots}
    return status._replace(
        taken_at=now,
        drain=observation.ledger.drain,
        host=_host(loaded, seen),
        max_pilots=read_cap(config, observation.host)[0],
        live=sum(pilot.state in LIVE_STATES for pilot in pilots),
        types=_types(loaded, seen),
        pilots=tuple(
            _pilot(pilot, seen, hashes, usage.get(pilot.id, Usage(None, None))) for pilot in pilots
        ),
        vetoes=tuple(
            VetoStatus(veto.name, veto.type, veto.reason, veto.until, veto_words(veto, now))
            for veto in seen.plan.vetoes
        ),
    )


def to_json(status: Status, *, indent: int | None = 2) -> str:
    """Return the status as one JSON document."""
    return json.dumps(_plain(status), indent=indent)


def read_timer(*, user: bool) -> TimerStatus:
    """Ask systemd for the timer and the last tick; what goes wrong is part of the answer."""
    whose = "user" if user else "system"
    try:
        with manager.Manager(user=user) as systemd:
            timer, service = systemd.read_timer(), systemd.read_service()
    except PlanctonError as error:
        return TimerStatus(whose, error.message, False, False, False, None, None)
    tick = None
    if service.is_running or service.ended_at is not None:
        tick = TickStatus(
            is_running=service.is_running,
            started_at=service.started_at,
            ended_at=service.ended_at,
            result=service.result,
            exit_code=service.exit_code,
            signal=service.signal,
            ended=_ending(service),
        )
    error_text = None if timer.is_installed else f"{manager.TIMER} is not installed"
    return TimerStatus(
        whose,
        error_text,
        timer.is_installed,
        timer.is_on,
        timer.is_enabled,
        timer.next_at,
        tick,
    )


def _ending(service: manager.ServiceState) -> str | None:
    if service.is_running or service.ended_at is None:
        return None
    if service.result == "timeout":
        return "ended by systemd: it took too long"
    if service.signal is not None:
        return f"ended by signal {service.signal}"
    if service.exit_code is None:
        return service.result
    return TICK_ENDINGS.get(service.exit_code, f"exit code {service.exit_code}")


def _host(loaded: Loaded, seen: Seen) -> HostStatus:
    host, reserve = seen.observation.host, loaded.config.host
    pilots = seen.observation.pilots
    live = [pilot for pilot in pilots if pilot.state in LIVE_STATES]
    return HostStatus(
        window_seconds=host.window_seconds,
        ncpus=host.ncpus,
        owner_cores=read_owner_cores(host, pilots),
        pilots_cores=host.pilots_cores,
        reserve_cpus=reserve.reserve_cpus,
        memory_total_bytes=host.memory_total_bytes,
        memory_available_bytes=host.memory_available_bytes,
        memory_pilots_bytes=host.pilots_memory_bytes,
        memory_promised_bytes=read_memory(host, live).promised_bytes,
        reserve_memory_bytes=reserve.reserve_memory_bytes,
        disk_free_bytes=host.disk_free_bytes,
        reserve_disk_bytes=reserve.reserve_disk_bytes,
    )


def _types(loaded: Loaded, seen: Seen) -> tuple[TypeStatus, ...]:
    observation = seen.observation
    ledger = observation.ledger
    configured = {each.name: each for each in loaded.config.pilots}
    others = {pilot.type for pilot in observation.pilots} | set(ledger.counts)
    shares = sum(each.share for each in configured.values())
    live = [pilot for pilot in observation.pilots if pilot.state in LIVE_STATES]
    live_cpus = sum(pilot.cpus for pilot in live)
    described = []
    for name in (*configured, *sorted(others - set(configured))):
        mine = [pilot for pilot in live if pilot.type == name]
        pilot_type = configured.get(name)
        described.append(
            TypeStatus(
                name=name,
                is_configured=pilot_type is not None,
                image=pilot_type.image if pilot_type else None,
                cpus=pilot_type.cpus if pilot_type else None,
                memory_bytes=pilot_type.memory_bytes if pilot_type else None,
                live=len(mine),
                paused=sum(pilot.state is PilotState.PAUSED for pilot in mine),
                max=pilot_type.max_live if pilot_type else None,
                share_wanted=pilot_type.share / shares if pilot_type and shares else 0.0,
                share_had=sum(p.cpus for p in mine) / live_cpus if live_cpus else None,
                outcomes=ledger.counts.get(name, {}),
                backoff=ledger.backoffs.get(name),
            )
        )
    return tuple(described)


def _pilot(pilot: Pilot, seen: Seen, hashes: Mapping[str, str], used: Usage) -> PilotStatus:
    now = seen.observation.taken_at
    ending = seen.observation.ledger.ending.get(pilot.id)
    current = hashes.get(pilot.type)
    return PilotStatus(
        name=pilot.name,
        id=pilot.id,
        type=pilot.type,
        slot=pilot.slot,
        state=pilot.state,
        ending=ending.outcome if ending is not None else None,
        age_seconds=max(0.0, now - pilot.spawned_at),
        left_seconds=None if pilot.expires_at is None else max(0.0, pilot.expires_at - now),
        cpus=pilot.cpus,
        cpu_cores=used.cores,
        memory_bytes=pilot.memory_bytes,
        memory_used_bytes=used.memory_bytes,
        image=pilot.image,
        is_current=None if current is None else current == pilot.config_hash,
        version=pilot.version,
    )


def _plain(value: object) -> object:
    """Turn named tuples into mappings, for json keeps them as arrays without names."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _plain(entry) for key, entry in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value
