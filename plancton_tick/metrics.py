"""``plancton-metrics``: look as a tick does, change nothing, and hand out the figures.

Its timer starts it, beside the ticks and more seldom, so that a tick pays nothing for them. Each
place that figures go to is a sink, with a module of its own that is imported only where it is
wanted. One that fails keeps no other from its figures.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from plancton_tick import __version__
from plancton_tick.cgroup import find_usage, read_usage
from plancton_tick.config_cache import read_config
from plancton_tick.errors import (
    EXIT_CONFIG,
    EXIT_OK,
    EXIT_TEMPFAIL,
    HostError,
    PlanctonError,
    ToolMissingError,
)
from plancton_tick.loaded import Loaded
from plancton_tick.measures import LastTick, Measures, World, measure
from plancton_tick.model import Config
from plancton_tick.report import ERROR, Event, Kind, emit, is_journal_stream
from plancton_tick.tick import read_size, see

PROGRAM = "plancton-metrics"
# A tick that is at work has not ended yet: it is waited for, as long as most take.
PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 0.25

Sink = Callable[[Measures], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, hand out the figures, and return the exit code."""
    import argparse

    from plancton_tick.cli import DEFAULT_CONFIG

    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Look at host, engine and pilots, and write figures for Prometheus, points "
        "to InfluxDB and a sample into the journal. Nothing is changed.",
        epilog="exit codes: 0 done, 2 wrong usage, 69 engine unavailable, 71 host unreadable, "
        "75 figures not written, 78 bad configuration; figures are written with each of them",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="the configuration, as for plancton-tick (%(default)s)",
    )
    parser.add_argument(
        "--print",
        action="store_true",
        help="print the figures in Prometheus' format, and write them nowhere",
    )
    parser.add_argument(
        "--user",
        action="store_true",
        help="ticks are fired by your own systemd (systemctl --user), not the host's",
    )
    parser.add_argument("--version", action="version", version=f"plancton {__version__}")
    options = parser.parse_args(arguments)
    loaded = read_config(options.config, os.environ.get("RUNTIME_DIRECTORY"), host=read_size())
    measures, exit_code = observe_all(loaded, user=options.user)
    sinks = [print_figures] if options.print else sinks_of(loaded.config, user=options.user)
    failed = [sink for sink in sinks if not _is_handed(sink, measures)]
    return exit_code or (EXIT_TEMPFAIL if failed else EXIT_OK)


def sinks_of(config: Config, *, user: bool = False) -> Iterator[Sink]:
    """Give each place that figures go to."""
    if is_journal_stream():
        yield leave_sample
    folder = config.metrics.textfile
    if folder is not None:
        yield lambda measures: leave_textfile(measures, folder)
    if config.metrics.influxdb:
        yield lambda measures: send_points(measures, config, user=user)


def leave_sample(measures: Measures) -> None:
    """Write a sample into the journal."""
    from plancton_tick.sample import sample

    event = sample(measures)
    if event is not None:
        emit(event, PROGRAM)


def leave_textfile(measures: Measures, folder: str) -> None:
    """Write the file for Prometheus. Raises ExportError, ToolMissingError."""
    _import_textfile()
    from plancton_tick.textfile import write_textfile

    write_textfile(measures, folder)


def send_points(measures: Measures, config: Config, *, user: bool) -> None:
    """Send to databases of InfluxDB; those that are down it tells itself. Raises ExportError."""
    from plancton_tick import influx

    on_seconds = influx.read_on_seconds(measures.taken_at, user=user)
    influx.send(config, measures, on_seconds, _say, folder=influx.state_folder())


def _say(event: Event) -> None:
    emit(event, PROGRAM)


def print_figures(measures: Measures) -> None:
    """Print what the file for Prometheus would hold. Raises ToolMissingError."""
    _import_textfile()
    from plancton_tick.textfile import to_text

    sys.stdout.write(to_text(measures).decode())


def _import_textfile() -> None:
    try:
        import plancton_tick.textfile  # noqa: F401
    except ModuleNotFoundError as error:
        raise ToolMissingError(
            f"figures for Prometheus need prometheus_client, and there is no {error.name} here",
            hint="dnf install python3-prometheus_client, apt install python3-prometheus-client, "
            "or pip install plancton[metrics]",
        ) from None


def _is_handed(sink: Sink, measures: Measures) -> bool:
    try:
        sink(measures)
    except PlanctonError as error:
        emit(Event(Kind.EXPORT_FAILED, ERROR, error.words(), {}), PROGRAM)
        return False
    return True


# --- looking -------------------------------------------------------------------------------------


def observe_all(loaded: Loaded, *, user: bool = False) -> tuple[Measures, int]:
    """Make the figures of this moment, and say what keeps them from being all there are.

    What is wrong with configuration, engine or host is a figure here and the exit code, and is not
    said: the ticks say it, once.
    """
    world, is_engine_up, exit_code = _look(loaded)
    measures = Measures(
        taken_at=time.time(),
        node=os.uname().nodename,
        is_engine_up=is_engine_up,
        config_faults=len(loaded.faults),
        world=world,
        last_tick=read_last_tick(user=user),
    )
    return measures, EXIT_CONFIG if loaded.faults else exit_code


def _look(loaded: Loaded) -> tuple[World | None, bool | None, int]:
    """Return the world, whether the engine can be used, and the exit code."""
    try:
        seen = see(loaded)
    except HostError as error:
        return None, None, error.exit_code
    except PlanctonError as error:
        return None, False, error.exit_code
    engine = seen.engine
    usage = find_usage(f"{engine.instance}.slice") if engine.is_local else ()
    world = measure(loaded.config, seen.observation, seen.plan, read_usage(usage))
    return world, True, EXIT_OK


def read_last_tick(*, user: bool = False) -> LastTick | None:
    """Tell how the last tick ended that the timer fired; None if nobody can say."""
    try:
        from plancton_tick import manager
    except ModuleNotFoundError:
        # Ticks go without pystemd, and so do their figures.
        return None
    if not manager.is_here(user=user):
        return None
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        with manager.Manager(user=user) as systemd:
            service = systemd.read_service()
            while service.is_running and time.monotonic() < end:
                time.sleep(LOOK_SECONDS)
                service = systemd.read_service()
    except PlanctonError:
        return None
    started_at, ended_at = service.started_at, service.ended_at
    if started_at is None or ended_at is None or service.is_running:
        return None
    return LastTick(ended_at, max(0.0, ended_at - started_at), service.exit_code)


if __name__ == "__main__":
    sys.exit(main())
