"""check asks a real engine for what a configuration needs of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plancton_tick.config import load_config
from plancton_tick.config_schema import PROPAGATIONS
from plancton_tick.ctl.check_engine import Image, read_engine
from plancton_tick.engine import Engine
from plancton_tick.model import PilotType
from plancton_tick.mounts import find_mount_faults
from tests.engine.rest import RestError
from tests.engine.ticks import Node


def check(node: Node, *pilots: dict[str, object]) -> Any:
    """Run the verb and return its document."""
    node.configure(*pilots, engine={"instance": node.instance, "socket": node.url})
    ran = subprocess.run(
        [sys.executable, "-m", "plancton_tick.ctl.main", "check", "--json", str(node.config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def names(document: Any) -> set[str]:
    return {warned["warning"] for warned in document["warnings"]}


def test_an_image_that_is_there_gives_no_warning(node: Node) -> None:
    document = check(node, {})
    assert document["not_checked"] == []
    assert not names(document) & {"image-missing", "image-refused", "network-missing"}
    assert document["host"]["disk_free_bytes"] > 0


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("plancton-test-none", "image-missing"),
        ("registry.example.org:5000/a/b:1", "image-missing"),
        ("busybox@sha256:" + "0" * 64, "image-missing"),
        ("Not_A:Name:At:All", "image-refused"),
    ],
)
def test_an_image_that_is_not_there_is_warned_of(node: Node, image: str, name: str) -> None:
    assert name in names(check(node, {"image": image}))


def test_an_image_that_wants_to_stop_otherwise_is_warned_of(node: Node, instance: str) -> None:
    container = node.rest.post("/containers/create", {"Image": node.image}, name=instance)["Id"]
    stopping = {"StopSignal": "SIGINT", "StopTimeout": 600}
    node.rest.post("/commit", stopping, container=container, repo=instance, tag="x")
    try:
        document = check(node, {"image": f"{instance}:x"})
    finally:
        node.rest.delete(f"/images/{instance}:x", force=1)
    assert {"stop-signal", "grace-short"} <= names(document)


def test_a_network_and_a_log_driver_that_are_not_there_are_warned_of(node: Node) -> None:
    found = names(check(node, {"network": "plancton-no-such", "log": "no-such-driver"}))
    assert {"network-missing", "log-missing"} <= found


def test_what_the_engine_says_is_asked_for_each_type(node: Node) -> None:
    node.configure({"name": "a"}, {"name": "b", "image": "plancton-test-none"})
    engine = Engine(node.url, 30.0, node.instance)
    facts = read_engine(engine, load_config(str(node.config)).config)
    assert facts.images == {node.image: Image(None, None), "plancton-test-none": None}


@pytest.fixture(params=["missing", "private", "shared", "slave"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a mount of its own, of each kind, or one that is missing."""
    kind, folder, peer = request.param, tmp_path / "mounted", tmp_path / "peer"
    if kind == "missing":
        yield folder
        return
    folder.mkdir()
    peer.mkdir()
    mounts = [["-t", "tmpfs", "none", str(folder)], [f"--make-{kind}", str(folder)]]
    if kind == "slave":
        # There is no slave without a peer that it was shared with.
        mounts[1:1] = [["--make-shared", str(folder)], ["--bind", str(folder), str(peer)]]
    mounted = []
    try:
        for words in mounts:
            subprocess.run(["mount", *words], check=True)
            mounted += [words[-1]] if not words[0].startswith("--make") else []
        (folder / "below").mkdir()
        yield folder / "below"
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_mount_is_refused_exactly_if_the_engine_would(
    node: Node, source: Path, propagation: str
) -> None:
    assert bool(find_mount_faults(pilot_with(node, source, propagation))) is (
        is_refused(node, source, propagation)
    )


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_mount_of_all_the_host_is_refused_exactly_if_the_engine_would(
    node: Node, propagation: str
) -> None:
    pilot, source = pilot_with(node, Path("/"), propagation), Path("/")
    data_root = Engine(node.url, 30.0, node.instance).read_info().data_root
    assert bool(find_mount_faults(pilot, data_root=data_root)) is (
        is_refused(node, source, propagation)
    )


def pilot_with(node: Node, source: Path, propagation: str) -> PilotType:
    """Configure a type with this mount."""
    node.configure({"mounts": [f"{source}:/x:ro,{propagation}"]})
    return node.types()["pilot"]


def is_refused(node: Node, source: Path, propagation: str) -> bool:
    """Ask the engine."""
    mount = {
        "Type": "bind",
        "Source": str(source),
        "Target": "/x",
        "ReadOnly": True,
        "BindOptions": {"Propagation": propagation},
    }
    try:
        created = node.rest.run(node.image, node.instance, ["true"], HostConfig={"Mounts": [mount]})
        node.rest.post(f"/containers/{created}/wait")
    except RestError:
        return True
    return False
