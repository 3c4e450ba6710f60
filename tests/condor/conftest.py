"""A pool on this machine, and the engine for its pilots."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick.ctl.private_engine import PrivateEngine
from tests.condor.central import Central, load
from tests.engine.conftest import engine_socket, instance, private_engine, rest
from tests.pilots.conftest import build, gateway

__all__ = ["engine_socket", "gateway", "instance", "private_engine", "rest"]


@pytest.fixture(scope="session")
def htcondor_image(private_engine: PrivateEngine) -> str:
    """Return the name of the HTCondor pilot's image."""
    return build("htcondor", "plancton-htcondor:test", private_engine.url)


@pytest.fixture(scope="session")
def central_image(private_engine: PrivateEngine) -> str:
    """Return the name of the image with all of HTCondor."""
    return load(private_engine.url)


@pytest.fixture
def central(
    private_engine: PrivateEngine, central_image: str, instance: str, gateway: str, tmp_path: Path
) -> Iterator[Central]:
    """Return a pool without pilots and without jobs."""
    with socket.create_server((gateway, 0)) as free:
        port = free.getsockname()[1]
    central = Central(private_engine.url, f"{instance}-central", gateway, port, tmp_path)
    yield central
    central.close()


@pytest.fixture
def tokens(central: Central, tmp_path: Path) -> Path:
    """Return a folder with a pilot's token."""
    return central.make_token(tmp_path)
