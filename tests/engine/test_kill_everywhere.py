"""A tick killed at any boundary between two of its requests to the engine does no harm.

Each scenario is first run in peace, to count its requests. Then a fresh host is brought into the
same state once for every boundary, and a tick is killed there: when request n has arrived and the
engine has not seen it, and when the engine has done request n and the tick has not been told.
After a request that only reads, nothing has changed since before the next one, so that the second
kind is left to requests that change something.
"""

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from plancton_tick.model import Ending, Ledger, Outcome
from tests.engine.faults import Request
from tests.engine.proxy import FaultProxy
from tests.engine.ticks import (
    STUBBORN,
    Events,
    Node,
    finish,
    in_parallel,
    killed_unwarned,
    most_live,
    together,
)

AT_ONCE = 4
# Time enough for what was created and not started to be a leftover.
STALE_LATER = 61.0


class Scenario(NamedTuple):
    """A state, and what it should come to: the counts, and the state of the pilot in each slot.

    ``cap`` is the most pilots that may be live on the way there.
    """

    arrange: Callable[[Node], None]
    counts: dict[str, int]
    states: dict[str, str]
    cap: int = 3


class Boundary(NamedTuple):
    """Where a tick is killed: before request ``number`` reaches the engine, or after."""

    number: int
    is_before: bool
    request: Request

    def __str__(self) -> str:
        where = "before" if self.is_before else "after"
        path = self.request.path.partition("?")[0]
        return f"killed {where} request {self.number}, {self.request.method} {path}"


def arrange_nothing(node: Node) -> None:
    node.configure(host={"max_pilots": 2})


def arrange_exited(node: Node) -> None:
    node.configure(host={"max_pilots": 3}, spawn={"per_tick": 0})
    in_parallel(lambda slot: node.make_exited(slot, (0, 75, 1)[slot]), range(3))
    node.write_ledger(Ledger())


def arrange_ends(node: Node) -> None:
    """One pilot past its lifetime, one paused for too long, one too many for the owner."""
    reclaim = {"action": "stop", "pause_at_most": "2min"}
    host = node.room_for(1, max_pilots=4)
    node.configure(host=host, spawn={"per_tick": 0}, reclaim=reclaim)
    made = together(
        lambda: node.make_expired(0),
        lambda: node.make(1, age=50.0),
        lambda: node.make(2, age=20.0),
        lambda: node.make(3, age=30.0),
    )
    node.pause(made[1])
    node.write_ledger(Ledger(paused={made[1]: time.time() - 300}))


def arrange_overload(node: Node) -> None:
    node.configure(host=node.room_for(1, max_pilots=3), spawn={"per_tick": 0})
    in_parallel(lambda slot: node.make(slot, age=30.0 - slot), range(3))
    node.write_ledger(Ledger())


def arrange_paused(node: Node) -> None:
    node.configure(host={"max_pilots": 3}, spawn={"per_tick": 0})
    made = in_parallel(node.make, range(2))
    for each in made:
        node.pause(each)
    node.write_ledger(Ledger(paused={each: time.time() - 10 for each in made}))


def arrange_past_grace(node: Node) -> None:
    node.configure(host={"max_pilots": 3}, spawn={"per_tick": 0})
    made = in_parallel(lambda slot: node.make(slot, STUBBORN), range(2))
    for each in made:
        node.rest.post(f"/containers/{each}/kill", signal="SIGTERM")
    ending = Ending(Outcome.RECLAIMED, time.time() - 40, signalled=True)
    node.write_ledger(Ledger(ending=dict.fromkeys(made, ending)))


def arrange_all_at_once(node: Node) -> None:
    """Reap one, end one, remove a leftover, and fill the two slots that this makes free."""
    node.configure(host={"max_pilots": 3})
    together(
        lambda: node.make_exited(0, 0),
        lambda: node.make(1, start=False, age=STALE_LATER),
        lambda: node.make_expired(2),
    )
    node.write_ledger(Ledger())


