"""A file of figures for Prometheus, where node_exporter's textfile collector looks for it.

The only module that imports prometheus_client. Names follow Prometheus' own conventions: base
units, ``_total`` behind what only grows. There are no timestamps: the collector refuses them.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from plancton_tick.errors import ExportError
from plancton_tick.measures import LastTick, Measures, World

FILE_NAME = "plancton.prom"

Family = CounterMetricFamily | GaugeMetricFamily


def write_textfile(measures: Measures, folder: str) -> None:
    """Replace the file as a whole: a reader has the old one or the new one.

    Raises ExportError if it cannot be written.
    """
    path = os.path.join(folder, FILE_NAME)
    # A name that the collector does not read; of this process alone, because two may write at once.
    fresh = os.path.join(folder, f".{FILE_NAME}.{os.getpid()}")
    try:
        with open(fresh, "wb") as file:
            # Whatever the mask of whoever runs this: node_exporter is another user.
            os.fchmod(file.fileno(), 0o644)
            file.write(to_text(hold_counters(measures, _read(path))))
        os.rename(fresh, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(fresh)
        raise ExportError(
            f"{path}: cannot be written: {error.strerror}",
            hint="docs/metrics.md says how user plancton is let in",
        ) from None


def hold_counters(measures: Measures, before: str) -> Measures:
    """Return the figures with no fewer pilots started than the text of the last run has.

    A pilot that somebody removed by hand has started and is never counted, so the sum falls by one:
    Prometheus would take that for a restart of the counter, and add all of it once more. Where the
    pilots that have ended are fewer too the ledger is a new one, and its counters begin anew.
    """
    if measures.world is None:
        return measures
    started: dict[str, float] = {}
    ended: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(before):
            for sample in family.samples:
                name = sample.labels.get("type", "")
                if sample.name == "plancton_pilots_started_total":
                    started[name] = sample.value
                elif sample.name == "plancton_pilots_ended_total":
                    ended[name] = ended.get(name, 0.0) + sample.value
    except ValueError:
        # Somebody else's file, or a broken one: it is replaced.
        return measures
    types = tuple(
        each._replace(started=max(each.started, int(started.get(each.name, 0))))
        if sum(each.ended.values()) >= ended.get(each.name, 0)
        else each
        for each in measures.world.types
    )
    return measures._replace(world=measures.world._replace(types=types))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def to_text(measures: Measures) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(measures))
    text: bytes = generate_latest(registry)
    return text


class _Figures(Collector):
    """All figures of a moment as what the library writes."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def collect(self) -> Iterator[Family]:
        """Give one metric after the other."""
        measures = self._measures
        build = _gauge("build_info", "The version of Plancton; the value is always 1", "version")
        build.add_metric([measures.version], 1)
        yield build
        if measures.is_engine_up is not None:
            yield _one(
                "engine_up", "Whether the container engine can be used", measures.is_engine_up
            )
        yield _one("config_faults", "Faults of the configuration", measures.config_faults)
        if measures.world is not None:
            yield from _of_world(measures.world)
            yield from _of_types(measures.world)
        if measures.last_tick is not None:
            yield from _of_last_tick(measures.last_tick)


def _of_world(world: World) -> Iterator[Family]:
    yield _one("cpus", "CPUs of the host that Plancton may use", world.ncpus)
    yield _one("owner_cores", "Cores that all but the pilots use", world.owner_cores)
    yield _one(
        "room_cores", "Cores left for new pilots; negative if there are too few", world.room_cores
    )
    if world.pilots_cores is not None:
        yield _one("pilots_cores", "Cores that the pilots use", world.pilots_cores)
    if world.pilots_memory_bytes is not None:
        text = "Memory that the pilots hold and the kernel could not take back at once"
        yield _one("pilots_memory_bytes", text, world.pilots_memory_bytes)
    if world.pilots_cpu_seconds is not None:
        used = _counter("pilots_cpu_seconds", "CPU time that pilots have used")
        used.add_metric([], world.pilots_cpu_seconds)
        yield used
    yield _one("draining", "Whether new pilots are kept away by an operator", world.is_draining)
    vetoes = _gauge("veto", "1 for each reason why no pilot is started now", "veto", "type")
    for veto, of_type in world.vetoes:
        vetoes.add_metric([veto, of_type], 1)
    yield vetoes


def _of_types(world: World) -> Iterator[Family]:
    pilots = _gauge("pilots", "Pilots that are there, by state", "type", "state")
    started = _counter("pilots_started", "Pilots that were started", "type")
    ended = _counter("pilots_ended", "Pilots that have ended, by outcome", "type", "outcome")
    pauses = _counter("pauses", "Pilots that were paused for the owner", "type")
    backoff = _gauge("backoff_seconds", "What is left of the wait after a pilot in vain", "type")
    for of_type in world.types:
        for state, number in of_type.states.items():
            pilots.add_metric([of_type.name, state], number)
        for outcome, number in of_type.ended.items():
            ended.add_metric([of_type.name, outcome], number)
        started.add_metric([of_type.name], of_type.started)
        pauses.add_metric([of_type.name], of_type.pauses)
        backoff.add_metric([of_type.name], of_type.backoff_seconds)
    yield from (pilots, started, ended, pauses, backoff)


def _of_last_tick(tick: LastTick) -> Iterator[Family]:
    yield _one(
        "last_tick_timestamp_seconds", "When the last tick ended, since the epoch", tick.ended_at
    )
    yield _one("last_tick_duration_seconds", "How long the last tick took", tick.duration_seconds)
    if tick.exit_code is not None:
        yield _one("last_tick_exit_code", "What the last tick ended with", tick.exit_code)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"plancton_{name}", text, value=value)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"plancton_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"plancton_{name}", text, labels=labels)
