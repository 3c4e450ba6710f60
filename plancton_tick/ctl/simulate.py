"""``planctonctl simulate``: what would these rules have done on that day?"""

import argparse
import os
import sys
import time

from plancton_tick.cli import DEFAULT_CONFIG
from plancton_tick.config import load_config
from plancton_tick.config_build import build_config
from plancton_tick.config_node import Faults, MapNode, Place
from plancton_tick.ctl.main import PROGRAM, say_faults
from plancton_tick.ctl.picture_files import import_picture
from plancton_tick.ctl.simulate_fleet import simulate_fleet
from plancton_tick.ctl.simulate_json import to_json
from plancton_tick.ctl.simulate_options import add_arguments, read_plot
from plancton_tick.ctl.simulate_run import POLICIES, Plot, Run, run_one
from plancton_tick.ctl.simulate_tally import Record, Tally
from plancton_tick.ctl.simulate_text import NAMES, Report, show
from plancton_tick.ctl.simulate_world import Machine
from plancton_tick.errors import EXIT_CONFIG, EXIT_OK, TraceError
from plancton_tick.model import Config

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = """
Replay a day of the owner's load, recorded or made up, through the decision that the tick makes, in
virtual time: what was harvested, how often pilots were given back, what the owner felt. Nothing on
this host is changed, and no engine is needed.

LOAD is one of constant, noisy, developer, farm, laptop, site (made up from --seed), a CSV file with
the columns time, cores and perhaps memory, sar:FILE for what sysstat recorded, journal for the
samples of this host's ticks, or journal:FILE for what journalctl -o json printed.
"""

EXAMPLES = """
planctonctl simulate sar:/var/log/sysstat/sa21          yesterday, these rules
planctonctl simulate journal --svg day.svg              a picture of what was
planctonctl simulate developer --against new.yaml       two configurations
planctonctl simulate farm --policy plancton,0.6,slice   three policies
planctonctl simulate developer,farm --hosts 10000       a fleet's day"""


def run(options: argparse.Namespace) -> int:
    """Simulate, print, draw; return 0, or 78 if a configuration has faults."""
    plot, fleet = read_plot(options)
    runs = _read_runs(options, plot.machine)
    if runs is None:
        return EXIT_CONFIG
    files = {form: getattr(options, form) for form in ("svg", "png") if getattr(options, form)}
    if files and fleet is not None:
        raise TraceError("a picture is of one host: leave out --hosts, or --svg and --png")
    if files:
        # Asked for before the work is done: it is all for nothing if this fails.
        import_picture()
    began = time.perf_counter()
    records = [Record() if files else None for _ in runs]
    if fleet is not None:
        tallies = simulate_fleet(fleet, plot, runs)
    else:
        tallies = [_run(plot, each, record) for each, record in zip(runs, records, strict=True)]
    report = Report(plot, runs, tallies, fleet, time.perf_counter() - began)
    if files:
        _draw(report, records, options.title, files)
    if options.json:
        print(to_json(report))
    else:
        show(report)
    return EXIT_OK


def _run(plot: Plot, each: Run, record: Record | None) -> Tally:
    return run_one(plot, each, record=record)


# --- the runs ------------------------------------------------------------------------------------


def _read_runs(options: argparse.Namespace, machine: Machine) -> list[Run] | None:
    """Read the configurations; None, with all faults said, if one of them is bad."""
    policies = options.policy.split(",")
    for policy in policies:
        if policy not in POLICIES:
            known = ", ".join(POLICIES)
            raise TraceError(f"--policy: expected some of {known}, got {policy!r}")
    paths = [options.config, *options.against]
    configs = [_read_config(path, machine) for path in paths]
    if any(config is None for config in configs):
        return None
    runs = []
    for path, config in zip(paths, configs, strict=True):
        for policy in policies:
            parts = [NAMES[policy]] if len(policies) > 1 or len(paths) == 1 else []
            parts += [os.path.basename(path)] if len(paths) > 1 else []
            if config is not None:
                runs.append(Run(", ".join(parts), policy, config))
    return runs


def _read_config(path: str, machine: Machine) -> Config | None:
    size = (machine.ncpus, machine.memory_bytes)
    if path == DEFAULT_CONFIG and not os.path.exists(path):
        print(f"{PROGRAM}: there is no {path} here: all keys have their defaults", file=sys.stderr)
        return build_config(MapNode(Place(path, 0, 0), {}), size, Faults())
    loaded = load_config(path, host=size)
    say_faults(loaded.faults)
    return None if loaded.faults else loaded.config


# --- pictures ------------------------------------------------------------------------------------


def _draw(
    report: Report, records: list[Record | None], title: str | None, files: dict[str, str]
) -> None:
    from plancton_tick.ctl.picture import draw
    from plancton_tick.ctl.simulate_picture import make_panels

    kept = [record for record in records if record is not None]
    try:
        panels = make_panels(report, kept)
        draw(panels, title or report.title, files, subtitle=report.conditions)
    except OSError as error:
        raise TraceError(f"{error.filename}: cannot be written: {error.strerror}") from None