SCENARIOS = {
    "spawning": Scenario(arrange_nothing, {}, {"0": "running", "1": "running"}, cap=2),
    "reaping": Scenario(arrange_exited, {"done": 1, "no-work": 1, "failed": 1}, {}),
    "ending": Scenario(arrange_ends, {"expired": 1, "reclaimed": 2}, {"3": "running"}, cap=4),
    "pausing": Scenario(arrange_overload, {}, {"0": "running", "1": "paused", "2": "paused"}),
    "resuming": Scenario(arrange_paused, {}, {"0": "running", "1": "running"}),
    "removing-after-grace": Scenario(arrange_past_grace, {"reclaimed": 2}, {}),
    "all-at-once": Scenario(
        arrange_all_at_once,
        {"done": 1, "expired": 1},
        {"0": "running", "1": "running", "2": "running"},
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_tick_killed_between_any_two_requests_is_made_good_by_the_next_ticks(
    node: Node, engine_socket: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    with host_of(node, engine_socket, "peace") as (peaceful, proxy):
        scenario.arrange(peaceful)
        done = peaceful.tick(url=proxy.url)
        assert done.code == 0, done.err
        requests = proxy.requests
    boundaries = [
        Boundary(request.number, is_before, request)
        for request, is_before in itertools.product(requests, (True, False))
        if is_before or request.method != "GET"
    ]

    def kill_at(boundary: Boundary) -> str:
        where = f"{'b' if boundary.is_before else 'a'}{boundary.number}"
        with host_of(node, engine_socket, where) as (host, proxy):
            try:
                kill_and_recover(host, proxy, scenario, boundary)
            except AssertionError as error:
                return f"{boundary}: {error}"
        return ""

    problems = [problem for problem in in_parallel(kill_at, boundaries, AT_ONCE) if problem]
    assert not problems, "\n\n".join(problems)
    assert len(requests) > 5, requests


@contextlib.contextmanager
def host_of(node: Node, engine_socket: Path, name: str) -> Iterator[tuple[Node, FaultProxy]]:
    """Give a fresh instance and a proxy of its own."""
    directory = node.directory / name
    host = Node(node.rest, node.image, f"{node.instance}-{name}", directory)
    try:
        with FaultProxy(engine_socket, directory) as proxy:
            yield host, proxy
    finally:
        host.clean()


def kill_and_recover(host: Node, proxy: FaultProxy, scenario: Scenario, boundary: Boundary) -> None:
    with Events(host.rest, host.instance) as events:
        scenario.arrange(host)
        proxy.reset()
        kill_tick(host, proxy, boundary)
        recover(host, proxy, scenario)
        over = time.time()
        host.clean()
        told = [event for event in events.of_all() if event.at < over]
    assert most_live(told) <= scenario.cap, told
    assert killed_unwarned(told) == [], told


def kill_tick(host: Node, proxy: FaultProxy, boundary: Boundary) -> None:
    """Run a tick and kill it at the boundary."""
    started = threading.Event()
    running: list[subprocess.Popen[str]] = []

    def kill() -> None:
        started.wait()
        running[0].kill()
        running[0].wait()

    if boundary.is_before:
        proxy.before(boundary.number, kill, forward=False)
    else:
        proxy.after(boundary.number, kill, relay=False)
    running.append(host.start(url=proxy.url))
    started.set()
    assert finish(running[0]).code == -9, "the tick ended before the boundary"
    # What the killed tick had asked of the engine beside request n is done by it all the same.
    proxy.wait_until_idle()


def recover(host: Node, proxy: FaultProxy, scenario: Scenario) -> None:
    """Run two ticks, and hold what they leave against what the scenario should come to."""
    later = 0.0
    for _ in range(2):
        wait_for_endings(host)
        done = host.tick(url=proxy.url, later=later)
        assert (done.code, "Traceback" in done.err) == (0, False), done.err
        if "created" in host.states().values():
            later = STALE_LATER
    expected = {f"{host.instance}-{slot}": state for slot, state in scenario.states.items()}
    assert host.states() == expected, done.err
    assert host.counts() == ({"pilot": scenario.counts} if scenario.counts else {})
    assert len(host.volumes()) <= 1, host.volumes()
    proxy.reset()
    quiet = host.tick(url=proxy.url, later=later)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", ""), quiet
    assert [request.method for request in proxy.requests] == ["GET", "GET"], proxy.requests


def wait_for_endings(host: Node) -> None:
    """Wait for the pilots that were told to end; those that do not listen are not waited for."""
    ending = host.snapshot().ledger.ending
    for each in host.containers():
        is_told = each["Id"] in ending and ending[each["Id"]].signalled
        if is_told and each["State"] == "running" and STUBBORN[-1] not in each["Command"]:
            host.wait_until_exited(each["Id"])
