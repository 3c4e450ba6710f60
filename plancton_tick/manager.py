"""systemd over D-Bus, for those who operate Plancton: its timer, its service and its slice.

A tick never comes here. Reading needs no rights; starting and stopping needs those of root, or of
the user whose own manager it is.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from pystemd import dbusexc
from pystemd.dbuslib import DBus
from pystemd.systemd1 import Manager as SystemdManager
from pystemd.systemd1 import Unit

from plancton_tick.errors import ManagerRefusedError, ManagerUnavailableError

TIMER = "plancton.timer"
SERVICE = "plancton.service"
SLICE = "plancton.slice"

# There since sd_booted(3): a folder that nobody but a running systemd makes.
BOOTED = "/run/systemd/system"
# UINT64_MAX, systemd's "never" and "not set".
NEVER = 2**64 - 1
# waitid(2): anything else in ExecMainCode= means that a signal ended it.
CLD_EXITED = 1
SETTLE_SECONDS = 10.0


class TimerState(NamedTuple):
    """The timer: whether it is there, fires now, and will after a reboot. Seconds since the epoch.

    ``next_at`` is None also while a tick is at work: the next one follows its end. ``on_since`` is
    None unless the timer is on.
    """

    is_installed: bool
    is_on: bool
    is_enabled: bool
    next_at: float | None
    last_at: float | None
    on_since: float | None = None


class ServiceState(NamedTuple):
    """The last tick that the timer fired, as systemd saw it.

    ``result`` is systemd's word: success, exit-code, signal, timeout, … . The instants are None
    where no tick has run since the unit was loaded; ``signal`` is what killed it, and then there is
    no ``exit_code``.
    """

    is_running: bool
    result: str
    exit_code: int | None
    signal: int | None
    started_at: float | None
    ended_at: float | None


class SliceState(NamedTuple):
    """The pilots' slice. Weights are 1 to 10000, 0 for idle, None where not set."""

    is_active: bool
    cpu_weight: int | None
    io_weight: int | None


def is_here(*, user: bool = False) -> bool:
    """Tell whether systemd runs as this host's, or this user's, manager."""
    if not user:
        return os.path.isdir(BOOTED)
    folder = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.path.isdir(os.path.join(folder, "systemd"))


