"""Ask an engine over plain HTTP, and find the engines of this host.

For what comes before a tick has an engine to talk to: is there one, and does it have an image.
"""

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from plancton_tick.errors import EngineRefusedError, EngineUnavailableError


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


def request(
    url: str, method: str, path: str, body: bytes = b"", *, timeout_seconds: float = 60.0
) -> bytes:
    """Send one request to the engine at ``url`` (unix:// or tcp://), return the answer's body.

    Raises EngineUnavailableError if the engine does not answer, EngineRefusedError if it answers
    with an error.
    """
    connection = _connection(url, timeout_seconds)
    try:
        # The type is left out of empty bodies: engines refuse a start request that has one.
        headers = {"Content-Type": "application/x-tar"} if body else {}
        # An engine may refuse, and close, before it has read a long body: the answer is there.
        with contextlib.suppress(BrokenPipeError):
            connection.request(method, path, body=body or None, headers=headers)
        with connection.getresponse() as answer:
            status, text = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        what = str(error) or type(error).__name__
        raise EngineUnavailableError(f"engine {url}: {method} {path}: {what}") from error
    finally:
        connection.close()
    if status >= 400:
        raise EngineRefusedError(f"engine {url}: {method} {path}: {status} {_message(text)}")
    return text


def is_answering(url: str, *, timeout_seconds: float = 2.0) -> bool:
    """Say whether an engine answers at this address."""
    try:
        request(url, "GET", "/_ping", timeout_seconds=timeout_seconds)
    except (EngineUnavailableError, EngineRefusedError):
        return False
    return True


def find_engine() -> str | None:
    """Return the address of an engine that answers, or None.

    $DOCKER_HOST alone counts where it is set: who names an engine does not want another one.
    Else the first that answers of the host's Docker and Podman, then the user's own.
    """
    for url in _candidates():
        if is_answering(url):
            return url
    return None


def _candidates() -> Iterator[str]:
    named = os.environ.get("DOCKER_HOST")
    if named:
        yield named
        return
    users = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    for folder in ("/run", users):
        for name in ("docker.sock", "podman/podman.sock"):
            yield f"unix://{folder}/{name}"


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        return UnixConnection(parts.path, timeout)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme in ("tcp", "http") and parts.hostname and port:
        return http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    raise EngineUnavailableError(
        f"engine {url}: expected unix:///path/of/socket or tcp://host:port"
    )


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return text[:200].decode(errors="replace").strip()
