"""A real InfluxDB 1 of the tests' own, on free ports of this machine alone."""

import base64
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

PATIENCE_SECONDS = 60.0
CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = {auth}
  log-enabled = false
  https-enabled = {https}
  https-certificate = "{folder}/certificate.pem"
  https-private-key = "{folder}/certificate.pem"
"""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Influxd:
    """A server with its data in a folder. It can be stopped and started again, on the same port."""

    def __init__(self, folder: Path, *, https: bool = False, auth: bool = False) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        self.scheme = "https" if https else "http"
        self.admin: tuple[str, str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if https:
            self._make_certificate()
        content = CONFIG.format(
            folder=folder,
            rpc=free_port(),
            port=self.port,
            auth=str(auth).lower(),
            https=str(https).lower(),
        )
        (folder / "influxdb.conf").write_text(content)
        self.start()

    def url(self, database: str, credentials: str = "") -> str:
        """Return what stands in the configuration."""
        return f"{self.scheme}://{credentials}localhost:{self.port}#{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["influxd", "-config", str(self.folder / "influxdb.conf")]
        with (self.folder / "log").open("ab") as log:
            try:
                self._process = subprocess.Popen(command, stdout=log, stderr=log)
            except FileNotFoundError:
                pytest.fail("no influxd here: apt-get install influxdb", pytrace=False)
        end = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "influxd does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; its data stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def query(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Run a statement past the code under test and return its series, as InfluxDB has them."""
        body = urlencode({"q": statement, "db": database}).encode()
        request = urllib.request.Request(f"{self.scheme}://localhost:{self.port}/query", body)
        if self.admin is not None:
            both = base64.b64encode(":".join(self.admin).encode()).decode()
            request.add_header("Authorization", f"Basic {both}")
        with urllib.request.urlopen(request, timeout=30, context=self._context()) as response:
            (result,) = json.load(response)["results"]
        assert "error" not in result, (statement, result)
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def rows(self, statement: str, database: str) -> list[dict[str, Any]]:
        """Return the rows of a SELECT, with the tags they are grouped by."""
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
            for series in self.query(statement, database)
            for values in series["values"]
        ]

    def _answers(self) -> bool:
        try:
            url = f"{self.scheme}://localhost:{self.port}/ping"
            with urllib.request.urlopen(url, timeout=5, context=self._context()):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def _context(self) -> ssl.SSLContext | None:
        if self.scheme == "http":
            return None
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    def _make_certificate(self) -> None:
        path = str(self.folder / "certificate.pem")
        arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        command = ["openssl", *arguments.split(), *names, "-keyout", path, "-out", f"{path}.crt"]
        subprocess.run(command, check=True, capture_output=True)
        both = Path(f"{path}.crt").read_text() + Path(path).read_text()
        Path(path).write_text(both)
