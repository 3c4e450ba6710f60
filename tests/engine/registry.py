"""Image registries on 127.0.0.1: one that works, with or without a password, and some that do not.

Images are put into a registry past any engine: its interface is the one thing that a registry, an
engine and these tests have to agree on.
"""

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlencode, urlsplit

import pytest

from plancton_tick.ctl.busybox_image import find_static_busybox, image_tar

USER, PASSWORD = "pilot", "open sesame"
# Made by: htpasswd -nbB pilot 'open sesame'
HTPASSWD = "pilot:$2y$05$KV1JxeZlnG1gXU5gCJ5mfOI7SkfAj7D9I6Xi8H/6hHYgqu8egXaPi\n"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """A registry that keeps its images in ``directory``; ask for a password if ``is_locked``."""

    def __init__(self, directory: Path, *, is_locked: bool = False) -> None:
        self.directory = directory
        self.is_locked = is_locked
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / "data")}},
            "http": {"addr": self.host},
        }
        if self.is_locked:
            accounts = self.directory / "htpasswd"
            accounts.write_text(HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "pilots", "path": str(accounts)}}
        (self.directory / "config.yml").write_text(json.dumps(settings))
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [find_registry(), "serve", str(self.directory / "config.yml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                self._ask("GET", "/v2/", expected=(200, 401))
                return
            if time.monotonic() > end or self._process.poll() is not None:
                pytest.fail(f"no registry: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it; its images stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, repository: str, tag: str, mark: str = "") -> str:
        """Put an image of busybox there, its content marked, and return its digest."""
        layer = _layer(mark)
        packed = gzip.compress(layer, 1, mtime=0)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin:/usr/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        for blob in (packed, config):
            self._upload(repository, blob)
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)},
                "layers": [{"mediaType": LAYER, "size": len(packed), "digest": _digest(packed)}],
            }
        ).encode()
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, MANIFEST, expected=(201,))
        return _digest(manifest)

    def accounts(self, password: str = PASSWORD) -> dict[str, object]:
        """Return what ``docker login`` would have written for this registry."""
        word = base64.b64encode(f"{USER}:{password}".encode()).decode()
        return {"auths": {self.host: {"auth": word}}}

    def _upload(self, repository: str, blob: bytes) -> None:
        begun = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", expected=(202,))
        where = urlsplit(begun["location"])
        query = f"{where.query}&{urlencode({'digest': _digest(blob)})}"
        kind = "application/octet-stream"
        self._ask("PUT", f"{where.path}?{query}", blob, kind, expected=(201,))

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = "application/json",
        *,
        expected: tuple[int, ...],
    ) -> Mapping[str, str]:
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Content-Type": kind, "Authorization": f"Basic {word}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as answer:
                said = answer.read()
                assert answer.status in expected, (method, path, answer.status, said)
                return {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()


def find_registry() -> str:
    """Return the program, by its name on Debian or on Fedora; a missing one is a failure."""
    for name in ("docker-registry", "registry"):
        if found := shutil.which(name, path="/usr/bin:/usr/local/bin"):
            return found
    pytest.fail("no registry: install docker-registry (Debian) or docker-distribution (Fedora)")


@contextlib.contextmanager
def hanging_registry() -> Iterator[str]:
    """Give the address of a registry that takes connections and never answers."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # Wakes accept(), which close() does not.
            thread.join()
            for connection in taken:
                connection.close()


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _layer(mark: str) -> bytes:
    return image_tar(find_static_busybox(), {"etc/mark": mark or "plain"})


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
