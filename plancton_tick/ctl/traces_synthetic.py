"""Owners made up: six kinds of a day, each from a seed.

What they want is said in cores and GiB at steps of 5 or 10 s. A kind also says on which host it is
at home and how long the tasks there take, for where nothing else is asked for.
"""

import math
import random
from collections.abc import Callable
from typing import NamedTuple

from plancton_tick.ctl.traces import Trace

GIB = 2**30
HOUR = 3600.0
DAY = 24 * HOUR


class Kind(NamedTuple):
    """A kind of day: what it is, its host, its pilots' tasks, and what draws it."""

    does: str
    ncpus: int
    memory_bytes: int
    tasks: str
    draw: Callable[[random.Random, float], tuple[list[float], list[float], float]]


class Burst(NamedTuple):
    """Something the owner starts: seconds, cores and GiB."""

    at: float
    seconds: float
    cores: float
    gib: float


def make_synthetic(kind: str, seed: int, seconds: float = DAY) -> Trace:
    """Draw a day of a kind. Equal seeds draw equal days."""
    chosen = KINDS[kind]
    cores, gib, step = chosen.draw(random.Random(f"{kind} {seed}"), seconds)
    times: list[float] = []
    steps: list[float] = []
    held: list[int] = []
    for at, (wanted, memory) in enumerate(zip(cores, gib, strict=True)):
        wanted, size = round(wanted, 3), int(memory * 1024) * 2**20
        if not times or (wanted, size) != (steps[-1], held[-1]):
            times.append(at * step)
            steps.append(wanted)
            held.append(size)
    return Trace(
        kind,
        times,
        steps,
        held,
        seconds,
        ncpus=chosen.ncpus,
        memory_total_bytes=chosen.memory_bytes,
    )


def _constant(chance: random.Random, seconds: float) -> tuple[list[float], list[float], float]:
    """Want the same all day."""
    return [2.0], [4.0], seconds


def _noisy(chance: random.Random, seconds: float) -> tuple[list[float], list[float], float]:
    """Want about the same, a little more or less at each moment: less than pilots are moved for."""
    count = math.ceil(seconds / 5.0)
    return [2.0 + chance.uniform(-0.22, 0.22) for _ in range(count)], [4.0] * count, 5.0


def _developer(chance: random.Random, seconds: float) -> tuple[list[float], list[float], float]:
    """Work from nine to six with a break: an editor, a browser, builds and their tests."""
    hours = [(9.0, 12.5), (13.4, 18.1)]
    starts = [(HOUR * (a + chance.uniform(-0.4, 0.4)), HOUR * b) for a, b in hours]
    bursts = []
    for start, end in starts:
        bursts.append(Burst(start, end - start, 0.4, 6.0))
        at = start + chance.uniform(60, 600)
        while at < end:
            length = min(600.0, chance.lognormvariate(math.log(70), 0.9))
            bursts.append(Burst(at, length, chance.choice((2.0, 4.0, 6.0, 8.0)), 0.0))
            at += length + chance.expovariate(1 / 480)
        # A virtual machine and an analysis that want memory more than anything.
        at = start + chance.uniform(0.3, 0.6) * (end - start)
        bursts.append(Burst(at, chance.uniform(0.6, 1.3) * HOUR, 1.0, chance.uniform(10, 16)))
    bursts.append(Burst(2.5 * HOUR, 900.0, 1.0, 1.0))
    return _add_up(chance, bursts, seconds, 10.0, base=(0.12, 3.0), noise=0.04)


