"""What the pilots of a simulation do: how long their tasks take, and what they find. Seeded."""

import math
import random
from typing import NamedTuple

from plancton_tick.units import format_duration, parse_duration

EXIT_FAILED = 1


class Distribution(NamedTuple):
    """A form with its numbers, in seconds; the spread of a lognormal one has no unit."""

    form: str
    numbers: tuple[float, ...]

    def draw(self, chance: random.Random) -> float:
        """Draw a time in seconds."""
        if self.form == "uniform":
            return chance.uniform(*self.numbers)
        if self.form == "exponential":
            return chance.expovariate(1 / self.numbers[0])
        if self.form == "lognormal":
            return chance.lognormvariate(math.log(self.numbers[0]), self.numbers[1])
        return self.numbers[0]

    def __str__(self) -> str:
        """Write it as it is read."""
        if self.form == "lognormal":
            return f"lognormal:{format_duration(self.numbers[0])}:{self.numbers[1]:g}"
        return ":".join((self.form, *map(format_duration, self.numbers)))

    def words(self) -> str:
        """Say it in a few words for people."""
        first, *rest = map(format_duration, self.numbers)
        if self.form == "uniform":
            return f"{first} to {rest[0]}"
        return {"constant": first, "exponential": f"{first} in the mean"}.get(
            self.form, f"about {first}"
        )


def parse_distribution(text: str) -> Distribution:
    """Read a distribution of times.

    It is ``10min`` or ``constant:10min``, ``uniform:5min:1h``, ``exponential:1h`` (its mean) or
    ``lognormal:1h:0.5`` (its median, and the standard deviation of its logarithm).

    Raises ValueError.
    """
    form, *words = text.split(":") if ":" in text else ("constant", text)
    count = {"constant": 1, "uniform": 2, "exponential": 1, "lognormal": 2}.get(form)
    if count != len(words):
        raise ValueError("no such distribution")
    parsers = (parse_duration, float if form == "lognormal" else parse_duration)
    numbers = tuple(parse(word) for parse, word in zip(parsers, words, strict=False))
    is_ordered = form != "uniform" or numbers[0] <= numbers[1]
    needs_more = form in ("exponential", "lognormal")
    if not all(map(math.isfinite, numbers)) or not is_ordered or (needs_more and numbers[0] <= 0):
        raise ValueError("no such times")
    return Distribution(form, numbers)


class Tasks(NamedTuple):
    """What pilots do.

    A task runs ``lasts`` at full speed, after ``starts`` in which the pilot fetches it and uses no
    CPU. Of all pilots the part ``no_work`` find none and the part ``failed`` break half-way.
    ``usage`` is what a task uses of its cores, ``memory_usage`` of its memory. To end on SIGTERM it
    takes ``stops``.
    """

    lasts: Distribution
    starts: Distribution = Distribution("constant", (5.0,))
    stops: Distribution = Distribution("constant", (1.0,))
    usage: float = 1.0
    memory_usage: float = 0.6
    no_work: float = 0.0
    failed: float = 0.0


class Drawn(NamedTuple):
    """What one pilot is going to do, in seconds, and the exit code it ends with if left alone."""

    starts: float
    works: float
    stops: float
    code: int


class Fate:
    """Draws what the first pilot does, the second, and so on: the same under all rules."""

    def __init__(self, tasks: Tasks, seed: int) -> None:
        self.tasks = tasks
        self._chance = random.Random(f"tasks {seed}")

    def draw(self, no_work_code: int) -> Drawn:
        """Draw the next pilot's life."""
        tasks, chance = self.tasks, self._chance
        # As many draws for each, so that one that finds no work does not change all after it.
        starts, works = tasks.starts.draw(chance), tasks.lasts.draw(chance)
        stops, luck = tasks.stops.draw(chance), chance.random()
        if luck < tasks.no_work:
            return Drawn(starts, 0.0, stops, no_work_code)
        if luck < tasks.no_work + tasks.failed:
            return Drawn(starts, works / 2, stops, EXIT_FAILED)
        return Drawn(starts, works, stops, 0)
