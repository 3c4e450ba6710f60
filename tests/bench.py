"""What a tick costs, as ratios measured in one run: ``make bench``.

Prints a table and exits with 1 if a ratio misses its limit. Needs root and dockerd; starts an
engine of its own and removes it.
"""

import sys
import tempfile
import time
from pathlib import Path

from plancton_tick.ctl.busybox_image import build_image
from plancton_tick.ctl.private_engine import PrivateEngine
from tests.engine.farms import (
    create_and_start,
    read_type,
    remove_all,
    wait_until_settled,
    write_config,
)
from tests.engine.rest import Rest
from tests.measure import BARE_PYTHON, compare, cpu_seconds, environment

IMAGE = "plancton-bench:latest"
QUIET_LIMIT = 5.0
GROWTH_LIMIT = 1.5
SPAWN_LIMIT = 1.3
FEW, MANY, SPAWNED = 10, 200, 16


def main() -> int:
    """Measure, print, and return the exit code."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="plancton-bench-", dir="/tmp") as folder:
        engine = PrivateEngine(Path(folder) / "engine")
        engine.start()
        try:
            build_image(engine.url, IMAGE)
            rest = Rest(engine.socket)
            missed += bench_quiet_ticks(Path(folder), engine.url, rest)
            missed += bench_spawns(Path(folder), engine.url, rest)
        finally:
            engine.destroy()
    return 1 if missed else 0


def bench_quiet_ticks(folder: Path, url: str, rest: Rest) -> int:
    """Compare quiet ticks on 10 and on 200 pilots with a bare interpreter."""
    cpu: dict[str, dict[str, float]] = {}
    for size in (FEW, MANY):
        instance = f"quiet{size}"
        (folder / instance).mkdir()
        config = write_config(folder / instance, instance, IMAGE, size)
        create_and_start(rest, read_type(config), instance, range(size))
        cached = environment(DOCKER_HOST=url, RUNTIME_DIRECTORY=str(folder / instance))
        tick = (sys.executable, "-I", "-m", "plancton_tick", "--config", str(config))
        wait_until_settled(config)
        cpu_seconds(tick, cached)
        cpu[str(size)] = compare({"bare": BARE_PYTHON, "tick": tick}, cached, rounds=31)
        if size == FEW:
            uncached = environment(DOCKER_HOST=url)
            cpu["uncached"] = compare({"bare": BARE_PYTHON, "tick": tick}, uncached, rounds=15)
        remove_all(rest, instance)
    few = cpu[str(FEW)]["tick"] / cpu[str(FEW)]["bare"]
    many = cpu[str(MANY)]["tick"] / cpu[str(MANY)]["bare"]
    uncached_ratio = cpu["uncached"]["tick"] / cpu["uncached"]["bare"]
    print(f"bare interpreter: {cpu[str(FEW)]['bare'] * 1000:.1f} ms of CPU")
    print(f"first tick after a change of the configuration: {uncached_ratio:.2f} times that")
    return say(f"quiet tick, {FEW} pilots, over a bare interpreter", few, QUIET_LIMIT) + say(
        f"quiet tick, {MANY} pilots over {FEW}", many / few, GROWTH_LIMIT
    )


def bench_spawns(folder: Path, url: str, rest: Rest) -> int:
    """Compare a tick that spawns 16 pilots with what the engine needs for 16 create+start calls."""
    (folder / "spawns").mkdir()
    engine_alone, ticks = [], []
    for number in range(3):
        instance = f"spawn{number}"
        config = write_config(folder / "spawns", instance, IMAGE, SPAWNED)
        engine_alone.append(create_and_start(rest, read_type(config), instance, range(SPAWNED)))
        remove_all(rest, instance)
        tick = (sys.executable, "-I", "-m", "plancton_tick", "--config", str(config))
        began = time.monotonic()
        cpu_seconds(tick, environment(DOCKER_HOST=url))
        ticks.append(time.monotonic() - began)
        remove_all(rest, instance)
    print(f"engine alone: {SPAWNED} create+start in {min(engine_alone):.2f} s")
    return say(f"{SPAWNED} spawns over engine", min(ticks) / min(engine_alone), SPAWN_LIMIT)


def say(what: str, ratio: float, limit: float) -> int:
    """Print a ratio beside its limit; return 1 if it is missed."""
    verdict = "ok" if ratio <= limit else "MISSED"
    print(f"{what}: {ratio:.2f} (limit {limit:g}) {verdict}")
    return 0 if ratio <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
