"""``python -m plancton_tick.ctl.demo``: a minute of Plancton at work on this host.

Real ticks on a real engine, with pilots that burn CPU and an owner who comes back in the middle.
Everything is made under an instance name of its own, and removed at the end.
"""

import argparse
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from plancton_tick.config_cache import read_config
from plancton_tick.ctl import demo_screen, demo_summary
from plancton_tick.ctl.demo_config import Size, make_config, size_to_host
from plancton_tick.ctl.demo_engine import INSTANCE, PRIVATE, DemoEngine, choose_engine
from plancton_tick.ctl.demo_run import Show, Timing
from plancton_tick.ctl.demo_terminal import StopSign, Terminal
from plancton_tick.ctl.demo_ticks import Ticks
from plancton_tick.ctl.demo_traces import make_folder
from plancton_tick.errors import ConfigError, EngineUnavailableError, PlanctonError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return its exit code."""
    options = _parse(arguments)
    stop = StopSign()
    stop.install()
    terminal = Terminal(stop)
    try:
        with _alone(options.instance):
            return _demonstrate(options, terminal, stop)
    except PlanctonError as error:
        hint = f" {error.hint}" if error.hint else ""
        print(f"demo: {error.message}{'.' if hint else ''}{hint}", file=sys.stderr)
        return error.exit_code


def _demonstrate(options: argparse.Namespace, terminal: Terminal, stop: StopSign) -> int:
    timing: Timing = options.timing
    place = choose_engine(options.engine, options.instance)
    size = size_to_host(timing.cadence)
    terminal.show(_introduction(terminal, place, size, timing))
    folder = make_folder(options.instance)
    show: Show | None = None
    is_over = False
    faults: list[str] = []
    left: list[str] = []
    try:
        earlier = place.start()
        if earlier:
            text = f"An earlier demonstration was killed and left {earlier}: removed."
            terminal.show([*demo_screen.plain(terminal.style, text), ""])
        show = _prepare(place, size, timing, folder, terminal, stop)
        show.run()
        is_over = stop.signal is None
        if is_over:
            shown = show.result()
            faults = demo_summary.list_faults(shown)
            rows = demo_summary.summary_rows(shown, show.meter)
            terminal.show(["", *demo_screen.title(terminal.style, "What came of it"), ""])
            terminal.show(demo_screen.table(terminal.style, rows))
        else:
            terminal.show(["", *demo_screen.plain(terminal.style, "Stopped. Cleaning up.")])
    finally:
        if show is not None:
            show.clean_up()
        left = place.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
        left += [f"the folder {folder}"] if os.path.lexists(folder) else []
        terminal.show(_farewell(terminal, place, left, faults))
    return demo_summary.exit_code(faults, left, stop.signal)


def _prepare(
    place: DemoEngine, size: Size, timing: Timing, folder: str, terminal: Terminal, stop: StopSign
) -> Show:
    """Write the configuration, and read it back as a tick does."""
    path = os.path.join(folder, "config.yaml")
    text = make_config(size, url=place.url, instance=place.instance, image=place.image)
    with open(path, "x") as file:
        file.write(text)
    loaded = read_config(path, None)
    if loaded.faults:
        raise ConfigError(loaded.faults)
    ticks = Ticks(path, folder)
    return Show(place.engine, loaded.config, size.cores, ticks, timing, terminal, stop)


@contextmanager
def _alone(instance: str) -> Iterator[None]:
    """Keep a second demonstration of this name away; the kernel forgets it with the process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as claim:
        try:
            claim.bind(f"\0{instance}")
        except OSError as error:
            raise EngineUnavailableError(
                "another demonstration is at work on this host", hint="Wait for it to end."
            ) from error
        yield