def _farm(chance: random.Random, seconds: float) -> tuple[list[float], list[float], float]:
    """Compile for many: jobs of a few cores at any time, most of them by day, some of all cores."""
    bursts = []
    at = 0.0
    while at < seconds:
        by_day = 0.5 - 0.5 * math.cos(2 * math.pi * (at / DAY - 0.1))
        at += chance.expovariate((2.0 + 14.0 * by_day) / HOUR)
        wide = chance.random() < 0.15
        cores = 16.0 if wide else chance.choice((1.0, 2.0, 4.0, 4.0, 8.0))
        length = min(2400.0, chance.lognormvariate(math.log(300), 0.8))
        bursts.append(Burst(at, length, cores, 0.9 * cores))
    return _add_up(chance, bursts, seconds, 10.0, base=(0.3, 4.0), noise=0.1)


def _laptop(chance: random.Random, seconds: float) -> tuple[list[float], list[float], float]:
    """Read, write, call, watch: little load, often, and an update now and then."""
    bursts = []
    for start, end in ((7.6, 8.4), (9.5, 11.8), (14.0, 16.5), (19.8, 22.6)):
        begin, end = HOUR * (start + chance.uniform(-0.2, 0.2)), HOUR * end
        bursts.append(Burst(begin, end - begin, 0.25, 4.5))
        at = begin
        while at < end:
            length = chance.lognormvariate(math.log(25), 0.8)
            bursts.append(Burst(at, length, chance.uniform(0.5, 3.0), 0.3))
            at += length + chance.expovariate(1 / 150)
    bursts.append(Burst(10.2 * HOUR, 0.8 * HOUR, 1.4, 1.0))
    bursts.append(Burst(20.5 * HOUR, 1.6 * HOUR, 0.7, 3.0))
    bursts.append(Burst(HOUR * chance.uniform(12, 13), 700.0, 2.0, 1.0))
    return _add_up(chance, bursts, seconds, 5.0, base=(0.1, 2.5), noise=0.05)


def _site(chance: random.Random, seconds: float) -> tuple[list[float], list[float], float]:
    """A node that does nothing else: its system, and what runs there every hour."""
    bursts = [
        Burst(HOUR * hour + chance.uniform(0, 600), chance.uniform(60, 240), 0.8, 0.2)
        for hour in range(math.ceil(seconds / HOUR))
    ]
    return _add_up(chance, bursts, seconds, 10.0, base=(0.2, 2.0), noise=0.05)


def _add_up(
    chance: random.Random,
    bursts: list[Burst],
    seconds: float,
    step: float,
    *,
    base: tuple[float, float],
    noise: float,
) -> tuple[list[float], list[float], float]:
    """Add bursts to what is always wanted, and let it vary by ``noise`` of a core."""
    count = math.ceil(seconds / step)
    changes = [[0.0, 0.0] for _ in range(count + 1)]
    for burst in bursts:
        first = min(count, math.ceil(burst.at / step))
        last = min(count, max(first + 1, round((burst.at + burst.seconds) / step)))
        for at, sign in ((first, 1.0), (last, -1.0)):
            changes[at][0] += sign * burst.cores
            changes[at][1] += sign * burst.gib
    cores, gib = [], []
    wanted, held = base
    for more_cores, more_gib in changes[:count]:
        wanted, held = wanted + more_cores, held + more_gib
        # Noise in steps, and not at every moment: a load that varies without end is "noisy".
        jitter = chance.uniform(-noise, noise) if chance.random() < 0.2 else 0.0
        cores.append(max(0.0, wanted + jitter))
        gib.append(max(0.0, held))
    return cores, gib, step


KINDS = {
    "constant": Kind("two cores, all day", 8, 32 * GIB, "lognormal:1h:0.5", _constant),
    "noisy": Kind("two cores, with noise", 8, 32 * GIB, "lognormal:1h:0.5", _noisy),
    "developer": Kind("a developer's day", 8, 32 * GIB, "lognormal:40min:0.6", _developer),
    "farm": Kind("a compile farm", 16, 64 * GIB, "lognormal:40min:0.6", _farm),
    "laptop": Kind("a laptop", 4, 16 * GIB, "lognormal:20min:0.5", _laptop),
    "site": Kind("a site full of short jobs", 16, 64 * GIB, "lognormal:2min:0.6", _site),
}
