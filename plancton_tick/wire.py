"""One small HTTP GET on a unix socket: all that a quiet tick asks of an engine.

The Docker SDK costs a tick ten times the CPU of this. HTTP/1.0, because then the engine closes
the connection at the end and never sends chunks.
"""

import json
from socket import AF_UNIX, SOCK_STREAM, socket
from time import monotonic

from plancton_tick.errors import EngineUnavailableError, NotFoundError

UNIX_SCHEME = "unix://"
CHUNK_BYTES = 1 << 18


def get_json(socket_path: str, path: str, timeout_seconds: float) -> object:
    """Return the engine's answer to GET ``path``, decoded.

    The time-out is for the whole answer, however slowly it drips. Raises NotFoundError on 404, and
    EngineUnavailableError if the engine is absent, silent, or answers anything but 200 and JSON.
    """
    where = f"the engine at {UNIX_SCHEME}{socket_path}"
    try:
        answer = _exchange(socket_path, path, timeout_seconds)
    except FileNotFoundError:
        raise EngineUnavailableError(
            f"{where} cannot be reached: no such socket", hint="is the engine started?"
        ) from None
    except PermissionError:
        raise EngineUnavailableError(
            f"{where} cannot be reached: permission denied", hint=_who_may(socket_path)
        ) from None
    except TimeoutError:
        raise EngineUnavailableError(
            f"{where} did not answer GET {path} within {timeout_seconds:g} s"
        ) from None
    except OSError as error:
        raise EngineUnavailableError(f"{where} cannot be reached: {error.strerror}") from None
    head, separator, body = answer.partition(b"\r\n\r\n")
    status_line, _, header_lines = head.partition(b"\r\n")
    words = status_line.split(None, 2)
    if not separator or len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise EngineUnavailableError(f"{where} answered no HTTP to GET {path}: {answer[:60]!r}")
    length = _content_length(header_lines)
    if length is not None and len(body) < length:
        raise EngineUnavailableError(
            f"{where} cut its answer to GET {path}: {len(body)} of {length} bytes"
        )
    if words[1] != b"200":
        message = _message(body)
        if words[1] == b"404":
            raise NotFoundError(message)
        status = words[1].decode("ascii", "replace")
        raise EngineUnavailableError(f"{where} answered GET {path} with {status}: {message}")
    try:
        decoded: object = json.loads(body)
    except (ValueError, RecursionError):
        raise EngineUnavailableError(
            f"{where} answered GET {path} with no JSON: {body[:60]!r}"
        ) from None
    return decoded


def _who_may(socket_path: str) -> str:
    """Say what somebody without rights on the socket can do about it."""
    import grp
    import os

    try:
        found = os.stat(socket_path)
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return "run it as root, with sudo"
    if not found.st_mode & 0o020 or group == "root":
        return "run it as root, with sudo"
    return (
        f"run it as root, with sudo, or join group {group} (sudo usermod -aG {group} $USER) "
        "and log in again"
    )


def _exchange(socket_path: str, path: str, timeout_seconds: float) -> bytes:
    deadline = monotonic() + timeout_seconds
    with socket(AF_UNIX, SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(socket_path)
        request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        chunks = []
        while chunk := connection.recv(CHUNK_BYTES):
            chunks.append(chunk)
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
    return b"".join(chunks)


def _content_length(header_lines: bytes) -> int | None:
    for line in header_lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None


def _message(body: bytes) -> str:
    try:
        answer = json.loads(body)
        return str(answer["message"]).strip().partition("\n")[0]
    except (ValueError, RecursionError, LookupError, TypeError):
        return body[:80].decode("utf-8", "replace").strip().partition("\n")[0]
