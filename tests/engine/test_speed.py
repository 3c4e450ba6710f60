"""What a quiet tick costs: ratios measured in one run, and what it leaves unimported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plancton_tick.ctl.private_engine import PrivateEngine
from tests.engine.farms import create_and_start, read_type, wait_until_settled, write_config
from tests.engine.rest import Rest
from tests.measure import BARE_PYTHON, compare, cpu_seconds, environment

FEW, MANY = 10, 200
# What only a tick with something to do, or with a new configuration, may pay for.
HEAVY = {
    *("docker", "requests", "urllib3", "pystemd", "systemd", "yaml", "argparse", "logging"),
    *("dataclasses", "inspect", "pathlib", "subprocess", "http", "email", "asyncio", "concurrent"),
    *("plancton_tick.act", "plancton_tick.report", "plancton_tick.config"),
}


def tick_command(config: Path) -> tuple[str, ...]:
    return (sys.executable, "-I", "-m", "plancton_tick", "--config", str(config))


def test_a_quiet_tick_imports_nothing_that_it_does_not_use(
    private_engine: PrivateEngine, rest: Rest, pilot_image: str, instance: str, tmp_path: Path
) -> None:
    config = write_config(tmp_path, instance, pilot_image, 2)
    create_and_start(rest, read_type(config), instance, range(2))
    kept = environment(DOCKER_HOST=private_engine.url, RUNTIME_DIRECTORY=str(tmp_path))
    wait_until_settled(config)
    cpu_seconds(tick_command(config), kept)
    code = (
        "import json, sys; from plancton_tick.cli import main; "
        f"code = main(['--config', {str(config)!r}]); print(json.dumps([code, list(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    exit_code, modules = json.loads(done.stdout)
    assert exit_code == 0
    loaded = {name for name in modules if name in HEAVY or name.partition(".")[0] in HEAVY}
    assert loaded == set()


@pytest.fixture
def quiet_tick_cost(
    private_engine: PrivateEngine, rest: Rest, pilot_image: str, instance: str, tmp_path: Path
) -> dict[str, float]:
    """Measure quiet ticks on 10 pilots, then on 200 of the same farm, and the interpreter alone."""
    cost = {}
    made = 0
    for size in (FEW, MANY):
        config = write_config(tmp_path, instance, pilot_image, size)
        create_and_start(rest, read_type(config), instance, range(made, size))
        made = size
        kept = environment(DOCKER_HOST=private_engine.url, RUNTIME_DIRECTORY=str(tmp_path))
        wait_until_settled(config)
        cpu_seconds(tick_command(config), kept)
        measured = compare({"bare": BARE_PYTHON, "tick": tick_command(config)}, kept, rounds=15)
        cost[f"bare beside {size}"] = measured["bare"]
        cost[f"tick on {size}"] = measured["tick"]
    return cost


def test_a_quiet_tick_costs_at_most_5_bare_interpreters_and_grows_by_half_to_200_pilots(
    quiet_tick_cost: dict[str, float],
) -> None:
    few = quiet_tick_cost[f"tick on {FEW}"] / quiet_tick_cost[f"bare beside {FEW}"]
    many = quiet_tick_cost[f"tick on {MANY}"] / quiet_tick_cost[f"bare beside {MANY}"]
    assert few <= 5, quiet_tick_cost
    assert many <= 1.5 * few, quiet_tick_cost
