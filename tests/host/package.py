"""Build packages of this working copy, and hand them to the test host."""

import subprocess
import tarfile
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.host.machine import Host

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = "/root/packages"
OTHER_CONFIG = "\n# Of another version.\n"


# Removed when the tests end.
_WORK = TemporaryDirectory(prefix="plancton-packages-")


def work_folder() -> Path:
    """Return a new folder for one build."""
    return Path(mkdtemp(dir=_WORK.name))


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command of the build and return what it printed; AssertionError if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stderr[-2000:]}"
    return done.stdout.strip()


@cache
def build_rpm() -> Path:
    """Return the RPM of this working copy."""
    return Path(run("rpm/build", work_folder()))


@cache
def build_other_rpm(version: str) -> Path:
    """Return an RPM of this working copy as if it were of another version.

    It is built from an unpacked source archive, and its default configuration is another.
    """
    work = work_folder()
    archive = run("rpm/archive", work)
    run("tar", "-xzf", archive, cwd=work)
    tree = Path(archive.removesuffix(".tar.gz"))
    with (tree / "config/config.yaml").open("a") as config:
        config.write(OTHER_CONFIG)
    return Path(run("rpm/build", work / "dist", version, cwd=tree))


@cache
def build_deb(rpm: Path) -> Path:
    """Return the Debian package of the same files."""
    return Path(run("rpm/deb", rpm))


def build_named_rpm(name: str, version: str) -> Path:
    """Return an RPM of nothing but a name and a version."""
    work = work_folder()
    spec = work / "empty.spec"
    spec.write_text(
        f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: Empty\nLicense: None\n"
        "BuildArch: noarch\n%description\nEmpty.\n%files\n"
    )
    run("rpmbuild", "-bb", "--define", f"_topdir {work}", spec)
    return work / "RPMS" / "noarch" / f"{name}-{version}-1.noarch.rpm"


def put_package(host: "Host", package: Path) -> str:
    """Copy a package onto the host and return its path there."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(package, package.name)
    host.run(f"mkdir -p {FOLDER}")
    host.put(FOLDER, buffer.getvalue())
    return f"{FOLDER}/{package.name}"


def install_rpm(host: "Host", package: Path, how: str = "-U --oldpackage") -> None:
    """Install an RPM; what it needs came from the host's own packages, which rpm cannot see."""
    host.run(f"rpm {how} --nodeps {put_package(host, package)}")
