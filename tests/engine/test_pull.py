"""Pulls as real processes, from real registries, beside ticks that never wait for them."""

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plancton_tick.asking import FOLDER, write_request
from plancton_tick.model import Backoff, Drain, Ledger, Pull, PullState
from tests.engine.faults import Hang, on
from tests.engine.proxy import FaultProxy
from tests.engine.registry import PASSWORD, Registry, free_port, hanging_registry
from tests.engine.rest import Rest, RestError
from tests.engine.ticks import Node, Ticked, finish, wait_until

DIGEST = r"sha256:[0-9a-f]{64}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that works and asks for no password."""
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


class Host:
    """A node with a runtime folder, and images of its own in a registry."""

    def __init__(self, node: Node, registry: Registry) -> None:
        self.node = node
        self.registry = registry
        self.runtime = node.directory / "run"
        self.runtime.mkdir()
        self.image = f"{registry.host}/{node.instance}:1"
        self.pulling: list[subprocess.Popen[str]] = []

    def use(self, image: str, **settings: Any) -> None:
        self.image = image
        self.node.configure({"image": image, **settings})

    def push(self, mark: str = "", tag: str = "1") -> str:
        return self.registry.push(self.node.instance, tag, mark)

    def tick(self, **settings: Any) -> Ticked:
        return self.node.tick(environment=self.environment(), **settings)

    def environment(self, **more: str) -> dict[str, str]:
        return {"RUNTIME_DIRECTORY": str(self.runtime), **more}

    def start_pull(
        self, *words: str, url: str | None = None, **more: str
    ) -> "subprocess.Popen[str]":
        pulling = subprocess.Popen(
            [sys.executable, "-I", "-m", "plancton_tick.pull", "--config"]
            + [str(self.node.config), *words],
            env={
                **{key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"},
                **self.environment(DOCKER_HOST=url or self.node.url, **more),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pulling.append(pulling)
        return pulling

    def pull(self, *words: str, **settings: Any) -> Ticked:
        return finish(self.start_pull(*words, **settings))

    def requests(self) -> list[str]:
        folder = self.runtime / FOLDER
        return [each.read_text().strip() for each in folder.iterdir()] if folder.exists() else []

    def known(self, image: str | None = None) -> Pull:
        return self.node.snapshot().ledger.pulls[image or self.image]


@pytest.fixture
def host(node: Node, registry: Registry, rest: Rest) -> Iterator[Host]:
    """Return a node whose pilots' image is in no engine yet."""
    host = Host(node, registry)
    host.use(host.image)
    yield host
    for pulling in host.pulling:
        with pulling:
            pulling.kill()
    node.clean()
    for each in rest.get("/images/json", all=1):
        for name in [*(each["RepoTags"] or ()), *(each["RepoDigests"] or ())]:
            if f"/{node.instance}" in name:
                remove_image(rest, name)


def remove_image(rest: Rest, image: str) -> None:
    # Its parts may have gone with another name of it.
    with contextlib.suppress(RestError):
        rest.delete(f"/images/{image}", force=1)


def test_a_missing_image_is_asked_for_and_pulled_and_the_next_tick_spawns(host: Host) -> None:
    digest = host.push()
    first = host.tick()
    assert (first.code, len(first.lines)) == (0, 1)
    assert f"no pilot pilots: image {host.image} is missing (it is asked for)" in first.err
    assert host.requests() == []
    second = host.tick()
    assert second.has_done(1, rf"asked for image {host.image}: missing \d s ago, never pulled")
    assert host.requests() == [host.image]
    assert host.tick().has_done(0, "")
    done = host.pull()
    assert done.has_done(1, f"plancton-pull: pulled image {host.image}: {digest}")
    assert host.requests() == []
    assert host.known()[::2] == (PullState.PULLED, 0)
    assert host.known().digest == digest
    assert host.tick().has_done(2, "spawned pilot in slot")
    assert host.tick().has_done(0, "")


def test_without_a_folder_to_ask_in_a_missing_image_is_an_error_that_says_what_to_do(
    host: Host,
) -> None:
    done = host.node.tick()
    assert (done.code, len(done.lines)) == (75, 1)
    assert f"(docker pull {host.image})" in done.err
    assert host.node.snapshot().ledger.pulls == {}
    assert host.node.tick().has_done(0, "")


def test_an_image_is_asked_for_again_when_pull_has_passed_and_not_before(host: Host) -> None:
    host.push("old")
    host.use(host.image, pull="1h")
    host.tick()
    host.tick()
    host.pull()
    assert host.tick().has_done(2, "spawned")
    running = host.node.live()
    assert host.tick(later=3600 * 0.89).has_done(0, "")
    assert host.requests() == []
    asked = host.tick(later=3600 * 1.11)
    assert asked.has_done(1, rf"asked for image {host.image}: pulled 6\d min ago, pull 60 min")
    old = host.known().digest
    new = host.push("new")
    done = host.pull()
    assert done.has_done(1, f"image {host.image} has changed: {old} -> {new}; pilots that run keep")
    assert host.known().digest == new
    assert sorted(host.node.live()) == sorted(running)
    write_request(str(host.runtime), host.image)
    assert host.pull().has_done(1, f"pulled image {host.image}: unchanged, {new}")


def test_a_name_without_a_tag_means_latest_and_no_other_tag(host: Host, rest: Rest) -> None:
    host.push("a", "other")
    host.push("b", "latest")
    host.use(f"{host.registry.host}/{host.node.instance}")
    host.tick()
    host.tick()
    assert host.pull().code == 0
    named = {"reference": [host.image]}
    tags = [tag for each in rest.get("/images/json", filters=named) for tag in each["RepoTags"]]
    assert tags == [f"{host.image}:latest"]
    assert host.tick().has_done(2, "spawned")


def test_a_name_with_a_digest_is_pulled_if_missing_and_never_again(host: Host) -> None:
    digest = host.push()
    host.use(f"{host.registry.host}/{host.node.instance}@{digest}", pull="1s")
    host.tick()
    host.tick()
    assert host.pull().has_done(1, f"pulled image .*: {digest}")
    assert host.tick().has_done(2, "spawned")
    assert host.tick(later=90 * 86400).has_done(2, "terminating .*, expired")
    assert host.requests() == []


def test_a_registry_that_is_down_costs_one_loud_line_and_a_wait_that_doubles(host: Host) -> None:
    host.use(f"127.0.0.1:{free_port()}/{host.node.instance}:1")
    host.tick()
    host.tick()
    done = host.pull()
    assert (done.code, len(done.lines)) == (75, 1)
    assert f"image {host.image} not pulled, no pilots can be started from it" in done.err
    assert "connection refused" in done.err
    assert host.requests() == []
    assert host.known()[::2] == (PullState.FAILED, 1)
    assert "asked" not in host.tick(later=25).err
    asked = host.tick(later=40)
    assert re.search(r"asked for image .*: missing .* ago, 1 pulls failed, the last", asked.err)
    assert host.pull().code == 75
    assert host.known().failures == 2


def test_an_image_that_is_here_stays_in_use_when_it_cannot_be_pulled(
    host: Host, rest: Rest, pilot_image: str
) -> None:
    host.use(f"127.0.0.1:{free_port()}/{host.node.instance}:1")
    name, _, tag = host.image.rpartition(":")
    rest.post(f"/images/{pilot_image}/tag", repo=name, tag=tag)
    assert host.tick().has_done(2, "spawned")
    write_request(str(host.runtime), host.image)
    done = host.pull()
    assert "not pulled, the one that is here stays in use" in done.err
    assert len(host.node.live()) == 2


def test_an_image_that_the_registry_does_not_have_fails(host: Host) -> None:
    write_request(str(host.runtime), host.image)
    done = host.pull()
    assert (done.code, len(done.lines)) == (75, 1)
    assert re.search("manifest unknown|not found", done.err)


def test_a_pull_that_hangs_delays_no_tick_and_nobody_elses_image(
    host: Host, engine_socket: Path, tmp_path: Path
) -> None:
    host.push()
    hung = f"127.0.0.1:{free_port()}/{host.node.instance}:hung"
    host.node.configure({"name": "good", "image": host.image}, {"name": "hung", "image": hung})
    host.tick()
    host.tick()
    assert sorted(host.requests()) == sorted([hung, host.image])
    with FaultProxy(engine_socket, tmp_path) as proxy:
        proxy.rule(lambda asked: asked.method == "POST" and "hung" in asked.path, Hang())
        pulling = host.start_pull(url=proxy.url)
        wait_until(lambda: host.known().state is PullState.PULLED, patience=60)
        wait_until(lambda: host.known(hung).state is PullState.PULLING)
        # Given back in the meantime: a pilot past its lifetime.
        old = host.node.make_expired(0)
        done = host.tick()
        assert pulling.poll() is None
        assert "terminating" in done.err
        assert "spawned good" in done.err
        host.node.wait_until_exited(old)
        proxy.release()
        ended = finish(pulling)
    # The engine closed the connection: its trouble, and not the image's.
    assert ended.code == 69
    assert re.search(rf"image {hung} not pulled: the engine at", ended.err)
    assert host.requests() == []


def test_a_registry_that_hangs_is_left_after_the_time_out(host: Host) -> None:
    with hanging_registry() as address:
        host.use(f"{address}/{host.node.instance}:1")
        write_request(str(host.runtime), host.image)
        done = host.pull("--timeout", "2")
    assert (done.code, len(done.lines)) == (75, 1)
    assert re.search(f"image {host.image} not pulled, .*: nothing heard of it for 2 s", done.err)
    assert host.requests() == []
    assert host.known().failures == 1


def test_an_engine_that_hangs_is_left_after_the_time_out(
    host: Host, engine_socket: Path, tmp_path: Path
) -> None:
    write_request(str(host.runtime), host.image)
    with FaultProxy(engine_socket, tmp_path) as proxy:
        proxy.rule(on("POST", r"/images/create$"), Hang())
        done = host.pull("--timeout", "2", url=proxy.url)
    assert (done.code, len(done.lines)) == (75, 1)
    assert "nothing heard of it for 2 s" in done.err
    assert done.seconds < 20
    assert host.known().failures == 1


def test_an_engine_that_is_down_ends_with_69_and_leaves_no_request_behind(
    host: Host, tmp_path: Path
) -> None:
    write_request(str(host.runtime), host.image)
    done = host.pull(url=f"unix://{tmp_path}/none.sock")
    assert (done.code, len(done.lines)) == (69, 1)
    assert host.requests() == []


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that asks for a password."""
    with Registry(tmp_path_factory.mktemp("locked"), is_locked=True) as registry:
        yield registry


def keep_accounts(folder: Path, accounts: object) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(accounts))
    return str(folder)


def test_the_password_of_a_registry_comes_from_docker_config_and_is_never_told(
    host: Host, locked: Registry, tmp_path: Path
) -> None:
    digest = locked.push(host.node.instance, "1")
    host.use(f"{locked.host}/{host.node.instance}:1")
    write_request(str(host.runtime), host.image)
    refused = host.pull(DOCKER_CONFIG=str(tmp_path / "none"))
    write_request(str(host.runtime), host.image)
    wrong = keep_accounts(tmp_path / "wrong", locked.accounts("open barley"))
    mistaken = host.pull(DOCKER_CONFIG=wrong)
    write_request(str(host.runtime), host.image)
    right = keep_accounts(tmp_path / "right", locked.accounts())
    let_in = host.pull(DOCKER_CONFIG=right)
    for done in (refused, mistaken):
        assert (done.code, len(done.lines)) == (75, 1)
        assert "no basic auth credentials" in done.err or "unauthorized" in done.err
    assert let_in.has_done(1, f"pulled image {host.image}: {digest}")
    said = refused.err + mistaken.err + let_in.err
    for secret in (PASSWORD, "open barley"):
        assert secret not in said
        assert base64.b64encode(f"pilot:{secret}".encode()).decode() not in said


def test_accounts_that_cannot_be_read_are_told(host: Host, tmp_path: Path) -> None:
    host.push()
    write_request(str(host.runtime), host.image)
    (tmp_path / "config.json").write_text("{not JSON")
    done = host.pull(DOCKER_CONFIG=str(tmp_path))
    assert done.code == 75
    assert f"{tmp_path}/config.json: expected JSON" in done.err


def test_only_images_of_the_configuration_are_pulled(
    host: Host, engine_socket: Path, tmp_path: Path
) -> None:
    host.push("", "stray")
    write_request(str(host.runtime), f"{host.registry.host}/{host.node.instance}:stray")
    (host.runtime / FOLDER / "stray").write_text("nonsense\n")
    with FaultProxy(engine_socket, tmp_path) as proxy:
        assert host.pull(url=proxy.url).has_done(0, "")
        assert proxy.requests == []
    assert host.requests() == []


def test_while_the_configuration_is_bad_nothing_is_pulled_or_asked_for(host: Host) -> None:
    host.node.configure({"image": host.image}, spawn={"per_tick": "many"})
    write_request(str(host.runtime), host.image)
    done = host.pull()
    assert done.code == 78
    assert "spawn.per_tick: expected" in done.err
    assert host.requests() == []
    host.tick()
    assert host.node.snapshot().ledger.pulls == {}


def test_while_draining_nothing_is_asked_for(host: Host) -> None:
    now = time.time()
    host.node.write_ledger(
        Ledger(
            drain=Drain("ann", now, "new disk"),
            backoffs={"pilot": Backoff(now - 1, 30.0, "image missing")},
        )
    )
    host.tick()
    assert host.requests() == []


def test_a_dry_run_shows_what_would_be_asked_for_and_asks_for_nothing(host: Host) -> None:
    host.tick()
    shown = host.node.tick("--dry-run", environment=host.environment())
    assert f"would ask for image {host.image}: missing" in shown.out
    told = host.node.tick("--dry-run", "--json", environment=host.environment())
    (action,) = json.loads(told.out)["actions"]
    assert (action["action"], action["image"]) == ("ask", host.image)
    assert host.requests() == []


def test_a_pull_that_is_killed_leaves_its_request_for_the_next(host: Host) -> None:
    digest = host.push()
    with hanging_registry() as address:
        hung = f"{address}/{host.node.instance}:1"
        host.use(hung)
        write_request(str(host.runtime), hung)
        pulling = host.start_pull()
        time.sleep(2)
        pulling.kill()
        finish(pulling)
    assert host.requests() == [hung]
    (next((host.runtime / FOLDER).iterdir())).unlink()
    host.use(f"{host.registry.host}/{host.node.instance}:1")
    write_request(str(host.runtime), host.image)
    assert host.pull().has_done(1, digest)


def test_a_quiet_tick_with_an_image_on_record_asks_the_engine_nothing_more(
    host: Host, engine_socket: Path, tmp_path: Path, pilot_image: str
) -> None:
    host.use(pilot_image)
    assert host.tick().has_done(2, "spawned")
    before = host.node.snapshot()
    assert host.known().state is PullState.SEEN
    with FaultProxy(engine_socket, tmp_path) as proxy:
        assert host.tick(url=proxy.url).has_done(0, "")
        asked = [(request.method, request.path.partition("?")[0]) for request in proxy.requests]
    assert asked == [("GET", "/containers/json"), ("GET", "/volumes")]
    assert host.node.snapshot() == before
