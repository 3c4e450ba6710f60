"""The tests' end of the serial port to the agent in the virtual machine."""

import base64
import json
import select
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

# The agent keeps the time of what it runs; this is for its answer to arrive.
LEEWAY_SECONDS = 120.0


class Answer(NamedTuple):
    """``code`` is a command's exit code or the engine's HTTP status."""

    code: int
    out: bytes
    err: str


class Channel:
    """A line of JSON for each request and each answer, in order (guest/agent.py)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._buffer = b""
        self._number = 0
        self.boot = ""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, seconds: float = 60.0, **request: object) -> Answer:
        """Send a request and return its answer. Raises TimeoutError, ConnectionError."""
        number = self.tell(seconds=seconds, **request)
        end = time.monotonic() + seconds + LEEWAY_SECONDS
        while (message := self._receive(end)).get("id") != number:
            pass
        return Answer(message["code"], base64.b64decode(message["out"]), message["err"])

    def tell(self, **request: object) -> int:
        """Send a request whose answer nobody waits for, and return its number."""
        self._number += 1
        self._socket.sendall(json.dumps({"id": self._number, **request}).encode() + b"\n")
        return self._number

    def wait_for_boot(self, seconds: float) -> None:
        """Wait until an agent says that it has started, in another boot than the last."""
        end = time.monotonic() + seconds
        last = self.boot
        while self.boot == last:
            self._receive(end)

    def _receive(self, end: float) -> dict[str, Any]:
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if not found:
                ready, _, _ = select.select(
                    [self._socket], [], [], max(0.0, end - time.monotonic())
                )
                if not ready:
                    raise TimeoutError("the virtual machine does not answer")
                received = self._socket.recv(65536)
                if not received:
                    raise ConnectionError("the virtual machine has gone")
                self._buffer += received
                continue
            self._buffer = rest
            try:
                message: dict[str, Any] = json.loads(line)
            except ValueError:
                continue  # The rest of what a boot was saying when it ended.
            self.boot = message.get("boot", self.boot)
            return message
