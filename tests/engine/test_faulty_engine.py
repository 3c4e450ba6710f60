"""An engine that is absent, broken, slow or mad: the right exit code in time, and no guessing.

What cannot be read stops the tick before it does anything. What cannot be done is one line each,
and all the rest is done. The next tick after the trouble makes it good.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from plancton_tick.ctl.private_engine import PrivateEngine
from plancton_tick.model import LABEL_INSTANCE, LABEL_TYPE, Ledger
from tests.engine.faults import (
    NOT_HTTP,
    NOT_JSON,
    Answer,
    Cut,
    Delay,
    Fault,
    Hang,
    Match,
    Raw,
    Refuse,
    absent_socket,
    on,
    refusing_socket,
)
from tests.engine.proxy import FaultProxy
from tests.engine.ticks import SLEEPER, Events, Node, Ticked, in_parallel

UNAVAILABLE, TEMPFAIL = 69, 75
TIMEOUT = 1.0
# For an engine that does its work.
PATIENT = 30.0
# For the interpreter's start and the sampling, on a machine that others use too.
MARGIN = 4.0

NO = {"message": "no"}
TROUBLES: dict[str, Fault] = {
    "refusing": Refuse(),
    "hanging": Hang(),
    "answering-500": Answer(500, {"message": "driver on fire\nsecond line"}),
    "answering-500-in-html": Raw(b"HTTP/1.0 500 Oops\r\n\r\n<html>\n<h1>Oops</h1>\n</html>"),
    "cutting-in-the-head": Cut(120),
    "cutting-in-the-body": Raw(b"HTTP/1.0 200 OK\r\nContent-Length: 90\r\n\r\n[]"),
    "cutting-in-a-body-of-any-length": Raw(b'HTTP/1.0 200 OK\r\n\r\n[{"Id": "0'),
    "no-http": NOT_HTTP,
    "no-json": NOT_JSON,
    "answering-404": Answer(404, {"message": "page not found"}),
    "nothing": Answer(200),
    "null": Raw(b"HTTP/1.0 200 OK\r\n\r\nnull"),
    "a-list-of-nothing": Answer(200, [None]),
    "a-number": Answer(200, 7),
}


@pytest.fixture
def proxy(engine_socket: Path, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(engine_socket, tmp_path) as proxy:
        yield proxy


def assert_is_one_clear_line(done: Ticked, code: int) -> None:
    assert (done.code, done.out) == (code, ""), done
    assert len(done.lines) == 1, done.err
    assert done.err.startswith("plancton-tick: the engine at "), done.err
    assert done.seconds < TIMEOUT + MARGIN, done


def test_an_absent_engine_is_said_so(node: Node, tmp_path: Path) -> None:
    done = node.tick(url=f"unix://{absent_socket(tmp_path)}")
    assert_is_one_clear_line(done, UNAVAILABLE)
    assert "no such socket" in done.err


def test_an_engine_that_does_not_listen_is_said_so(node: Node, tmp_path: Path) -> None:
    done = node.tick(url=f"unix://{refusing_socket(tmp_path)}")
    assert_is_one_clear_line(done, UNAVAILABLE)
    assert "onnection refused" in done.err


def test_an_engine_that_one_may_not_use_is_said_so(node: Node, proxy: FaultProxy) -> None:
    # Root without its capabilities is an ordinary user here; all that root owns it can read.
    proxy.socket.chmod(0o600)
    os.chown(proxy.socket, 65534, 65534)
    done = node.tick(url=proxy.url, at_rest=False, prefix=["setpriv", "--bounding-set=-all"])
    assert_is_one_clear_line(done, UNAVAILABLE)
    assert "permission denied" in done.err
    assert proxy.count == 0


def test_an_engine_elsewhere_that_does_not_answer_is_said_so(node: Node) -> None:
    node.set_timeout(TIMEOUT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert_is_one_clear_line(node.tick(url=f"tcp://127.0.0.1:{port}"), UNAVAILABLE)
    assert_is_one_clear_line(node.tick(url=f"tcp://127.0.0.1:{port}"), UNAVAILABLE)


READS = {
    "the-list-of-containers": on("GET", "^/containers/json$"),
    "the-list-of-volumes": on("GET", "^/volumes$"),
    "how-a-pilot-ended": on("GET", "^/containers/.+/json$"),
    "what-the-engine-is": on("GET", "^/info$"),
}


@pytest.mark.parametrize("what", READS)
def test_what_cannot_be_read_stops_the_tick_before_it_does_anything(
    node: Node, proxy: FaultProxy, what: str
) -> None:
    node.make_exited(0, 0)
    for trouble, fault in TROUBLES.items():
        if (what, trouble) == ("how-a-pilot-ended", "answering-404"):
            continue  # It is gone, then.
        proxy.reset()
        node.set_timeout(TIMEOUT if trouble == "hanging" else PATIENT)
        proxy.rule(READS[what], fault)
        done = node.tick(url=proxy.url)
        assert_is_one_clear_line(done, UNAVAILABLE)
        asked = {request.method for request in proxy.requests}
        assert asked == {"GET"}, (trouble, proxy.requests)
    assert node.states() == {f"{node.instance}-0": "exited"}
    assert node.volumes() == []
    proxy.reset()
    assert node.tick(url=proxy.url).has_done(3, "ended, done|spawned")


def test_a_listing_that_makes_no_sense_never_passes_for_an_empty_one(
    node: Node, proxy: FaultProxy
) -> None:
    ours = {LABEL_TYPE: "pilot", LABEL_INSTANCE: node.instance}
    container = {"Id": "0" * 64, "Names": ["/x"], "State": "running", "Labels": ours}
    ledger = f"{node.instance}-ledger-1"
    containers: tuple[object, ...] = (
        {},
        NO,
        "x",
        [[]],
        [{"Id": 7}],
        [{**container, "State": "confused"}],
        [{**container, "State": None}],
        [{**container, "Labels": "io.plancton.type"}],
        [{**container, "Labels": {**ours, "io.plancton.slot": 7}}],
        [{**container, "Labels": {**ours, "io.plancton.cpus": []}}],
        [{**container, "Names": 7}],
    )
    volumes: tuple[object, ...] = (
        [],
        NO["message"],
        {"Volumes": 7},
        {"Volumes": [7]},
        {"Volumes": [{"Name": 7}]},
        {"Volumes": [{"Name": ledger, "Labels": ["x"]}]},
    )
    for what, answers in (("containers/json", containers), ("volumes", volumes)):
        for answer in answers:
            proxy.reset()
            proxy.rule(on("GET", f"^/{what}$"), Answer(200, answer))
            done = node.tick(url=proxy.url)
            assert_is_one_clear_line(done, UNAVAILABLE)
    assert node.states() == {}
    assert node.volumes() == []


class Change(NamedTuple):
    """A request that changes something: what must be there for a tick to send it, and its failure.

    ``code`` is the exit code where the engine answers 500, ``told`` is what is said of a failure;
    ``recovered`` matches the lines of the tick after it, of which there are ``lines``.
    """

    match: Match
    arrange: Callable[[Node], None]
    code: int
    told: str
    lines: int
    recovered: str


def arrange_nothing(node: Node) -> None:
    node.configure(host={"max_pilots": 8}, spawn={"per_tick": 1})


def arrange_exited(node: Node) -> None:
    node.configure(spawn={"per_tick": 0})
    node.make_exited(0, 0)


def arrange_expired(node: Node) -> None:
    node.configure(spawn={"per_tick": 0})
    node.make_expired(0)


def arrange_overload(node: Node) -> None:
    node.configure(host=node.room_for(1))
    node.make(0, age=20)
    node.make(1, age=10)


def arrange_paused(node: Node) -> None:
    node.configure(spawn={"per_tick": 0})
    node.pause(node.make(0))


CHANGES = {
    "asking-its-version": Change(
        on("GET", "^/version$"), arrange_expired, UNAVAILABLE, "the engine at", 1, "terminating"
    ),
    "making-the-ledger": Change(
        on("POST", "^/volumes/create$"), arrange_expired, TEMPFAIL, "the engine", 1, "terminating"
    ),
    "making-a-pilot": Change(
        on("POST", "^/containers/create$"),
        arrange_nothing,
        TEMPFAIL,
        "no pilot pilot in slot [0-9]: the engine",
        1,
        "spawned .*, canary after not started",
    ),
    "starting-a-pilot": Change(
        on("POST", "^/containers/.+/start$"),
        arrange_nothing,
        TEMPFAIL,
        "no pilot pilot in slot [0-9]: the engine",
        4,
        "spawned .*, canary after not started|removed .* never started",
    ),
    "removing-a-pilot": Change(
        on("DELETE", "^/containers/"),
        arrange_exited,
        TEMPFAIL,
        r"\S+-0 \(pilot\) not removed: the engine",
        1,
        "removed .*-0 .*: counted before, removed now",
    ),
    "signalling-a-pilot": Change(
        on("POST", "^/containers/.+/kill$"),
        arrange_expired,
        TEMPFAIL,
        r"\S+-0 \(pilot\) not terminated: the engine",
        1,
        # A signal that the engine refuses is taken for a warning, or such a pilot would never end.
        "ended, expired: still alive 1.. s after SIGTERM, grace 30 s",
    ),
    "pausing-a-pilot": Change(
        on("POST", "^/containers/.+/pause$"),
        arrange_overload,
        TEMPFAIL,
        r"\S+-1 \(pilot\) not paused: the engine",
        1,
        "paused .*-1 ",
    ),
    "resuming-a-pilot": Change(
        on("POST", "^/containers/.+/unpause$"),
        arrange_paused,
        TEMPFAIL,
        r"\S+-0 \(pilot\) not resumed: the engine",
        1,
        "resumed .*-0 ",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_cannot_be_done_is_said_in_one_line_and_done_by_the_next_tick(
    node: Node, proxy: FaultProxy, what: str
) -> None:
    change = CHANGES[what]
    change.arrange(node)
    # Last what makes a type wait.
    for trouble in ("refusing", "hanging", "no-http", "answering-500"):
        proxy.reset()
        node.set_timeout(TIMEOUT if trouble == "hanging" else PATIENT)
        proxy.rule(change.match, TROUBLES[trouble])
        done = node.tick(url=proxy.url)
        assert done.code == (change.code if trouble == "answering-500" else UNAVAILABLE), done
        assert len(done.lines) == 1, (trouble, done.err)
        assert re.match(f"plancton-tick: {change.told}", done.err), (trouble, done.err)
        assert done.seconds < TIMEOUT + MARGIN, (trouble, done)
    proxy.reset()
    assert node.tick(url=proxy.url, later=100).has_done(change.lines, change.recovered)
    assert node.tick(url=proxy.url, later=100).code == 0


def test_an_engine_that_makes_pilots_and_does_not_say_which_is_not_believed(
    node: Node, proxy: FaultProxy
) -> None:
    node.configure(host={"max_pilots": 1})
    for answer in (NOT_JSON, Answer(201), Answer(201, []), Answer(201, {}), Answer(201, {"Id": 7})):
        proxy.reset()
        proxy.rule(on("POST", "^/containers/create$"), answer)
        done = node.tick(url=proxy.url)
        assert (done.code, len(done.lines)) == (UNAVAILABLE, 1), (answer, done)
        assert "no pilot pilot in slot 0: the engine at" in done.err
    proxy.reset()
    assert node.tick(url=proxy.url).has_done(1, "spawned pilot in slot 0")


def test_a_pilot_whose_start_was_not_confirmed_is_minded_like_any_other(
    node: Node, proxy: FaultProxy
) -> None:
    node.configure(host={"max_pilots": 1})
    with Events(node.rest, node.instance) as events:
        proxy.rule(on("POST", "^/containers/.+/start$"), Cut(0))
        assert node.tick(url=proxy.url).code == UNAVAILABLE
        assert list(node.states().values()) == ["running"]
        assert node.tick().has_done(0, "")
        actions = [event.action for event in events.so_far()]
        assert actions == ["create", "extract-to-dir", "start"]


def test_an_engine_that_hangs_with_every_pilot_costs_one_time_out_and_not_one_for_each(
    node: Node, proxy: FaultProxy
) -> None:
    pilots = 8
    node.configure(spawn={"per_tick": 0})
    in_parallel(node.make_expired, range(pilots))
    node.set_timeout(TIMEOUT)
    proxy.rule(on("POST", "^/containers/.+/kill$"), Hang())
    done = node.tick(url=proxy.url)
    assert (done.code, len(done.lines)) == (UNAVAILABLE, pilots)
    assert done.seconds < TIMEOUT + MARGIN
    node.set_timeout(PATIENT)
    proxy.reset()
    assert node.tick(url=proxy.url).has_done(pilots, "terminating .* not signalled yet")


def test_an_engine_that_stops_answering_at_any_moment_ends_the_tick_in_time(
    node: Node, proxy: FaultProxy
) -> None:
    """The kinds of requests there are bound the time-outs, not the number of pilots."""
    node.configure(host={"max_pilots": 4})
    node.make_exited(0, 0)
    node.make_expired(1)
    node.pause(node.make(2))
    node.set_timeout(TIMEOUT)
    for number in range(1, 9):
        proxy.reset()
        proxy.rule(lambda request, first=number: request.number >= first, Hang())  # type: ignore[misc]
        done = node.tick(url=proxy.url)
        assert done.code == UNAVAILABLE, (number, done)
        assert "Traceback" not in done.err
        assert done.seconds < 6 * TIMEOUT + MARGIN, (number, done)
    proxy.reset()
    node.set_timeout(PATIENT)
    assert node.tick(url=proxy.url, later=100).code == 0
    assert len(node.live()) <= 4
    assert node.tick(url=proxy.url, later=100).code == 0
    assert node.counts()["pilot"]["done"] == 1


def test_what_was_done_is_told_even_if_it_cannot_be_noted(node: Node, proxy: FaultProxy) -> None:
    arrange_expired(node)
    # The first ledger is written before the signal, the second notes that it was sent.
    proxy.rule(on("POST", "^/volumes/create$"), Delay(0.0), times=1)
    proxy.rule(on("POST", "^/volumes/create$"), Answer(500, NO))
    done = node.tick(url=proxy.url)
    assert done.code == TEMPFAIL
    assert [line.split()[1] for line in done.lines] == ["terminating", "not"]
    assert "not noted: the engine refused to create volume" in done.lines[1]


def test_an_old_ledger_that_the_engine_does_not_let_go_keeps_a_tick_from_nothing(
    node: Node,
) -> None:
    node.write_ledger(Ledger(counts={"pilot": {"done": 3}}), generation=5)
    old = f"{node.instance}-ledger-5"
    mount = {"Type": "volume", "Source": old, "Target": "/ledger"}
    stranger = node.rest.run(
        node.image, f"{node.instance}-7", SLEEPER, HostConfig={"Mounts": [mount]}
    )
    node.make_exited(0, 0)
    assert node.tick().has_done(3, "ended, done|spawned")
    assert node.tick().has_done(0, "")
    assert node.counts() == {"pilot": {"done": 4}}
    assert node.volumes() == [old, f"{node.instance}-ledger-6"]
    node.rest.delete(f"/containers/{stranger}", force=1)
    assert node.tick().has_done(0, "")
    assert node.volumes() == [f"{node.instance}-ledger-6"]


def test_an_engine_that_crashes_under_a_tick_is_made_good_by_the_next(
    node: Node, proxy: FaultProxy, private_engine: PrivateEngine
) -> None:
    node.configure(host={"max_pilots": 1})
    # The list of containers; and the start of the pilot that was made by the request before.
    for number in (1, 12):
        proxy.reset()
        proxy.before(number, private_engine.kill, forward=False)
        done = node.tick(url=proxy.url)
        assert (done.code, len(done.lines)) == (UNAVAILABLE, 1), done
        private_engine.start()
    assert on("POST", "^/containers/.+/start$")(proxy.requests[11])
    proxy.reset()
    assert node.tick(url=proxy.url, later=100).has_done(2, "never started|spawned pilot in slot 0")
    assert list(node.states().values()) == ["running"]


def test_an_engine_that_restarts_under_a_tick_is_waited_for_no_longer_than_the_time_out(
    node: Node, proxy: FaultProxy, private_engine: PrivateEngine
) -> None:
    node.configure(host={"max_pilots": 1})
    # The list, the volumes, the engine itself, its version: then the ledger is made.
    proxy.before(5, private_engine.restart)
    assert node.tick(url=proxy.url).has_done(1, "spawned pilot in slot 0")
