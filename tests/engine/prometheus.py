"""A real node_exporter and a real Prometheus of a test's own, on ports of its own."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

# Debian's name, and the makers' own.
EXPORTERS = ("prometheus-node-exporter", "node_exporter")
PATIENCE_SECONDS = 30.0
SCRAPE_SECONDS = 1


class Prometheus:
    """Both, scraping what is in a folder every second; a context manager."""

    def __init__(self, directory: Path, textfiles: Path) -> None:
        self._directory = directory
        self._textfiles = textfiles
        self._running: list[subprocess.Popen[bytes]] = []
        self.exporter = f"127.0.0.1:{_free_port()}"
        self.address = f"127.0.0.1:{_free_port()}"

    def __enter__(self) -> Self:
        directory = self._directory
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
            "scrape_configs": [
                {"job_name": "node", "static_configs": [{"targets": [self.exporter]}]}
            ],
        }
        # JSON is YAML.
        (directory / "prometheus.yml").write_text(json.dumps(config))
        exporter = next(filter(None, map(shutil.which, EXPORTERS)), EXPORTERS[0])
        try:
            self._start(
                *(exporter, "--collector.disable-defaults", "--collector.textfile"),
                f"--collector.textfile.directory={self._textfiles}",
                f"--web.listen-address={self.exporter}",
            )
            self._start(
                *("prometheus", f"--config.file={directory}/prometheus.yml"),
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={self.address}",
            )
            self._wait_until_up()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self, *command: str) -> None:
        with (self._directory / f"{len(self._running)}.log").open("wb") as log:
            self._running.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            )

    def _stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def _wait_until_up(self) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            for number, process in enumerate(self._running):
                log = (self._directory / f"{number}.log").read_text()
                assert process.poll() is None, log
            try:
                if self.value('up{job="node"}') == 1:
                    return
            except (urllib.error.URLError, ConnectionError):
                pass
            assert time.monotonic() < end, "Prometheus did not come up"
            time.sleep(0.1)

    # asking

    def query(self, text: str) -> dict[frozenset[tuple[str, str]], float]:
        """Ask over the HTTP API; return the value of each series by its labels."""
        found: dict[str, Any] = self._get("query", query=text)
        assert found["data"]["resultType"] in ("vector", "scalar"), found
        return {
            frozenset(series["metric"].items()): float(series["value"][1])
            for series in found["data"]["result"]
        }

    def value(self, text: str) -> float | None:
        """Ask for one number; None where there is none."""
        values = list(self.query(text).values())
        assert len(values) < 2, values
        return values[0] if values else None

    def wait_for(self, path: Path) -> None:
        """Wait until the file as it is now has been scraped."""
        written = os.stat(path).st_mtime
        end = time.monotonic() + PATIENCE_SECONDS
        # A scrape has the time at which it began; node_exporter tells of the file in whole seconds.
        while (self.value("timestamp(node_textfile_mtime_seconds)") or 0.0) <= written:
            assert time.monotonic() < end, self.query("up")
            time.sleep(0.1)
        assert self.value("node_textfile_scrape_error") == 0
        assert self.value("node_textfile_mtime_seconds") == int(written)

    def _get(self, what: str, **query: str) -> dict[str, Any]:
        url = f"http://{self.address}/api/v1/{what}?{urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                document: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:
                    raise ConnectionError from None
                raise AssertionError(f"{query}: {error.read().decode()}") from None
        assert document["status"] == "success", document
        return document


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
