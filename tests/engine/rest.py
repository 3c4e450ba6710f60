"""Ask an engine over its unix socket, independent of the code under test."""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode


class RestError(Exception):
    """The engine refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, socket_path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._socket_path))


class Rest:
    """The engine's REST interface: ``rest.get("/containers/json", all=1)``.

    Keyword arguments are the query; mappings and lists in it are sent as JSON. The answer is what
    the engine's JSON says, None where it says nothing, text where it is no JSON. Raises RestError
    where the engine refuses.
    """

    def __init__(self, socket_path: Path, timeout: float = 60.0) -> None:
        self.socket = socket_path
        self.timeout = timeout

    def get(self, path: str, **query: object) -> Any:
        """GET."""
        return self._ask("GET", path, None, query)

    def post(self, path: str, body: object = None, **query: object) -> Any:
        """POST, with a body of JSON unless it is None."""
        return self._ask("POST", path, body, query)

    def delete(self, path: str, **query: object) -> Any:
        """DELETE."""
        return self._ask("DELETE", path, None, query)

    def run(self, image: str, name: str, command: list[str], **settings: object) -> str:
        """Create and start a container, return its id. ``settings`` are those of its creation."""
        body = {"Image": image, "Cmd": command, **settings}
        container_id: str = self.post("/containers/create", body, name=name)["Id"]
        self.post(f"/containers/{container_id}/start")
        return container_id

    def pause(self, container: str) -> None:
        """Pause a container, as often as it takes on a machine too busy to freeze it in time."""
        end = time.monotonic() + 30
        while True:
            try:
                self.post(f"/containers/{container}/pause")
            except RestError as error:
                if "unable to freeze" not in str(error) or time.monotonic() > end:
                    raise
            else:
                return

    def _ask(self, method: str, path: str, body: object, query: dict[str, object]) -> Any:
        if query:
            sent = {
                key: json.dumps(value) if isinstance(value, dict | list) else str(value)
                for key, value in query.items()
            }
            path = f"{path}?{urlencode(sent)}"
        connection = _UnixConnection(self.socket, self.timeout)
        try:
            if body is None:
                connection.request(method, path)
            else:
                headers = {"Content-Type": "application/json"}
                connection.request(method, path, json.dumps(body), headers)
            with connection.getresponse() as answer:
                status, text = answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()
        try:
            value = json.loads(text) if text else None
        except ValueError:
            value = text
        if status >= 400:
            message = value["message"] if isinstance(value, dict) else text
            raise RestError(status, str(message))
        return value
