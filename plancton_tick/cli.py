"""``plancton-tick``: its arguments; the one place where errors become messages and exit codes."""

import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from plancton_tick import __version__
from plancton_tick.errors import EXIT_CONFIG, EXIT_OK, PlanctonError
from plancton_tick.standing import say_trouble
from plancton_tick.tick import Seen, look, run

DEFAULT_CONFIG = "/etc/plancton/config.yaml"


def run_and_leave() -> NoReturn:
    """Run the command and end the process at once.

    Taking the interpreter down in good order costs a seventh of a quiet tick, and frees nothing
    that the kernel does not.
    """
    exit_code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one tick, or say what it would do, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # The two forms that a timer uses are understood here: argparse costs a third of a quiet tick.
    if not words:
        return _guarded(DEFAULT_CONFIG)
    if len(words) == 2 and words[0] == "--config":
        return _guarded(words[1])
    return _parsed(words)


def _parsed(words: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(
        prog="plancton-tick",
        description="One tick: observe the host, spawn or give back pilots, exit.",
        epilog="exit codes: 0 done or nothing to do, 2 wrong usage, 69 engine unavailable, "
        "71 host unreadable, 75 some actions failed, 78 bad configuration",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="the configuration; drop-ins in config.d beside it are read too (%(default)s)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what the tick would do, with reasons and vetoes, and change nothing",
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    parser.add_argument("--version", action="version", version=f"plancton {__version__}")
    options = parser.parse_args(words)
    if options.json and not options.dry_run:
        parser.error("--json goes with --dry-run")
    if options.dry_run:
        return _guarded(options.config, "json" if options.json else "text")
    return _guarded(options.config)


def _guarded(config_path: str, dry_run_as: str | None = None) -> int:
    try:
        if dry_run_as is None:
            return run(config_path)
        return _print_plan(look(config_path), dry_run_as)
    except PlanctonError as error:
        if dry_run_as is None:
            say_trouble(error, time.time())
        else:
            from plancton_tick.report import report_error

            report_error(error)
        return EXIT_CONFIG if error.faults else error.exit_code


def _print_plan(seen: Seen, form: str) -> int:
    from plancton_tick.explain import to_json, to_text
    from plancton_tick.report import report_faults

    report_faults(seen.loaded.faults)
    print((to_json if form == "json" else to_text)(seen.plan, seen.observation))
    return EXIT_CONFIG if seen.loaded.faults else EXIT_OK
