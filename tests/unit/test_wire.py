"""One small GET: what an engine may answer, and what becomes of it."""

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plancton_tick.errors import EngineUnavailableError, NotFoundError
from plancton_tick.wire import get_json

Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves given bytes to the next client, then closes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        threads = []

        def start(answer: bytes) -> str:
            path = str(Path(folder) / "engine.sock")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen()

            def run() -> None:
                with listener, listener.accept()[0] as client:
                    client.recv(65536)
                    client.sendall(answer)

            threads.append(threading.Thread(target=run))
            threads[-1].start()
            return path

        yield start
        for thread in threads:
            thread.join(10)


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.0 {status}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def test_the_answer_is_decoded(serve: Serve) -> None:
    assert get_json(serve(http("200 OK", b'[{"a": 1}]')), "/x", 5) == [{"a": 1}]


def test_a_whole_answer_of_stated_length_is_taken(serve: Serve) -> None:
    assert get_json(serve(http("200 OK", b"[1]", "Content-Length: 3")), "/x", 5) == [1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(b"", "no HTTP", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", "no HTTP", id="another protocol"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-", "no HTTP", id="cut in the head"),
        pytest.param(http("200 OK", b"[1, 2", "Content-Length: 99"), "cut", id="cut in the body"),
        pytest.param(http("200 OK", b"[1, 2"), "no JSON", id="cut without a length"),
        pytest.param(http("200 OK", b"<html>"), "no JSON", id="a page"),
        pytest.param(http("200 OK", b""), "no JSON", id="an empty body"),
        pytest.param(http("200 OK", b"[" * 100000), "no JSON", id="a deep nest"),
        pytest.param(
            http("500 Internal", b'{"message": "broken\\nmore"}'), "500: broken", id="an error"
        ),
        pytest.param(http("503 Busy", b"try later"), "503: try later", id="an error in plain text"),
        pytest.param(http("301 Moved", b""), "301", id="a redirection"),
    ],
)
def test_anything_but_a_sound_answer_is_an_unavailable_engine_in_one_line(
    serve: Serve, answer: bytes, says: str
) -> None:
    with pytest.raises(EngineUnavailableError, match=says) as caught:
        get_json(serve(answer), "/x", 5)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_404_is_its_own_error(serve: Serve) -> None:
    with pytest.raises(NotFoundError, match="No such container: x"):
        get_json(serve(http("404 Not Found", b'{"message": "No such container: x"}')), "/x", 5)


def test_an_absent_socket_is_told_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="no such socket") as caught:
        get_json(str(tmp_path / "none"), "/x", 5)
    assert caught.value.hint


def test_a_socket_nobody_listens_on_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
    with pytest.raises(EngineUnavailableError, match="refused"):
        get_json(path, "/x", 5)


def test_the_time_out_is_for_the_whole_answer_however_slowly_it_drips(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    over = threading.Event()

    def drip() -> None:
        with listener, listener.accept()[0] as client:
            client.recv(65536)
            try:
                while not over.wait(0.05):
                    client.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(EngineUnavailableError, match="within 0.5 s"):
            get_json(path, "/x", 0.5)
        assert time.monotonic() - began < 5
    finally:
        over.set()
        thread.join(10)
