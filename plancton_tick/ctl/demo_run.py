"""The demonstration's minute: tick after tick, the owner in the middle, drawn as it happens."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from plancton_tick.cgroup import weigh_slice
from plancton_tick.ctl import demo_screen
from plancton_tick.ctl.demo_load import OwnerLoad
from plancton_tick.ctl.demo_meter import Meter, Reading
from plancton_tick.ctl.demo_summary import Shown
from plancton_tick.ctl.demo_terminal import StopSign, Terminal
from plancton_tick.ctl.demo_ticks import Tick, Ticks
from plancton_tick.engine import Engine
from plancton_tick.errors import EngineUnavailableError
from plancton_tick.ledger import read_snapshot
from plancton_tick.model import Config, Pilot, PilotState
from plancton_tick.room import sum_cpus

# On a host that is busy from the start the owner is kept waiting this long for the first pilot.
_PATIENCE_SECONDS = 60.0


class Timing(NamedTuple):
    """When what happens, in seconds from the first tick."""

    seconds: float
    cadence: float
    owner_from: float
    owner_for: float


class Show:
    """One run. ``clean_up`` must be called, however it ended."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        cores: int,
        ticks: Ticks,
        timing: Timing,
        terminal: Terminal,
        stop: StopSign,
    ) -> None:
        self.meter = Meter(config)
        self._engine = engine
        self._config = config
        self._ticks = ticks
        self._timing = timing
        self._terminal = terminal
        self._stop = stop
        self._owner = OwnerLoad(cores)
        self._did: Counter[str] = Counter()
        self._pilots: tuple[Pilot, ...] = ()
        self._most_running = 0
        self._fired = 0
        self._failed_ticks = 0
        self._lines = 0
        self._late_seconds = 0.0
        self._was_overloaded = False
        self._reclaims_before = 0
        self._gave_back_seconds: float | None = None
        self._gave_back_pilots = 0
        self._owner_share: float | None = None

    def run(self) -> None:
        """Fire ticks until the time is over, or we are asked to stop."""
        started_at = time.monotonic()
        due = 0.0
        while due < self._timing.seconds + self._late_seconds:
            if self._stop.wait_until(started_at + due):
                return
            now = time.monotonic() - started_at
            if not self._let_owner(now):
                return
            tick = self._ticks.fire()
            self.meter.add_tick(tick.cpu_seconds)
            self._did += tick.did
            self._fired += 1
            self._failed_ticks += tick.exit_code != 0
            self._look(tick, now)
            # A tick that took longer than the cadence is followed by the next at once.
            due = max(due + self._timing.cadence, time.monotonic() - started_at)
        self._stop.wait_until(started_at + self._timing.seconds + self._late_seconds)

    def clean_up(self) -> None:
        """End the owner's load."""
        self._owner.stop()

    def result(self) -> Shown:
        """Sum up, while the engine still has the ledger."""
        outcomes: Counter[str] = Counter()
        try:
            volumes = self._engine.list_volumes()
            for counts in read_snapshot(volumes, self._engine.instance).ledger.counts.values():
                outcomes.update(counts)
            self._pilots = self._engine.list_pilots()
        except EngineUnavailableError as error:
            self._terminal.show(demo_screen.problem(self._terminal.style, error.message))
        live = (PilotState.RUNNING, PilotState.PAUSED)
        return Shown(
            did=self._did,
            most_running=self._most_running,
            still_live=sum(pilot.state in live for pilot in self._pilots),
            ticks=self._fired,
            failed_ticks=self._failed_ticks,
            was_overloaded=self._was_overloaded,
            gave_back_seconds=self._gave_back_seconds,
            gave_back_pilots=self._gave_back_pilots,
            owner_share=self._owner_share,
            outcomes=outcomes,
            why_no_pilots=() if self._most_running else tuple(self._ticks.explain()),
        )

    def _let_owner(self, now: float) -> bool:
        """Start or end the owner's load when it is time; False if there is no sense in it."""
        begin = self._timing.owner_from + self._late_seconds
        end = begin + self._timing.owner_for
        style = self._terminal.style
        if self._owner.started_at is None and now >= begin:
            enough = sum_cpus(_running(self._pilots)) >= self._owner.cores / 2
            if not enough and self._late_seconds < _PATIENCE_SECONDS:
                if not self._late_seconds:
                    text = "this host is busy: waiting for more room"
                    self._say(demo_screen.rule(style, text))
                self._late_seconds += self._timing.cadence
                return True
            if not _running(self._pilots):
                return False
            self._reclaims_before = _reclaims(self._did)
            self._owner.start()
            text = f"the owner comes back and keeps {_cores(self._owner.cores)} busy"
            self._say(demo_screen.rule(style, text))
            self._say(demo_screen.note(style, self._outlook()))
        elif self._owner.is_on and now >= end:
            self._owner.stop()
            self._say(demo_screen.rule(style, "the owner is done: what is idle is pilots' again"))
        return True

    def _outlook(self) -> str:
        """Say what is to be expected now."""
        after = f"longer than {self._config.reclaim.after_seconds:g} s"
        if self._engine.is_local and _weighs_least(self._engine.instance):
            return (
                "Pilots weigh least: those that still run get next to nothing from now on. "
                f"If this lasts {after} they are paused."
            )
        return (
            "Nobody could give the pilots a lower weight here: they take their share until "
            f"they are paused, if this lasts {after}."
        )

    def _look(self, tick: Tick, fired_at: float) -> None:
        """Look at engine and host as a tick does, and draw."""
        style = self._terminal.style
        try:
            self._pilots = self._engine.list_pilots()
        except EngineUnavailableError as error:
            self._say(demo_screen.problem(style, error.message))
            return
        reading = self.meter.read(self._pilots)
        running = _running(self._pilots)
        paused = [pilot for pilot in self._pilots if pilot.state is PilotState.PAUSED]
        self._most_running = max(self._most_running, len(running))
        if self._lines % demo_screen.HEADER_EVERY == 0:
            self._say(demo_screen.header(style))
        self._lines += 1
        moment = demo_screen.Moment(
            at_seconds=fired_at,
            cores=self._owner.cores,
            owner=reading.owner,
            pilots_used=reading.pilots_used if self._pilots else 0.0,
            running=len(running),
            paused=len(paused),
            running_cpus=sum_cpus(running),
            paused_cpus=sum(pilot.cpus for pilot in paused),
        )
        self._say([demo_screen.tick_line(style, moment)])
        self._say(demo_screen.said_lines(style, tick.said))
        self._judge(reading, len(running), len(paused))

    def _judge(self, reading: Reading, running: int, paused: int) -> None:
        """Note when enough was given back: no more too many than is tolerated, or nothing left."""
        is_new = _reclaims(self._did) > self._reclaims_before
        if not self._owner.is_on or self._gave_back_seconds is not None:
            return
        is_overloaded = running > 0 and -reading.room > self._config.reclaim.tolerance_cores
        self._was_overloaded = self._was_overloaded or is_overloaded or is_new
        if is_new and not is_overloaded:
            self._gave_back_seconds = time.monotonic() - (self._owner.started_at or 0.0)
            self._gave_back_pilots = paused
            self._owner_share = self._owner.read_share()

    def _say(self, lines: Sequence[str]) -> None:
        self._terminal.show(lines)


def _running(pilots: Sequence[Pilot]) -> list[Pilot]:
    return [pilot for pilot in pilots if pilot.state is PilotState.RUNNING]


def _weighs_least(instance: str) -> bool:
    """Tell whether the pilots' slice weighs least: its own weight, or the one that it is in."""
    has_systemd = os.path.isdir("/run/systemd/system")
    return weigh_slice(f"{instance}.slice") or (has_systemd and weigh_slice("plancton.slice"))


def _reclaims(did: Counter[str]) -> int:
    return did["paused"] + did["terminating"]


def _cores(count: int) -> str:
    return f"all {count} cores" if count > 1 else "the only core"
