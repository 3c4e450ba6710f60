"""Ticks that come every second or so, as the timer would have them, and a record of what they did.

The record is what the engine told and what the ticks reported; nothing of Plancton is asked.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.engine.rest import RestError
from tests.engine.ticks import Node, finish

CADENCE_SECONDS = 1.2
CGROUPS = Path("/sys/fs/cgroup")


class Sample(NamedTuple):
    """How many pilots ran and were paused, and how many cores were left for pilots."""

    at: float
    running: int
    paused: int
    room_cores: float


class Farm:
    """A node whose ticks run by themselves, until the end of the ``with``.

    While ``killing`` this share of the ticks is killed outright, at any moment of their life.
    """

    def __init__(self, node: Node, *, seed: int = 1, killed_share: float = 0.35) -> None:
        self.node = node
        self.killed_share = killed_share
        self.room_cores = 0.0
        self.samples: list[Sample] = []
        self.lines: list[tuple[float, str]] = []
        self.codes: list[int] = []
        self.seconds: list[float] = []
        self.killed = 0
        self.killing = False
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=each, daemon=True) for each in (self._tick, self._sample)
        ]

    @contextlib.contextmanager
    def at_work(self) -> Iterator["Farm"]:
        """Run ticks until the block ends."""
        (self.node.directory / "run").mkdir(exist_ok=True)
        for thread in self._threads:
            thread.start()
        begin = time.monotonic()
        try:
            yield self
        except BaseException:
            # What pytest shows beside a failure.
            print(draw(self.samples, begin))
            print("\n".join(f"{at - begin:6.1f} s  {line}" for at, line in self.lines))
            raise
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def now_running(self) -> int:
        """Return how many pilots ran when they were last looked at."""
        return self.samples[-1].running if self.samples else 0

    def said(self, pattern: str) -> list[float]:
        """Return when the ticks said something with this in it."""
        return [at for at, line in self.lines if pattern in line]

    def _tick(self) -> None:
        environment = {"RUNTIME_DIRECTORY": str(self.node.directory / "run")}
        while not self._over.is_set():
            begin = time.monotonic()
            tick = self.node.start(environment=environment)
            if self.killing and self._random.random() < self.killed_share:
                # A quiet tick takes a tenth of a second here, one that acts half a second or more.
                self._over.wait(self._random.expovariate(5.0))
                if tick.poll() is None:
                    tick.kill()
                    self.killed += 1
            done = finish(tick)
            self.codes.append(done.code)
            self.seconds.append(time.monotonic() - begin)
            self.lines += [(time.monotonic(), line) for line in done.lines]
            self._over.wait(max(0.0, begin + CADENCE_SECONDS - time.monotonic()))

    def _sample(self) -> None:
        while not self._over.is_set():
            give_weight(self.node.instance)
            with contextlib.suppress(RestError):
                states = [each["State"] for each in self.node.containers()]
                self.samples.append(
                    Sample(
                        time.monotonic(),
                        states.count("running"),
                        states.count("paused"),
                        self.room_cores,
                    )
                )
            self._over.wait(0.25)


def give_weight(instance: str) -> None:
    """Undo the pilots' low weight: on a machine that others use too they would get nothing."""
    for name, value in (("cpu/{}/cpu.shares", "8192"), ("{}/cpu.idle", "0")):
        path = CGROUPS / name.format(f"{instance}.slice")
        with contextlib.suppress(OSError):
            if path.read_text().strip() != value:
                path.write_text(value)


def draw(samples: list[Sample], begin: float, every: float = 2.0) -> str:
    """Draw running pilots (#) and paused ones (-) over time, a line for each two seconds."""
    lines, due = [], begin
    for sample in samples:
        if sample.at >= due:
            bar = "#" * sample.running + "-" * sample.paused
            lines.append(f"{sample.at - begin:6.1f} s  {bar}")
            due = sample.at + every
    return "\n".join(lines)


def harvested(samples: list[Sample], cpus: float) -> float:
    """Return the cores lent to running pilots as a share of those that the owner left."""
    lent = left = 0.0
    for before, sample in zip(samples, samples[1:], strict=False):
        seconds = sample.at - before.at
        lent += min(before.running * cpus, before.room_cores) * seconds
        left += before.room_cores * seconds
    return lent / left


def print_table(rows: Mapping[str, object]) -> None:
    """Print what was measured."""
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"  {name:<{width}}  {value}")