def _introduction(
    terminal: Terminal, place: DemoEngine, size: Size, timing: Timing
) -> Iterator[str]:
    style = terminal.style
    yield from demo_screen.title(
        style, "Plancton: pilots use the CPU that the owner leaves idle, and give it back."
    )
    yield ""
    end = timing.owner_from + timing.owner_for
    rows = (
        ("engine", place.words),
        (
            "host",
            f"{size.cores} core{'s' if size.cores > 1 else ''}; a pilot takes "
            f"{size.pilot_cpus:g}, {size.reserve_cpus:g} stay free for the owner",
        ),
        (
            "run",
            f"{timing.seconds:g} s, a tick every {timing.cadence:g} s; the owner comes back "
            f"from second {timing.owner_from:g} to {end:g}",
        ),
        ("bars", demo_screen.legend(style, size.cores)),
    )
    yield from demo_screen.table(style, rows)
    yield ""


def _farewell(
    terminal: Terminal, place: DemoEngine, left: Sequence[str], faults: Sequence[str]
) -> Iterator[str]:
    style = terminal.style
    yield ""
    for fault in faults:
        yield from demo_screen.problem(style, fault)
    if left:
        yield from demo_screen.problem(style, f"Left behind: {'; '.join(left)}.")
    else:
        text = "Everything it made is removed: pilots, ledger, image, control groups, files."
        if place.roots_groups:
            text = (
                "Everything it made is removed: pilots, ledger, image, files. The engine's empty "
                f"control group {place.instance}.slice stays: only root can remove it."
            )
        yield from demo_screen.plain(style, text)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="plancton demo",
        description="A minute of Plancton at work: real ticks, pilots that burn CPU on a real "
        "engine, and an owner who comes back in the middle. Whatever it makes it removes.",
        epilog="exit codes: 0 all promises kept, 1 not, or something was left behind, "
        "2 wrong usage, 69 no engine, 71 no static busybox, 128+N stopped by signal N",
        allow_abbrev=False,
    )
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="length (60)")
    parser.add_argument("--cadence", type=float, default=2.0, metavar="S", help="of ticks (2)")
    parser.add_argument(
        "--engine",
        metavar="URL",
        help=f"unix:///… or tcp://…, or '{PRIVATE}' for one of its own; otherwise $DOCKER_HOST, "
        "else one that answers on this host, else a private one",
    )
    parser.add_argument(
        "--owner-from", type=float, metavar="S", help="when the owner comes back (a third)"
    )
    parser.add_argument("--owner-for", type=float, metavar="S", help="for how long (30 %%)")
    parser.add_argument(
        "--instance",
        default=INSTANCE,
        metavar="NAME",
        help=f"what everything is named after; begins with {INSTANCE} (%(default)s)",
    )
    options = parser.parse_args(arguments)
    if not re.fullmatch(rf"(?=.{{,31}}$){INSTANCE}(-[a-z0-9]+)*", options.instance):
        parser.error(f"--instance: expected {INSTANCE} or {INSTANCE}-NAME, got {options.instance}")
    try:
        options.timing = _timing(options)
    except ValueError as error:
        parser.error(str(error))
    return options


def _timing(options: argparse.Namespace) -> Timing:
    """Complete the times. Raises ValueError if the promises could not be seen within them."""
    seconds, cadence = options.seconds, options.cadence
    if not 0.5 <= cadence <= 60:
        raise ValueError(f"--cadence: expected 0.5 to 60 seconds, got {cadence:g}")
    if not 1 <= seconds <= 86400:
        raise ValueError(f"--seconds: expected 1 to 86400, got {seconds:g}")
    # Giving back takes three ticks and a bit, filling and refilling about as much.
    least = 5 * cadence
    begin = max(least, round(seconds / 3)) if options.owner_from is None else options.owner_from
    lasts = max(least, round(seconds * 0.3)) if options.owner_for is None else options.owner_for
    if not begin >= cadence:
        raise ValueError(f"--owner-from: expected {cadence:g} or more, got {begin:g}")
    if not lasts >= least:
        raise ValueError(f"--owner-for: expected {least:g} or more, got {lasts:g}")
    if not begin + lasts + cadence <= seconds:
        low = begin + lasts + cadence
        raise ValueError(f"--seconds: expected {low:g} or more, got {seconds:g}")
    return Timing(seconds, cadence, begin, lasts)


if __name__ == "__main__":
    sys.exit(main())
