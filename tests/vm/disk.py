"""The virtual machine's disk and kernel: Debian 13, made once, kept below .cache/host."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.host.root import CACHE, root_tar

SUITE = "trixie"
# The cloud kernel has NVMe and ext4 built in: it mounts its root without an initial RAM disk.
PACKAGES = ("linux-image-cloud-amd64", "udev", "kmod", "systemd-oomd")
GUEST = Path(__file__).resolve().parent / "guest"
SIZE = "4G"
_SERVICE = """\
[Unit]
Description=The tests' {name}

[Service]
ExecStart=/usr/bin/python3 -I /usr/local/lib/{name}.py
OOMScoreAdjust=-1000

[Install]
WantedBy=multi-user.target
"""
_FILES = {
    # Without one the first boot would be one, and preset every unit.
    "etc/machine-id": "8a4c1f0e5d0b4c3f9b1e6f5a7c2d3e41\n",
    "etc/hostname": "host\n",
    "etc/hosts": "127.0.0.1 localhost host\n",
    "etc/fstab": "",
    # What the cloud kernel has no module for would fail to load; the rest is loaded on demand.
    "etc/docker/daemon.json": '{"bridge": "none", "iptables": false, "ip6tables": false}\n',
    # Newer than /usr, so that no boot updates it.
    "etc/.updated": "",
    "var/.updated": "",
}
_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "var/log/journal", "usr/local/lib")
_AGENTS = ("agent", "watch_ticks")
# What would make a load of its own: a quiet machine is one where only Plancton and the tests run.
_MASKED = (
    *("getty@.service", "serial-getty@.service", "console-getty.service", "modprobe@.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("dpkg-db-backup.timer", "logrotate.timer", "man-db.timer", "systemd-tmpfiles-clean.timer"),
    *("docker-registry.service", "systemd-timesyncd.service", "systemd-pcrlock.socket"),
)


class Disk(NamedTuple):
    """What the machine is started with; nothing of it is changed by a run."""

    kernel: Path
    image: Path


def make_disk() -> Disk:
    """Return the disk, made now if it is not there. Raises RuntimeError."""
    tar = root_tar(SUITE, PACKAGES, "vm-")
    programs = {f"usr/local/lib/{name}.py": (GUEST / f"{name}.py").read_text() for name in _AGENTS}
    services = {
        f"etc/systemd/system/{name}.service": _SERVICE.format(name=name) for name in _AGENTS
    }
    files = {**_FILES, **programs, **services}
    recipe = repr((tar.name, sorted(files.items()), _FOLDERS, _MASKED, SIZE))
    stem = f"vm-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    disk = Disk(CACHE / f"{stem}.vmlinuz", CACHE / f"{stem}.ext4")
    if not disk.image.exists():
        for outdated in (*CACHE.glob("vm-*.ext4"), *CACHE.glob("vm-*.vmlinuz")):
            outdated.unlink()
        _build(tar, files, disk)
    return disk


def _build(tar: Path, files: dict[str, str], disk: Disk) -> None:
    with tempfile.TemporaryDirectory(prefix="plancton-vm-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        _run("tar", "-C", root, "--numeric-owner", "-xpf", tar)
        kernels = sorted((root / "boot").glob("vmlinuz-*"))
        if not kernels:
            raise RuntimeError(f"{tar}: expected a kernel in /boot, found none")
        disk.kernel.write_bytes(kernels[-1].read_bytes())
        for each in (root / "boot").glob("initrd*"):
            each.unlink()
        for name in _FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(text)
        units = root / "etc/systemd/system"
        wants = units / "multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        for name in _AGENTS:
            (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
        for name in _MASKED:
            (units / name).unlink(missing_ok=True)
            (units / name).symlink_to("/dev/null")
        fresh = disk.image.with_suffix(f".{os.getpid()}")
        _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, fresh, SIZE)
        fresh.rename(disk.image)


def _run(*command: str | Path) -> None:
    path = "/usr/sbin:/sbin:/usr/bin:/bin"
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
