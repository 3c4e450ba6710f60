"""Farms of idle pilots of any size, made past the code under test, to measure ticks on."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from plancton_tick.config import load_config
from plancton_tick.container import make_body
from plancton_tick.model import PilotType
from tests.engine.rest import Rest


def write_config(folder: Path, instance: str, image: str, pilots: int) -> Path:
    """Write a configuration for so many idle pilots, old enough to be cached at once."""
    path = folder / "config.yaml"
    path.write_text(
        json.dumps(
            {
                "host": {
                    "max_pilots": pilots,
                    "reserve": {"cpus": 0, "memory": 0, "disk": 0},
                    "sample": "50ms",
                },
                "spawn": {"per_tick": 1000, "cooldown": 0},
                "reclaim": {"tolerance": 1000},
                "engine": {"instance": instance, "timeout": "60s"},
                "pilots": [
                    {
                        "name": "idle",
                        "image": image,
                        "command": ["sleep", "3600"],
                        "cpus": 0.01,
                        "memory": "6M",
                        "network": "none",
                    }
                ],
            }
        )
    )
    path.chmod(0o644)
    return path


def wait_until_settled(path: Path) -> None:
    """Wait until a file is old enough for a tick to keep what it read of it."""
    while time.time() - path.stat().st_ctime < 2.5:
        time.sleep(0.1)


def read_type(config: Path) -> PilotType:
    """Return the only pilot type of a configuration."""
    return load_config(str(config)).config.pilots[0]


def create_and_start(
    rest: Rest, pilot_type: PilotType, instance: str, slots: Sequence[int], parallel: int = 16
) -> float:
    """Create and start a pilot in each slot by the engine alone; return the seconds it took."""

    def spawn(slot: int) -> None:
        body = make_body(
            pilot_type,
            slot=slot,
            now=time.time(),
            node="bench",
            instance=instance,
            cgroup_driver="cgroupfs",
            has_journald=False,
        )
        created = rest.post("/containers/create", body, name=f"{instance}-{slot}")
        rest.post(f"/containers/{created['Id']}/start")

    began = time.monotonic()
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(spawn, slots))
    return time.monotonic() - began


def remove_all(rest: Rest, instance: str) -> None:
    """Remove all pilots of an instance, and its ledger."""
    filters = {"label": [f"io.plancton.instance={instance}"]}
    ids = [each["Id"] for each in rest.get("/containers/json", all=1, filters=filters)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda each: rest.delete(f"/containers/{each}", v=1, force=1), ids))
    prefix = f"{instance}-ledger-"
    for volume in rest.get("/volumes", filters={"name": [prefix]})["Volumes"] or []:
        rest.delete(f"/volumes/{volume['Name']}")
