"""A registry on the test host, with an image that it got before it came there.

Images lie in a registry's folder under their own names, not under the registry's: one on this
machine has taken the image, and one on the host gives it.
"""

import io
import json
import tarfile
import tempfile
from pathlib import Path

from tests.engine.registry import Registry
from tests.host.machine import Host

FOLDER = "/srv/registry"
ADDRESS = "127.0.0.1:5001"
IMAGE = f"{ADDRESS}/pilot:1"
SETTINGS = {
    "version": "0.1",
    "log": {"level": "error"},
    "storage": {"filesystem": {"rootdirectory": f"{FOLDER}/data"}},
    "http": {"addr": ADDRESS},
}


def fill_registry(host: Host) -> str:
    """Put the registry's folder onto the host, with IMAGE in it, and return its digest."""
    with tempfile.TemporaryDirectory(prefix="plancton-registry-") as folder:
        with Registry(Path(folder)) as registry:
            digest = registry.push("pilot", "1")
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as files:
            files.add(Path(folder) / "data", "data")
    host.write(f"{FOLDER}/config.yml", json.dumps(SETTINGS))
    host.put(FOLDER, tar.getvalue())
    return digest


def start_registry(host: Host) -> None:
    """Start it, and wait until it answers."""
    host.run(
        f"systemd-run --quiet --unit=registry docker-registry serve {FOLDER}/config.yml; "
        f"until busybox wget -q -O - http://{ADDRESS}/v2/; do sleep 0.1; done"
    )


def stop_registry(host: Host) -> None:
    """Stop it, if it runs."""
    host.run("systemctl stop registry 2>/dev/null", check=False)
