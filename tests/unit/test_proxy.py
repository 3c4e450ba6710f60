"""The fault-injecting proxy, against a small server of the tests' own."""

import contextlib
import http.client
import http.server
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.faults import (
    NOT_HTTP,
    NOT_JSON,
    Answer,
    Cut,
    Delay,
    Hang,
    Refuse,
    absent_socket,
    every,
    nth,
    on,
    refusing_socket,
)
from tests.engine.proxy import FaultProxy

LONG = b"x" * 300_000


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers in each of the ways an engine does: by length, in chunks, until close, empty."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def do_HEAD(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        content = json.dumps({"path": self.path, "body": body.decode()}).encode()
        if self.path.startswith("/long"):
            content = LONG
        self.send_response(204 if self.path == "/empty" else 200)
        if self.path == "/empty":
            self.end_headers()
        elif self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (content[:5], content[5:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            if self.path == "/until-close":
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class Handler11(Handler):
    protocol_version = "HTTP/1.1"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class Connection(http.client.HTTPConnection):
    """A client's connection to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self.path))
        except OSError:
            self.close()
            raise


@pytest.fixture(params=[Handler, Handler11], ids=["HTTP/1.0 server", "HTTP/1.1 server"])
def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with Server(str(tmp_path / "server.sock"), request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield tmp_path / "server.sock"
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: Path, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(upstream, tmp_path) as proxy:
        yield proxy


def ask(proxy: FaultProxy, path: str = "/", method: str = "GET", body: object = None) -> bytes:
    """Ask over a connection of its own."""
    with contextlib.closing(Connection(proxy.socket)) as connection:
        connection.request(method, path, body)  # type: ignore[arg-type]
        return connection.getresponse().read()


def spoken(path: str, body: str = "") -> bytes:
    return json.dumps({"path": path, "body": body}).encode()


@pytest.mark.parametrize("path", ["/by-length", "/chunked", "/until-close"])
def test_an_answer_of_each_form_is_relayed_whole(proxy: FaultProxy, path: str) -> None:
    assert ask(proxy, path) == spoken(path)
    assert [each[1:] for each in proxy.requests] == [("GET", path)]


def test_bodies_by_length_and_in_chunks_reach_the_server(proxy: FaultProxy) -> None:
    assert ask(proxy, "/a", "POST", b"by length") == spoken("/a", "by length")
    assert ask(proxy, "/b", "POST", iter([b"in ", b"chunks"])) == spoken("/b", "in chunks")
    assert len(ask(proxy, "/c", "POST", LONG)) > len(LONG)


def test_answers_without_a_body_are_not_waited_for(proxy: FaultProxy) -> None:
    assert ask(proxy, "/empty") == b""
    assert ask(proxy, "/", "HEAD") == b""


def test_a_connection_carries_several_requests_where_both_sides_keep_it(proxy: FaultProxy) -> None:
    with contextlib.closing(Connection(proxy.socket)) as connection:
        for path in ("/1", "/2", "/3"):
            connection.request("GET", path)
            assert connection.getresponse().read() == spoken(path)
    assert [each.path for each in proxy.requests] == ["/1", "/2", "/3"]
    assert [each.number for each in proxy.requests] == [1, 2, 3]


def test_an_http_1_0_client_gets_its_answer_and_the_end(proxy: FaultProxy) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(proxy.socket))
        client.sendall(b"GET /old HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as stream:
            assert stream.read().endswith(spoken("/old"))


def test_requests_run_in_parallel(proxy: FaultProxy) -> None:
    proxy.rule(every, Delay(0.3))
    begin = time.monotonic()
    threads = [threading.Thread(target=ask, args=(proxy,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert proxy.count == 8
    assert 0.3 <= time.monotonic() - begin < 8 * 0.3


def test_refuse_closes_without_a_word(proxy: FaultProxy) -> None:
    proxy.rule(nth(2), Refuse())
    assert ask(proxy, "/1")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(proxy, "/2")
    assert ask(proxy, "/3")


def test_hang_answers_nothing_until_released(proxy: FaultProxy) -> None:
    proxy.rule(every, Hang())
    with contextlib.closing(Connection(proxy.socket)) as connection:
        connection.timeout = 0.3
        connection.request("GET", "/")
        with pytest.raises(TimeoutError):
            connection.getresponse()
    with contextlib.closing(Connection(proxy.socket)) as connection:
        connection.request("GET", "/")
        wait_until(lambda: proxy.count == 2)
        proxy.release()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()


def test_the_proxy_ends_while_requests_hang(upstream: Path, tmp_path: Path) -> None:
    with FaultProxy(upstream, tmp_path) as proxy:
        proxy.rule(every, Hang())
        connection = Connection(proxy.socket)
        connection.request("GET", "/")
        wait_until(lambda: proxy.count == 1)
    connection.close()
    assert not proxy.socket.exists()


def test_answer_says_a_status_and_json_so_many_times(proxy: FaultProxy) -> None:
    proxy.rule(on("GET", "^/containers/json$"), Answer(500, {"message": "broken"}), times=1)
    with contextlib.closing(Connection(proxy.socket)) as connection:
        connection.request("GET", "/v1.41/containers/json?all=1")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (500, {"message": "broken"})
    assert ask(proxy, "/containers/json") == spoken("/containers/json")


def test_cut_ends_the_answer_in_the_middle(proxy: FaultProxy) -> None:
    proxy.rule(every, Cut(1000))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy, "/long")
    assert 0 < len(caught.value.partial) < 1000


def test_nonsense_is_not_http_or_not_json(proxy: FaultProxy) -> None:
    proxy.rule(nth(1), NOT_HTTP)
    proxy.rule(nth(2), NOT_JSON)
    with pytest.raises(http.client.BadStatusLine):
        ask(proxy)
    assert ask(proxy) == b"<html>no</html"


def test_hooks_come_before_the_request_and_after_the_answer(proxy: FaultProxy) -> None:
    seen: list[tuple[str, int]] = []
    proxy.before(2, lambda: seen.append(("before", proxy.count)))
    proxy.after(2, lambda: seen.append(("after", proxy.count)))
    for path in ("/1", "/2", "/3"):
        ask(proxy, path)
        if path == "/2":
            wait_until(lambda: len(seen) == 2)
    assert seen == [("before", 2), ("after", 2)]


def test_a_request_can_be_dropped_and_an_answer_withheld(proxy: FaultProxy) -> None:
    proxy.before(1, lambda: None, forward=False)
    proxy.after(2, lambda: None, relay=False)
    for _ in range(2):
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(proxy)
    assert ask(proxy, "/3") == spoken("/3")


def test_a_client_killed_between_two_requests_leaves_the_proxy_working(proxy: FaultProxy) -> None:
    program = (
        "import socket, sys\n"
        "for number in range(9):\n"
        "    with socket.socket(socket.AF_UNIX) as s:\n"
        "        s.connect(sys.argv[1])\n"
        "        s.sendall(b'GET /%d HTTP/1.0\\r\\n\\r\\n' % number)\n"
        "        while s.recv(65536): pass\n"
    )
    for number in (1, 4):
        client: list[subprocess.Popen[bytes]] = []

        def kill(client: list[subprocess.Popen[bytes]] = client) -> None:
            wait_until(lambda: bool(client))
            client[0].kill()
            client[0].wait()

        proxy.reset()
        proxy.before(number, kill, forward=False)
        client.append(subprocess.Popen([sys.executable, "-I", "-c", program, str(proxy.socket)]))
        assert client[0].wait(10) == -9
        assert proxy.count == number
    proxy.reset()
    assert ask(proxy, "/on") == spoken("/on")


def test_a_server_that_is_gone_looks_like_a_refusal(tmp_path: Path) -> None:
    with (
        FaultProxy(absent_socket(tmp_path), tmp_path) as proxy,
        pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)),
    ):
        ask(proxy)


def test_sockets_that_are_absent_or_refuse(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Connection(absent_socket(tmp_path)).connect()
    with pytest.raises(ConnectionRefusedError):
        Connection(refusing_socket(tmp_path)).connect()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.01)
