"""Send figures and finished pilots to every database of InfluxDB that the configuration names.

Each database has a thread of its own, so that one that is down or slow keeps no other waiting. It
gets the figures of this moment first; only if it takes them, then the pilots that finished since it
last took any. How far it is moves on only when it has taken them.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from plancton_tick.errors import ExportError, PlanctonError
from plancton_tick.influx_http import DatabaseError, write
from plancton_tick.influx_journal import JOURNALCTL, JournalError, read_ended
from plancton_tick.influx_lines import line_of_ended, lines_of
from plancton_tick.influx_state import Standing, read_standings, write_standings
from plancton_tick.measures import Measures
from plancton_tick.model import Config, Database
from plancton_tick.report import NOTICE, WARNING, Event, Kind

# For all databases together, which are written to at the same time. Within it are the time-outs of
# the few requests that one database may need.
PATIENCE_SECONDS = 25.0

Say = Callable[[Event], None]


class Result(NamedTuple):
    """What became of a database: how far it is now, and what is wrong with it, if anything."""

    cursor: str
    trouble: str


def send(
    config: Config,
    measures: Measures,
    on_seconds: float | None,
    say: Say,
    *,
    folder: str | None = None,
    journalctl: Sequence[str] = JOURNALCTL,
) -> None:
    """Send to all databases, and say which of them begin or end to be down.

    ``on_seconds`` is as for `lines_of`. In ``folder`` is kept how far each is; without one,
    finished pilots are not sent, and what is down is said each time. Raises ExportError if what is
    to be kept cannot be.
    """
    lines = lines_of(measures, on_seconds)
    before = read_standings(folder) if folder is not None else {}
    jobs = {}
    for database in config.metrics.influxdb:
        name = _name(database)
        standing = before.get(name, Standing())
        jobs[name] = _Job(
            database=database,
            lines=lines,
            cursor=standing.cursor if folder is not None else None,
            instance=config.engine.instance,
            insecure=config.metrics.insecure_https,
            journalctl=journalctl,
        )
    results = _run_all(jobs)
    after = {}
    for name, result in results.items():
        standing = before.get(name, Standing())
        down_since = standing.down_since
        if result.trouble and down_since is None:
            say(_down(name, result.trouble))
            down_since = measures.taken_at
        elif not result.trouble and down_since is not None:
            say(_back(name, max(0.0, measures.taken_at - down_since)))
            down_since = None
        after[name] = Standing(result.cursor, down_since)
    if folder is not None and after != before:
        try:
            write_standings(folder, after)
        except OSError as error:
            message = f"{folder}: expected a folder to note in what was sent, got {error.strerror}"
            raise ExportError(message) from error


class _Job(NamedTuple):
    """One database's work. Without a ``cursor`` finished pilots are none of it."""

    database: Database
    lines: Sequence[str]
    cursor: str | None
    instance: str
    insecure: bool
    journalctl: Sequence[str]


def _run_all(jobs: dict[str, _Job]) -> dict[str, Result]:
    done: queue.SimpleQueue[tuple[str, Result]] = queue.SimpleQueue()

    def run(name: str, job: _Job) -> None:
        done.put((name, _run(job)))

    for name, job in jobs.items():
        # One that hangs, in a name server perhaps, must not keep the process from ending.
        threading.Thread(target=run, args=(name, job), daemon=True).start()
    results: dict[str, Result] = {}
    end = time.monotonic() + PATIENCE_SECONDS
    while len(results) < len(jobs):
        try:
            name, result = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        results[name] = result
    late = f"not done within {PATIENCE_SECONDS:g} s"
    return {name: results.get(name) or Result(job.cursor or "", late) for name, job in jobs.items()}


def _run(job: _Job) -> Result:
    """Do one database's work. Raises nothing."""
    cursor = job.cursor or ""
    try:
        write(job.database, job.lines, insecure=job.insecure)
        if job.cursor is not None:
            batch = read_ended(cursor, job.instance, job.journalctl)
            if batch.ended:
                lines = [line_of_ended(ended) for ended in batch.ended]
                write(job.database, lines, insecure=job.insecure)
            cursor = batch.cursor
    except DatabaseError as error:
        return Result(cursor, str(error))
    except JournalError as error:
        return Result(cursor, f"finished pilots cannot be read: {error}")
    except Exception as error:
        # Of an error nobody foresaw, the text may hold anything, a password too.
        return Result(cursor, f"an error that nobody foresaw, {type(error).__name__}")
    return Result(cursor, "")


def _name(database: Database) -> str:
    return f"{database.org}/{database}" if database.org else str(database)


def _down(name: str, trouble: str) -> Event:
    message = f"{name} takes no figures: {trouble}"
    return Event(Kind.DATABASE_DOWN, WARNING, message, {"PLANCTON_REASON": trouble})


def _back(name: str, seconds: float) -> Event:
    lasted = {"PLANCTON_SECONDS": f"{seconds:.0f}"}
    message = f"{name} takes figures again, after {seconds:.0f} s"
    return Event(Kind.DATABASE_BACK, NOTICE, message, lasted)


def state_folder() -> str | None:
    """Return the service's folder for what is kept, None outside a service.

    systemd.exec(5): several are joined by colons.
    """
    return os.environ.get("STATE_DIRECTORY", "").split(":")[0] or None


def read_on_seconds(now: float, *, user: bool = False) -> float | None:
    """Tell how long the ticks' timer has been on: 0 if it is off, None if nobody can say."""
    try:
        from plancton_tick import manager
    except ModuleNotFoundError:
        # Ticks go without pystemd, and so do their figures.
        return None
    if not manager.is_here(user=user):
        return None
    try:
        with manager.Manager(user=user) as systemd:
            timer = systemd.read_timer()
    except PlanctonError:
        return None
    if timer.on_since is None:
        return 0.0 if timer.is_installed else None
    # A timer that has just begun is on all the same.
    return max(1e-6, now - timer.on_since)
