"""``planctonctl check``: is the configuration right, and what does it mean on this host?"""

import argparse
import os
import shutil

from plancton_tick import host
from plancton_tick.config import DROP_IN_FOLDER, load_config
from plancton_tick.ctl.check_engine import EngineFacts, read_engine
from plancton_tick.ctl.check_fit import find_fit
from plancton_tick.ctl.check_json import to_json
from plancton_tick.ctl.check_text import to_text
from plancton_tick.ctl.check_warnings import (
    SERVICE_USER,
    Warned,
    warn_of_config,
    warn_of_engine,
    warn_of_files,
    warn_of_fit,
    warn_of_host,
    warn_of_type,
)
from plancton_tick.ctl.checked import Checked, split_fault
from plancton_tick.engine import Engine
from plancton_tick.errors import EXIT_CONFIG, EXIT_OK, EngineUnavailableError
from plancton_tick.model import Config, HostLoad
from plancton_tick.tick import connect, read_size

HELP = """
Say everything that is wrong with a configuration, with file, line, key and a suggestion; then what
it means on this host: how many pilots of each type fit, and what limits them; and what is legal in
it, but unlikely meant. Nothing is changed.
"""

EXAMPLES = """
planctonctl check                             what the ticks read
planctonctl check new.yaml                    another file, before it counts
planctonctl check --json | jq .fit.together   the same for programs"""

# Nothing is measured but sizes: the owner is taken to be idle.
WINDOW_SECONDS = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="this configuration rather than that of --config"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the document of docs/check-json.md"
    )


def run(options: argparse.Namespace) -> int:
    """Check, print, and return 0 if there is no fault, else 78."""
    checked = check(options.file or options.config)
    if options.json:
        print(to_json(checked))
    else:
        print(to_text(checked, shutil.get_terminal_size().columns))
    return EXIT_CONFIG if checked.faults else EXIT_OK


def check(path: str) -> Checked:
    """Load a configuration and find out what it means on this host, changing nothing.

    Raises HostError if the host cannot be read.
    """
    loaded = load_config(path, host=read_size())
    places = (*loaded.files, os.path.join(os.path.dirname(path), DROP_IN_FOLDER))
    faults = tuple(split_fault(line, places) for line in loaded.faults)
    checked = Checked(path, loaded.files, faults, loaded.notes)
    if faults:
        # The faulty values are defaults here: what they would mean is of no use to anybody.
        return checked
    config = loaded.config
    engine = connect(config)
    facts, unchecked = _ask(engine, config)
    load = _read_host(config, facts.data_root if facts is not None else None)
    fit = find_fit(config, load)
    warnings = [*warn_of_files(loaded.files, _service_uid()), *warn_of_config(config, load)]
    warnings += warn_of_fit(config, load, fit)
    for pilot_type in config.pilots:
        warnings += warn_of_type(pilot_type, load)
        if engine.is_local:
            data_root = facts.data_root if facts is not None else None
            warnings += warn_of_host(pilot_type, data_root)
        if facts is not None:
            warnings += warn_of_engine(pilot_type, facts)
    if not engine.is_local:
        warnings.append(_warn_of_distance(engine))
    return checked._replace(
        warnings=tuple(warnings), config=config, host=load, fit=fit, unchecked=unchecked
    )


def _ask(engine: Engine, config: Config) -> tuple[EngineFacts | None, tuple[str, ...]]:
    what = "images, networks and log drivers"
    if not engine.is_local:
        return None, (f"{what}, mounts and devices: the engine at {engine.url} is elsewhere",)
    try:
        return read_engine(engine, config), ()
    except EngineUnavailableError as error:
        return None, (f"{what}: {error.words()}",)


def _read_host(config: Config, data_root: str | None) -> HostLoad:
    sample = host.start_sample(f"{config.engine.instance}.slice")
    return host.finish_sample(sample, WINDOW_SECONDS, data_root)


def _service_uid() -> int | None:
    import pwd

    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid
    except KeyError:
        return None


def _warn_of_distance(engine: Engine) -> Warned:
    message = f"{engine.url} may be another host's engine, and the load that counts is this host's"
    key = "DOCKER_HOST" if os.environ.get("DOCKER_HOST") else "engine.socket"
    return Warned("engine-elsewhere", key, message, "run Plancton where the engine is")