class Manager:
    """A connection to systemd; a context manager. ``user`` means the user's own instance.

    All raise ManagerUnavailableError where there is nobody to talk to, and ManagerRefusedError
    where systemd says no.
    """

    def __init__(self, *, user: bool = False) -> None:
        self._user = user
        self._bus = DBus(user_mode=user)

    def __enter__(self) -> Self:
        if not is_here(user=self._user):
            raise ManagerUnavailableError(
                "no systemd runs for this user" if self._user else "no systemd runs here",
                hint="fire ticks yourself: plancton-tick, every few seconds",
            )
        try:
            self._bus.open()
        except dbusexc.DBusBaseError as error:
            raise ManagerUnavailableError(
                f"the {_whose(self._user)} bus cannot be reached: {_said(error)}",
                hint="is $XDG_RUNTIME_DIR set, as in a login session?"
                if self._user
                else "is D-Bus running? systemctl start dbus",
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bus.close()

    # reading

    def read_timer(self) -> TimerState:
        """Tell the state of the timer."""
        with self._asking(f"tell the state of {TIMER}"):
            unit = self._unit(TIMER)
            is_installed = _text(unit.Unit.LoadState) == "loaded"
            is_on = _text(unit.Unit.ActiveState) == "active"
            enabled = _text(unit.Unit.UnitFileState).startswith("enabled")
            if not is_installed:
                return TimerState(False, False, False, None, None)
            monotonic = _instant(unit.Timer.NextElapseUSecMonotonic)
            calendar = _instant(unit.Timer.NextElapseUSecRealtime)
            last_at = _instant(unit.Timer.LastTriggerUSec)
            on_since = _instant(unit.Unit.ActiveEnterTimestamp) if is_on else None
        if monotonic is not None:
            monotonic += time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        elapses = [at for at in (monotonic, calendar) if at is not None]
        next_at = min(elapses) if is_on and elapses else None
        return TimerState(is_installed, is_on, enabled, next_at, last_at, on_since)

    def read_service(self) -> ServiceState:
        """Tell how the last tick ended."""
        with self._asking(f"tell the state of {SERVICE}"):
            unit = self._unit(SERVICE)
            is_running = _text(unit.Unit.ActiveState) in ("activating", "active", "deactivating")
            if _text(unit.Unit.LoadState) != "loaded":
                return ServiceState(False, "", None, None, None, None)
            ended_at = _instant(unit.Service.ExecMainExitTimestamp)
            status = int(unit.Service.ExecMainStatus)
            has_exited = int(unit.Service.ExecMainCode) == CLD_EXITED
            return ServiceState(
                is_running=is_running,
                result=_text(unit.Service.Result),
                exit_code=status if ended_at is not None and has_exited else None,
                signal=status if ended_at is not None and not has_exited else None,
                started_at=_instant(unit.Service.ExecMainStartTimestamp),
                ended_at=ended_at,
            )

    def read_slice(self, name: str = SLICE) -> SliceState:
        """Tell the weights of the pilots' slice."""
        with self._asking(f"tell the state of {name}"):
            unit = self._unit(name)
            return SliceState(
                is_active=_text(unit.Unit.ActiveState) == "active",
                cpu_weight=_weight(unit.Slice.CPUWeight),
                io_weight=_weight(unit.Slice.IOWeight),
            )

    # changing

    def start_timer(self) -> bool:
        """Turn the timer on, now and at every boot; return whether it was not."""
        before = self._installed_timer("start")
        with self._asking(f"start {TIMER}"):
            manager = self._manager()
            if not before.is_enabled:
                manager.EnableUnitFiles([TIMER.encode()], False, False)
                manager.Reload()
            if not before.is_on:
                manager.StartUnit(TIMER.encode(), b"replace")
        self._wait_until(is_on=True)
        return not (before.is_on and before.is_enabled)

    def stop_timer(self) -> bool:
        """Turn the timer off, now and at every boot; return whether it was not.

        A tick that is at work is left to finish.
        """
        before = self._installed_timer("stop")
        with self._asking(f"stop {TIMER}"):
            manager = self._manager()
            if before.is_enabled:
                manager.DisableUnitFiles([TIMER.encode()], False)
                manager.Reload()
            if before.is_on:
                manager.StopUnit(TIMER.encode(), b"replace")
        self._wait_until(is_on=False)
        return before.is_on or before.is_enabled

    # inside

    def _installed_timer(self, verb: str) -> TimerState:
        timer = self.read_timer()
        if not timer.is_installed:
            raise ManagerRefusedError(
                f"there is no {TIMER} to {verb}",
                hint="install Plancton's units, then: systemctl daemon-reload",
            )
        return timer

    def _wait_until(self, *, is_on: bool) -> None:
        end = time.monotonic() + SETTLE_SECONDS
        while self.read_timer().is_on != is_on:
            if time.monotonic() > end:
                word = "started" if is_on else "stopped"
                raise ManagerRefusedError(
                    f"systemd has not {word} {TIMER} within {SETTLE_SECONDS:.0f} s",
                    hint=f"see: systemctl status {TIMER}",
                )
            time.sleep(0.05)

    def _unit(self, name: str) -> Any:
        return Unit(name.encode(), bus=self._bus, _autoload=True)

    def _manager(self) -> Any:
        return SystemdManager(bus=self._bus, _autoload=True).Manager

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn D-Bus's errors into ours: what was asked, and what was said to it."""
        denied = (
            dbusexc.DBusAccessDeniedError,
            dbusexc.DBusInteractiveAuthorizationRequiredError,
        )
        try:
            yield
        except denied:
            raise ManagerRefusedError(
                f"systemd refused to {what}: permission denied",
                hint="only root may: run it with sudo",
            ) from None
        except dbusexc.DBusBaseError as error:
            # Errors of the bus itself have no message of systemd's.
            if error.errno in (-107, -104, -110, -111, -32):
                raise ManagerUnavailableError(f"systemd did not {what}: {_said(error)}") from None
            raise ManagerRefusedError(f"systemd refused to {what}: {_said(error)}") from None


def _whose(user: bool) -> str:
    return "user's" if user else "system"


def _said(error: Any) -> str:
    message = error.err_message or os.strerror(abs(int(error.errno or 0)))
    return _text(message)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _instant(microseconds: Any) -> float | None:
    """Return seconds, None for what never was and never will be."""
    number = int(microseconds)
    return None if number in (0, NEVER) else number / 1e6


def _weight(value: Any) -> int | None:
    number = int(value)
    return None if number == NEVER else number
