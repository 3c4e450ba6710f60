"""Where HTTP/1.x messages begin and end, kept byte for byte."""

import select
import socket
from collections.abc import Iterator
from typing import NamedTuple


class Stream:
    """A socket read by line, by length, or as it comes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def send(self, content: bytes) -> None:
        """Send all of it."""
        self._connection.sendall(content)

    def line(self) -> bytes:
        """Read a line with its end; what there is, perhaps nothing, if the stream ends first."""
        while b"\n" not in self._buffer:
            piece = self._connection.recv(65536)
            if not piece:
                break
            self._buffer += piece
        end = self._buffer.find(b"\n") + 1 or len(self._buffer)
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        return line

    def some(self, most: int) -> bytes:
        """Read what has come, at most so many bytes; nothing only at the end of the stream."""
        if not self._buffer:
            self._buffer = self._connection.recv(min(most, 65536))
        piece, self._buffer = self._buffer[:most], self._buffer[most:]
        return piece

    def is_open(self) -> bool:
        """Say whether the other side is still there, as far as can be told without reading."""
        readable, _, _ = select.select([self._connection], [], [], 0)
        return not readable or self._connection.recv(1, socket.MSG_PEEK) != b""


class Head(NamedTuple):
    """The first line and the header lines of a message; ``raw`` is both as they came."""

    raw: bytes
    first: str
    headers: dict[str, str]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first.split(" ")[1])

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def has_length(self) -> bool:
        """Whether the body says itself where it ends."""
        return self.is_chunked or "content-length" in self.headers

    @property
    def keeps_alive(self) -> bool:
        """Whether another message may follow on the same connection."""
        said = self.headers.get("connection", "").lower()
        return said == "keep-alive" or ("HTTP/1.0" not in self.first and said != "close")


def read_head(stream: Stream) -> Head | None:
    """Read the head of a message; None if the stream ends before it. Raises EOFError within it."""
    lines = [stream.line()]
    if not lines[0]:
        return None
    while lines[-1].strip():
        lines.append(stream.line())
        if not lines[-1]:
            raise EOFError("the stream ends in the middle of a head")
    headers = {}
    for line in lines[1:-1]:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(b"".join(lines), lines[0].decode("latin-1").strip(), headers)


def body_pieces(stream: Stream, head: Head, *, until_close: bool) -> Iterator[bytes]:
    """Yield the body as it comes, with the frames of its chunks.

    A body without a length is empty, or goes on until the stream is closed. Raises EOFError if the
    stream ends before the body does.
    """
    if head.is_chunked:
        size = None
        while size != 0:
            line = stream.line()
            if not line:
                raise EOFError("the stream ends in the middle of a body")
            size = int(line.partition(b";")[0], 16)
            yield line
            yield from _exactly(stream, size)
            yield stream.line()
    elif "content-length" in head.headers:
        yield from _exactly(stream, int(head.headers["content-length"]))
    elif until_close:
        while piece := stream.some(65536):
            yield piece


def _exactly(stream: Stream, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = stream.some(size)
        if not piece:
            raise EOFError("the stream ends in the middle of a body")
        size -= len(piece)
        yield piece
