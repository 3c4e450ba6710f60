"""The demonstration's two ends to its user: the output, and the signals that ask it to stop."""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from types import FrameType

from plancton_tick.ctl.demo_screen import Style, choose_style

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSign:
    """Remembers the first signal that asked us to stop.

    It interrupts nothing but our own waiting, so that what is being made is known when it comes to
    removing it; and any number of further signals changes nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        # Not an Event: its lock is not safe to take in a signal handler.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        """Listen from now on; nohup(1) keeps its meaning."""
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def raise_by_hand(self, number: int) -> None:
        """Stop as if this signal had come."""
        self._note(number, None)

    def wait_until(self, instant: float) -> bool:
        """Wait for an instant of the monotonic clock; return at once, with True, if to stop."""
        left = max(0.0, instant - time.monotonic())
        readable, _, _ = select.select([self._reader], [], [], left)
        return bool(readable)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            with contextlib.suppress(OSError):
                os.write(self._writer, b"!")


class Terminal:
    """Standard output. When nobody reads it any more, that asks us to stop, too."""

    def __init__(self, stop: StopSign) -> None:
        self._stop = stop
        self._environment = _environment()
        self._is_gone = False

    @property
    def style(self) -> Style:
        """How to draw now; the window may have another size than before."""
        is_terminal = sys.stdout.isatty()
        # COLUMNS, then the terminal's own word, then 80.
        columns = shutil.get_terminal_size((80, 24)).columns if is_terminal else _columns()
        return choose_style(
            self._environment,
            is_terminal=is_terminal,
            columns=columns,
            encoding=sys.stdout.encoding or "",
        )

    def show(self, lines: Iterable[str]) -> None:
        """Write lines, at once."""
        if self._is_gone:
            return
        try:
            for line in lines:
                print(line)
            sys.stdout.flush()
        except OSError:
            self._is_gone = True
            # What is still buffered must not fail again when Python flushes it at exit.
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)
            self._stop.raise_by_hand(signal.SIGPIPE)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isascii() and given.isdigit() and int(given) > 0 else 80


def _environment() -> Mapping[str, str]:
    """Return the environment that we were given.

    Python sets LC_CTYPE to UTF-8 in its own when the locale is C (PEP 538).
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = os.fsdecode(file.read()).split("\0")
    except OSError:
        return os.environ
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
