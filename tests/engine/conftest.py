"""An engine of the tests' own, an image in it, and a name for each test to work under."""

import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick.ctl.busybox_image import build_image
from plancton_tick.ctl.private_engine import PrivateEngine
from plancton_tick.errors import PlanctonError
from plancton_tick.model import LABEL_INSTANCE
from tests.engine.rest import Rest, RestError
from tests.engine.ticks import Node, remove_slice

PILOT_IMAGE = "plancton-test:latest"


@pytest.fixture(scope="session")
def private_engine() -> Iterator[PrivateEngine]:
    """Start an engine for the whole session; a missing one is a failure, not a skip."""
    engine = PrivateEngine(tempfile.mkdtemp(prefix="plancton-test-", dir="/tmp"))
    try:
        try:
            engine.start()
        except PlanctonError as error:
            pytest.fail(f"{error.message}\n{error.hint or ''}", pytrace=False)
        yield engine
    finally:
        engine.destroy()


@pytest.fixture(scope="session")
def engine_socket(private_engine: PrivateEngine) -> Path:
    """Return the path of the engine's socket."""
    return private_engine.socket


@pytest.fixture(scope="session")
def rest(engine_socket: Path) -> Rest:
    """Return the engine's REST interface, to arrange and to look, past the code under test."""
    return Rest(engine_socket)


@pytest.fixture(scope="session")
def pilot_image(private_engine: PrivateEngine) -> str:
    """Return the name of an image of busybox alone."""
    build_image(private_engine.url, PILOT_IMAGE)
    return PILOT_IMAGE


@pytest.fixture
def instance(rest: Rest) -> Iterator[str]:
    """Return an instance name of this test's own; remove all that carries it afterwards.

    That is: containers with its label, or named after it, and volumes named ``NAME-ledger-…``.
    """
    name = f"t-{secrets.token_hex(3)}"
    yield name
    for container in _containers_of(rest, name):
        _remove(rest, f"/containers/{container}", v=1, force=1)
    for volume in _volumes_of(rest, name):
        _remove(rest, f"/volumes/{volume}")
    # A removal that somebody else began may take a moment longer.
    end = time.monotonic() + 10
    while left := _containers_of(rest, name) + _volumes_of(rest, name):
        if time.monotonic() > end:
            pytest.fail(f"the engine kept {left}")
        time.sleep(0.1)
    remove_slice(name)


@pytest.fixture
def node(rest: Rest, pilot_image: str, instance: str, tmp_path: Path) -> Iterator[Node]:
    """Return an instance of Plancton with cheap pilots; remove all that it leaves."""
    node = Node(rest, pilot_image, instance, tmp_path / "node")
    yield node
    node.clean()


def _containers_of(rest: Rest, instance: str) -> list[str]:
    labelled = {"label": [f"{LABEL_INSTANCE}={instance}"]}
    named = {"name": [f"^/{re.escape(instance)}(-|$)"]}
    ids = [
        each["Id"]
        for filters in (labelled, named)
        for each in rest.get("/containers/json", all=1, filters=filters)
    ]
    return sorted(set(ids))


def _volumes_of(rest: Rest, instance: str) -> list[str]:
    listed = rest.get("/volumes", filters={"name": [f"{instance}-ledger-"]})["Volumes"] or []
    return [each["Name"] for each in listed if each["Name"].startswith(f"{instance}-ledger-")]


def _remove(rest: Rest, path: str, **query: object) -> None:
    try:
        rest.delete(path, **query)
    except RestError as error:
        # Gone in the meantime, or being removed by somebody who was faster: the check that follows
        # tells whether it went.
        if error.status not in (404, 409):
            raise
