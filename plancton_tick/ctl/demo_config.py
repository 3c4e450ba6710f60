"""The demonstration's configuration, sized to this host so that a minute shows everything.

Eight pilots would fill all cores: few enough to be started by any host within seconds, and small
enough that those which fit beside the owner's own load leave little idle.
"""

import math
import os
from typing import NamedTuple

# The pilot's first process spins up its load, then counts seconds of its own: time in which it is
# paused does not count, as it would not for real work. When it exits all it started goes with it.
_WORK = (
    "n={spinners}; while [ $n -gt 0 ]; do (while :; do :; done) & n=$((n-1)); done; "
    "n={seconds}; while [ $n -gt 0 ]; do sleep 1; n=$((n-1)); done"
)
_SHORT_SECONDS = 12
_LONG_SECONDS = 3600

_TEMPLATE = """\
host:
  max_pilots: {max_pilots}
  reserve: {{cpus: {reserve:g}, memory: 64M, disk: 16M}}
spawn: {{per_tick: 4, cooldown: {cooldown:g}s}}
reclaim: {{tolerance: {tolerance:g}, after: {after:g}s, action: pause, pause_at_most: 10min}}
engine: {{socket: "{url}", instance: {instance}, timeout: 10s}}
pilots:
  - {{name: long, share: 2, command: [sh, -c, "{long}"], {common}}}
  - {{name: short, share: 1, command: [sh, -c, "{short}"], {common}}}
"""
# No network: nothing here needs one, and starting a container without is faster. The log driver is
# not the journal: somebody else's journal has no use for our pilots.
_COMMON = (
    "image: {image}, cpus: {cpus:g}, memory: 16M, swap: 0, lifetime: 1h, stop_grace: 2s, "
    "fizzle: 1s, backoff: 4s, backoff_max: 8s, network: none, log: json-file, pids: 256"
)


class Size(NamedTuple):
    """How large things are here, in cores; ``after_seconds`` is ``reclaim.after``."""

    cores: int
    pilot_cpus: float
    max_pilots: int
    reserve_cpus: float
    tolerance_cores: float
    after_seconds: float


def size_to_host(cadence_seconds: float, cores: int | None = None) -> Size:
    """Say what suits this host: the CPUs that this process may use, unless ``cores`` is given."""
    cores = len(os.sched_getaffinity(0)) if cores is None else cores
    return Size(
        cores=cores,
        pilot_cpus=round(cores / 8, 2),
        max_pilots=8,
        reserve_cpus=round(cores * 0.05, 2),
        # Less than the reserve and one pilot: not even a last one may stay in the owner's way.
        tolerance_cores=round(cores * 0.1, 2),
        # Between two and three ticks, so that the third tick that sees an overload ends it.
        after_seconds=1.5 * cadence_seconds,
    )


def make_config(size: Size, *, url: str, instance: str, image: str) -> str:
    """Return the configuration as YAML."""
    spinners = math.ceil(size.pilot_cpus)
    return _TEMPLATE.format(
        max_pilots=size.max_pilots,
        reserve=size.reserve_cpus,
        tolerance=size.tolerance_cores,
        after=size.after_seconds,
        cooldown=size.after_seconds,
        url=url,
        instance=instance,
        long=_WORK.format(spinners=spinners, seconds=_LONG_SECONDS),
        short=_WORK.format(spinners=spinners, seconds=_SHORT_SECONDS),
        common=_COMMON.format(image=image, cpus=size.pilot_cpus),
    )
