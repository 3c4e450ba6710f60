"""The engine of the tests' own, and the images of the pilots, built here."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick.ctl.private_engine import PrivateEngine
from tests.engine.conftest import engine_socket, instance, node, private_engine, rest
from tests.engine.rest import Rest
from tests.pilots.workqueue import WorkQueue

__all__ = ["engine_socket", "instance", "node", "private_engine", "rest"]

PILOTS = Path(__file__).resolve().parent.parent.parent / "pilots"


def build(name: str, image: str, url: str) -> str:
    """Build the image of a pilot into an engine, from cached packages where they are there."""
    built = subprocess.run(
        [PILOTS / name / "build", image],
        env={**os.environ, "DOCKER_HOST": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return image


@pytest.fixture(scope="session")
def workqueue_image(private_engine: PrivateEngine) -> str:
    """Return the name of the Work Queue pilot's image."""
    return build("workqueue", "plancton-workqueue:test", private_engine.url)


@pytest.fixture(scope="session")
def pilot_image(workqueue_image: str) -> str:
    """Return the image that ``node`` spawns here."""
    return workqueue_image


@pytest.fixture(scope="session")
def gateway(rest: Rest) -> str:
    """Return the address at which pilots find this machine."""
    (config,) = rest.get("/networks/bridge")["IPAM"]["Config"]
    return str(config["Gateway"])


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """Return a file with the password of a manager, which only pilots may read."""
    folder = tmp_path / "secret"
    folder.mkdir()
    path = folder / "password"
    path.write_text("open sesame\n")
    path.chmod(0o400)
    os.chown(path, 1000, 1000)
    return path


@pytest.fixture
def queue(tmp_path: Path, password: Path) -> Iterator[WorkQueue]:
    """Return a manager with a password, and no tasks yet."""
    with WorkQueue(tmp_path, password) as queue:
        yield queue
