"""What a proxy can do to a request, and which requests it does it to."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Request(NamedTuple):
    """A request as it arrived: its number, method, and path with query."""

    number: int
    method: str
    path: str


class Refuse(NamedTuple):
    """Close the connection without a word."""


class Hang(NamedTuple):
    """Never answer, and do not forward, until the proxy's ``release()`` or its end."""


class Answer(NamedTuple):
    """Answer this instead, as JSON; the engine does not get the request."""

    status: int
    body: object = None


class Raw(NamedTuple):
    """Send these bytes instead and close; the engine does not get the request."""

    content: bytes


class Cut(NamedTuple):
    """Forward the request, relay so many bytes of the answer, and close."""

    after_bytes: int


class Delay(NamedTuple):
    """Wait, then forward as usual."""

    seconds: float


Fault = Refuse | Hang | Answer | Raw | Cut | Delay
Match = Callable[[Request], bool]

NOT_HTTP = Raw(b"\x16\x03\x01 what is this\n\n")
NOT_JSON = Raw(
    b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n<html>no</html"
)


def every(request: Request) -> bool:
    """Match every request."""
    return True


def nth(number: int) -> Match:
    """Match the request of this number."""
    return lambda request: request.number == number


def on(method: str, pattern: str = "") -> Match:
    """Match requests of this method whose path without version and query has this pattern."""

    def matches(request: Request) -> bool:
        path = re.sub(r"^/v[0-9.]+(?=/)", "", request.path.partition("?")[0])
        return request.method == method and re.search(pattern, path) is not None

    return matches


def absent_socket(directory: Path) -> Path:
    """Return the path of a socket that does not exist."""
    return directory / "absent.sock"


def refusing_socket(directory: Path) -> Path:
    """Return the path of a socket on which nobody listens."""
    path = directory / "refusing.sock"
    with socket.socket(socket.AF_UNIX) as unheard:
        unheard.bind(str(path))
    return path
