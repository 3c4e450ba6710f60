"""The root file system of the test host: Debian with systemd, an engine and what Plancton needs.

Made by debootstrap from Debian's archive, once, and kept as a tar below .cache/host.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SUITE = os.environ.get("PLANCTON_HOST_SUITE", "bookworm")
CACHE = Path(__file__).resolve().parent.parent.parent / ".cache" / "host"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "dbus-user-session", "rpm"),
    *("docker.io", "iptables", "busybox-static"),
    *("python3", "python3-docker", "python3-pystemd", "python3-systemd", "python3-yaml"),
    *("python3-rich", "python3-prometheus-client", "docker-registry", "rootlesskit", "uidmap"),
)
# From bookworm's successor on the client is a package of its own.
MORE = {"bookworm": ()}
# Half of what debootstrap leaves is never looked at.
LEFT_OUT = (
    *("./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./usr/share/locale/*"),
    *("./usr/share/doc/*", "./usr/share/man/*", "./dev/*", "./run/*", "./tmp/*"),
)


def root_tar(suite: str = SUITE, more: tuple[str, ...] = (), form: str = "") -> Path:
    """Return the tar of the root, made now if it is not there. Raises RuntimeError.

    ``more`` packages make another ``form`` of test host, whose tar is kept beside the others.
    """
    packages = (*PACKAGES, *MORE.get(suite, ("docker-cli",)), *more)
    recipe = hashlib.sha256(repr((suite, packages, LEFT_OUT)).encode()).hexdigest()[:12]
    tar = CACHE / f"{form}{suite}-{recipe}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for outdated in CACHE.glob(f"{form}{suite}-*.tar"):
            outdated.unlink()
        _build(suite, packages, tar)
    return tar


def _build(suite: str, packages: tuple[str, ...], tar: Path) -> None:
    debootstrap = shutil.which("debootstrap", path="/usr/sbin:/sbin:/usr/bin")
    if debootstrap is None:
        raise RuntimeError("debootstrap: not found; .ci/prepare test installs it")
    with tempfile.TemporaryDirectory(prefix="plancton-root-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        log = CACHE / "debootstrap.log"
        command = [debootstrap, "--variant=minbase", f"--include={','.join(packages)}", suite]
        command.append(str(root))
        with log.open("wb") as output:
            made = subprocess.run(
                command,
                stdout=output,
                stderr=output,
                # A root that a power failure spoils is made again: no need to sync each file.
                env={**os.environ, "DPKG_FORCE": "unsafe-io"},
                check=False,
            )
        if made.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise RuntimeError(f"debootstrap of {suite} failed; {log} ends with:\n{tail}")
        fresh = tar.with_suffix(f".{os.getpid()}")
        excludes = [f"--exclude={pattern}" for pattern in LEFT_OUT]
        subprocess.run(["tar", "-C", root, *excludes, "-cf", fresh, "."], check=True)
        fresh.rename(tar)
