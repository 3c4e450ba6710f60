"""A stand-in for InfluxDB 2: a real HTTP server that takes only what its write API describes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.line_protocol import Point, parse


class RefusedError(Exception):
    """A request that the API does not describe, with the status and code it answers with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Request(NamedTuple):
    """What was written, where to."""

    org: str
    bucket: str
    points: tuple[Point, ...]


class Influx2:
    """A server with one organization, bucket and token; ``taken`` is what it took."""

    def __init__(self, org: str, bucket: str, token: str) -> None:
        self.taken: list[Request] = []
        known = {"org": org, "bucket": bucket, "token": token}
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                try:
                    taken.append(_take(self.path, dict(self.headers), body, known))
                except RefusedError as refused:
                    answer = {"code": refused.code, "message": str(refused)}
                    self._answer(refused.status, json.dumps(answer).encode())
                else:
                    self._answer(204, b"")

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                if content:
                    self.send_header("Content-Type", "application/json; charset=utf-8")
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _take(target: str, headers: dict[str, str], body: str, known: dict[str, str]) -> Request:
    parts = urlsplit(target)
    query = parse_qs(parts.query, strict_parsing=True)
    if parts.path != "/api/v2/write":
        raise RefusedError(404, "not found", "path not found")
    if headers.get("Authorization") != f"Token {known['token']}":
        raise RefusedError(401, "unauthorized", "unauthorized access")
    if set(query) != {"org", "bucket", "precision"} or query["precision"] != ["ns"]:
        raise RefusedError(400, "invalid", f"unexpected query {parts.query}")
    if headers.get("Content-Type") != "text/plain; charset=utf-8":
        raise RefusedError(415, "invalid", "expected line protocol in UTF-8")
    (org,), (bucket,) = query["org"], query["bucket"]
    if org != known["org"]:
        raise RefusedError(404, "not found", f'organization name "{org}" not found')
    if bucket != known["bucket"]:
        raise RefusedError(404, "not found", f'bucket "{bucket}" not found')
    try:
        points = tuple(parse(line) for line in body.split("\n"))
    except ValueError as error:
        raise RefusedError(400, "invalid", str(error)) from error
    return Request(org, bucket, points)
