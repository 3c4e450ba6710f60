"""``plancton-pull``: pull the images that ticks have asked for, outside of any tick.

Its path unit starts it while there are requests (asking.py). Images are pulled side by side, so
that a registry that hangs holds up nobody else's image, each with a time-out. What came of it is
written into the ledger, where the next tick finds it, and into the journal. Pilots that run keep
the image that they began with.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from plancton_tick import __version__
from plancton_tick.asking import FOLDER, Request, list_requests, remove_request
from plancton_tick.config_cache import read_config
from plancton_tick.engine import PULL_SECONDS, Engine
from plancton_tick.errors import (
    EXIT_CONFIG,
    EXIT_OK,
    EngineRefusedError,
    PlanctonError,
    PullError,
)
from plancton_tick.ledger import update
from plancton_tick.ledger_json import rebase
from plancton_tick.model import Ledger, PilotType, Pull
from plancton_tick.pulling import after_failed_pull, after_pull, before_pull, images_of
from plancton_tick.report import (
    ERROR,
    INFO,
    NOTICE,
    WARNING,
    Event,
    Kind,
    emit,
)

DEFAULT_RUNTIME = "/run/plancton"
PARALLEL = 4
# How often it is looked whether more was asked for while something is being pulled.
LOOK_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Pull all that is asked for, and return the exit code."""
    import argparse

    from plancton_tick.cli import DEFAULT_CONFIG

    parser = argparse.ArgumentParser(
        prog="plancton-pull",
        description="Pull the images that ticks have asked for in $RUNTIME_DIRECTORY/pull, exit.",
        epilog="exit codes: 0 all pulled, 2 wrong usage, 69 engine unavailable, 75 some images "
        "not pulled, 78 bad configuration",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="the configuration, as for plancton-tick (%(default)s)",
    )
    parser.add_argument(
        "--timeout",
        default=PULL_SECONDS,
        type=float,
        metavar="SECONDS",
        help="how long an image may take (%(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"plancton {__version__}")
    options = parser.parse_args(arguments)
    runtime = os.environ.get("RUNTIME_DIRECTORY") or DEFAULT_RUNTIME
    try:
        return pull_all(options.config, os.path.join(runtime, FOLDER), options.timeout)
    except PlanctonError as error:
        _say(Event(Kind.PULL_FAILED, ERROR, error.message, {}))
        return error.exit_code


def pull_all(config_path: str, folder: str, timeout_seconds: float) -> int:
    """Pull until nothing is asked for any more; return the gravest exit code.

    Raises RequestError if the folder cannot be read, or a request in it not be removed.
    """
    codes = {EXIT_OK}
    jobs: dict[str, Future[int]] = {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        while True:
            for request in list_requests(folder):
                if request.path not in jobs:
                    jobs[request.path] = pool.submit(answer, request, config_path, timeout_seconds)
            if not jobs:
                # 69, the engine itself, says more than 75, some image of many.
                return min(codes - {EXIT_OK}, default=EXIT_OK)
            wait(jobs.values(), LOOK_SECONDS, FIRST_COMPLETED)
            for path in [path for path, job in jobs.items() if job.done()]:
                codes.add(jobs.pop(path).result())


def answer(request: Request, config_path: str, timeout_seconds: float) -> int:
    """Pull one image, remove its request, and return the exit code.

    The request goes last: if this process is killed, the next one finds it again.
    """
    try:
        return _pull_configured(request, config_path, timeout_seconds)
    finally:
        remove_request(request)


def _pull_configured(request: Request, config_path: str, timeout_seconds: float) -> int:
    from plancton_tick.tick import connect

    loaded = read_config(config_path, None)
    if loaded.faults:
        # The very engine may be another than the one meant. The tick asks again.
        for fault in loaded.faults:
            _say(Event(Kind.CONFIG_BAD, ERROR, fault, {}))
        return EXIT_CONFIG
    types = images_of(loaded.config).get(request.image or "")
    if request.image is None or types is None:
        # No longer configured. Nobody is to have other images pulled here by leaving a file.
        return EXIT_OK
    return pull(connect(loaded.config), request.image, types, timeout_seconds)


def pull(engine: Engine, image: str, types: list[PilotType], timeout_seconds: float) -> int:
    """Pull an image for its types, note and tell what came of it, return the exit code."""
    before, known = None, None
    try:
        known = _note(engine, image, lambda ledger, now: before_pull(ledger, image, now))
        before = engine.read_digest(image)
        engine.pull(image, at_most_seconds=timeout_seconds)
        digest = engine.read_digest(image)
        if digest is None:
            raise PullError(f"{image} is not here, though the engine said that it was pulled")
    except EngineRefusedError as error:
        _note(engine, image, lambda ledger, now: after_failed_pull(ledger, image, now))
        _say(_failure(image, error, known, is_here=before is not None))
        return error.exit_code
    except PlanctonError as error:
        # The engine is in trouble. The ledger is the engine's too; where it cannot be written the
        # tick asks again, only later.
        with suppress(PlanctonError):
            _note(engine, image, lambda ledger, now: after_failed_pull(ledger, image, now))
        _say(_failure(image, error, known, is_here=None))
        return error.exit_code
    _note(engine, image, lambda ledger, now: after_pull(ledger, image, types, digest, now))
    _say(_success(image, known, before, digest))
    return EXIT_OK


def _note(engine: Engine, image: str, change: Callable[[Ledger, float], Ledger]) -> Pull | None:
    """Apply a change to the ledger as it is now; return what it held on the image before."""
    known: list[Pull | None] = []

    def on_fresh(ledger: Ledger) -> Ledger:
        now = time.time()
        known.append(ledger.pulls.get(image))
        return change(on_todays_clock(ledger, now), now)

    update(engine, engine.instance, on_fresh)
    return known[-1]


def on_todays_clock(ledger: Ledger, now: float) -> Ledger:
    """Return the ledger as a tick would read it now.

    The tick that asked has written which boot this is; the kernel's own word on it is hidden by
    the sandbox of the service.
    """
    if ledger.clock is None:
        return ledger
    offset = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    return rebase(ledger, ledger.clock._replace(offset_seconds=offset), now)


def _success(image: str, known: Pull | None, before: str | None, digest: str) -> Event:
    old = before or (known.digest if known is not None else "")
    fields = {"PLANCTON_IMAGE": image, "PLANCTON_DIGEST": digest}
    if old and old != digest:
        fields["PLANCTON_OLD_DIGEST"] = old
        message = f"image {image} has changed: {old} -> {digest}; pilots that run keep the old one"
        return Event(Kind.IMAGE_CHANGED, NOTICE, message, fields)
    if before is None or (known is not None and known.failures):
        return Event(Kind.PULLED, NOTICE, f"pulled image {image}: {digest}", fields)
    return Event(Kind.PULLED, INFO, f"pulled image {image}: unchanged, {digest}", fields)


def _failure(
    image: str, error: PlanctonError, known: Pull | None, *, is_here: bool | None
) -> Event:
    """Say it loudly once; pilots can go on with the image that is here, if that is known."""
    priority = WARNING if is_here else ERROR
    if known is not None and known.failures:
        priority = INFO
    what = {
        True: ", the one that is here stays in use",
        False: ", no pilots can be started from it",
        None: "",
    }[is_here]
    fields = {"PLANCTON_IMAGE": image, "PLANCTON_REASON": error.message}
    reason = error.message.removeprefix(f"{image} is not pulled: ")
    message = f"image {image} not pulled{what}: {reason}"
    return Event(Kind.PULL_FAILED, priority, message, fields)


def _say(event: Event) -> None:
    emit(event, "plancton-pull")


if __name__ == "__main__":
    sys.exit(main())
