"""A proxy between an engine and its client that breaks things as a test says.

Requests are numbered from 1 in the order in which they arrive, over all connections::

    with FaultProxy(engine_socket, tmp_path) as proxy:
        proxy.rule(on("POST", r"/start$"), Answer(500, {"message": "no"}), times=1)
        proxy.before(3, tick.kill, forward=False)
        ...
        assert proxy.requests[0].path == "/containers/json"

The first rule that matches and is not used up says what happens to a request; without one it is
forwarded on a connection of its own, and the answer relayed as it comes.
"""

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.engine.faults import Answer, Cut, Delay, Fault, Hang, Match, Raw, Refuse, Request
from tests.engine.http_frames import Head, Stream, body_pieces, read_head


class _Rule:
    def __init__(self, match: Match, fault: Fault, times: int | None) -> None:
        self.match = match
        self.fault = fault
        self.left = times


class _Hook(NamedTuple):
    number: int
    callback: Callable[[], object]
    forward: bool


class FaultProxy:
    """A proxy in ``directory`` for the engine that listens on ``upstream``."""

    def __init__(self, upstream: Path, directory: Path) -> None:
        self.upstream = upstream
        self.socket = directory / "proxy.sock"
        self.url = f"unix://{self.socket}"
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._requests: list[Request] = []
        self._rules: list[_Rule] = []
        self._before: list[_Hook] = []
        self._after: list[_Hook] = []
        self._threads: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.socket))
        listener.listen(128)
        self._listener = listener
        self._start_thread(self._accept, listener)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)  # Wakes accept(), which close() does not.
        self._threads[0].join()
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection of the proxy does not end"
        self.socket.unlink()

    @property
    def requests(self) -> list[Request]:
        """All requests since the start, or since ``reset()``."""
        with self._lock:
            return list(self._requests)

    @property
    def count(self) -> int:
        """How many requests there were."""
        return len(self.requests)

    def rule(self, match: Match, fault: Fault, *, times: int | None = None) -> None:
        """Let requests that match meet this fault, only the first ``times`` of them if given."""
        with self._lock:
            self._rules.append(_Rule(match, fault, times))

    def before(self, number: int, callback: Callable[[], object], *, forward: bool = True) -> None:
        """Call this when request ``number`` has arrived; drop the request unless ``forward``."""
        with self._lock:
            self._before.append(_Hook(number, callback, forward))

    def after(self, number: int, callback: Callable[[], object], *, relay: bool = True) -> None:
        """Call this when request ``number`` was answered and the answer relayed.

        Without ``relay`` the engine's answer is withheld: the engine has done it, and the client
        never learns. The callback then comes before the connection is closed.
        """
        with self._lock:
            self._after.append(_Hook(number, callback, relay))

    def reset(self) -> None:
        """Forget all requests, rules and hooks: the next request is number 1. Release the hung."""
        with self._lock:
            self._requests.clear()
            self._rules.clear()
            self._before.clear()
            self._after.clear()
        self.release()

    def release(self) -> None:
        """Close the connections of the requests that hang."""
        self._released.set()
        self._released = threading.Event()

    def wait_until_idle(self, patience_seconds: float = 30.0) -> None:
        """Wait until all clients are gone and the engine has done all they asked before."""
        end = time.monotonic() + patience_seconds
        while self._connections:
            assert time.monotonic() < end, "a connection of the proxy does not end"
            time.sleep(0.01)

    def _start_thread(
        self, target: Callable[[socket.socket], None], argument: socket.socket
    ) -> None:
        thread = threading.Thread(target=target, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(client)
            self._start_thread(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Serve requests of one connection until it is closed or a fault closes it."""
        # The client may die at any moment: that is what many tests are about.
        with client, contextlib.suppress(OSError, EOFError):
            stream = Stream(client)
            while (head := read_head(stream)) and self._handle(stream, head):
                pass
        with self._lock:
            self._connections.discard(client)

    def _handle(self, client: Stream, head: Head) -> bool:
        """Handle one request, and say whether the connection can carry another."""
        method, path, _ = head.first.split(" ", 2)
        body = b"".join(body_pieces(client, head, until_close=False))
        with self._lock:
            request = Request(len(self._requests) + 1, method, path)
            self._requests.append(request)
            fault = self._fault_for(request)
            before = [hook for hook in self._before if hook.number == request.number]
            after = [hook for hook in self._after if hook.number == request.number]
        for hook in before:
            hook.callback()
        if not all(hook.forward for hook in before):
            return False
        limit: int | None = None
        match fault:
            case Refuse():
                return False
            case Hang():
                self._wait_for_release(client)
                return False
            case Answer(status, value):
                client.send(_answer(status, value, method))
                keep = head.keeps_alive
            case Raw(content):
                client.send(content)
                keep = False
            case Cut(after_bytes):
                limit = after_bytes
            case Delay(seconds):
                time.sleep(seconds)
        if fault is None or isinstance(fault, Cut | Delay):
            relay = all(hook.forward for hook in after)
            keep = self._forward(client, head, body, limit if relay else 0) and relay
        for hook in after:
            hook.callback()
        return keep

    def _fault_for(self, request: Request) -> Fault | None:
        for rule in self._rules:
            if rule.left != 0 and rule.match(request):
                if rule.left is not None:
                    rule.left -= 1
                return rule.fault
        return None

    def _wait_for_release(self, client: Stream) -> None:
        released = self._released
        while not released.wait(0.05) and client.is_open():
            pass

    def _forward(self, client: Stream, head: Head, body: bytes, limit: int | None) -> bool:
        """Forward a request and relay its answer, or only its first ``limit`` bytes.

        A client that went away keeps the engine from nothing: its answer is read to the end.
        """
        method = head.first.partition(" ")[0]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.upstream))
            with self._lock:
                self._connections.add(connection)
            try:
                upstream = Stream(connection)
                upstream.send(head.raw + body)
                answer = read_head(upstream)
                while answer is not None and answer.status == 100:
                    answer = read_head(upstream)
                if answer is None:
                    return False
                has_body = method != "HEAD" and answer.status not in (204, 304)
                pieces = body_pieces(upstream, answer, until_close=True) if has_body else iter(())
                sent = 0
                for piece in itertools.chain([answer.raw], pieces):
                    part = piece if limit is None else piece[: max(0, limit - sent)]
                    sent += len(piece)
                    with contextlib.suppress(OSError):
                        client.send(part)
                ends_itself = not has_body or answer.has_length
                return limit is None and ends_itself and head.keeps_alive and answer.keeps_alive
            finally:
                with self._lock:
                    self._connections.discard(connection)


def _answer(status: int, value: object, method: str) -> bytes:
    body = b"" if value is None else json.dumps(value).encode()
    head = (
        f"HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
