"""The request that the timer be stopped: a file in the service's runtime folder.

The tick has no right to stop units, and needs none: a path unit waits for this file. It is left
when a drain asks for it and the last pilot has gone, and taken back by who wants ticks again.
"""

import os
from collections.abc import Iterable
from contextlib import suppress

from plancton_tick.model import Pilot
from plancton_tick.room import LIVE_STATES

REQUEST_NAME = "stop"
RUNTIME_NAME = "plancton"


def runtime_folder(*, user: bool = False) -> str:
    """Say where the service's runtime folder is, seen from outside of the service."""
    told = os.environ.get("RUNTIME_DIRECTORY")
    if told:
        return told
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}" if user else "/run"
    return os.path.join(base, RUNTIME_NAME)


def request_when_gone(pilots: Iterable[Pilot], folder: str | None) -> bool:
    """Ask for the timer to be stopped if no pilot is live; return whether this is news."""
    if any(pilot.state in LIVE_STATES for pilot in pilots):
        return False
    return leave_request(folder)


def leave_request(folder: str | None) -> bool:
    """Ask for the timer to be stopped; return whether this is news.

    Outside a service there is no folder and nobody to ask. Where the file cannot be written the
    next tick tries again.
    """
    if folder is None:
        return False
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(os.path.join(folder, REQUEST_NAME), flags, 0o644))
    except OSError:
        return False
    return True


def remove_request(folder: str) -> None:
    """Take the request back, if there is one and we may."""
    with suppress(OSError):
        os.unlink(os.path.join(folder, REQUEST_NAME))
