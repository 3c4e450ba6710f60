"""The packages, as far as they can be judged without installing them."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton_tick import __version__

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "rpm" / "plancton.spec"
CODE = "/usr/lib/plancton"
ENDINGS = (".service", ".timer", ".path", ".slice")
SHARE = "/usr/share"


def run(*command: str | Path) -> str:
    """Run a command and return what it printed, its errors too if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all packages."""
    folder = tmp_path_factory.mktemp("packages")
    run("rpm/deb", run("rpm/build", folder).strip())
    return folder


@pytest.fixture(scope="module")
def rpm(folder: Path) -> Path:
    """Return the RPM."""
    return folder / f"plancton-{__version__}-1.noarch.rpm"


@pytest.fixture(scope="module")
def files(rpm: Path) -> set[str]:
    """Return the names of all files of the RPM, without folders."""
    lines = run("rpm", "-qp", "--qf", r"[%{FILEMODES:perms} %{FILENAMES}\n]", rpm).splitlines()
    return {line.split(" ", 1)[1] for line in lines if not line.startswith("d")}


def belonging() -> Iterator[str]:
    """Say where each file of the tree that belongs into a package is to be installed."""
    here = f"{CODE}/{__version__}-1"
    for path in (ROOT / "plancton_tick").rglob("*.py"):
        yield f"{here}/{path.relative_to(ROOT)}"
    yield f"{CODE}/current"
    for path in (ROOT / "rpm" / "bin").iterdir():
        yield f"/usr/bin/{path.name}"
    yield "/etc/plancton/config.yaml"
    for path in (ROOT / "units").iterdir():
        if path.suffix in ENDINGS:
            yield f"/usr/lib/systemd/system/{path.name}"
    for path in (ROOT / "units" / "user").iterdir():
        yield f"/usr/lib/systemd/user/{path.name}"
    yield "/usr/lib/systemd/system-preset/80-plancton.preset"
    yield "/usr/lib/systemd/user-preset/80-plancton.preset"
    yield "/usr/lib/systemd/catalog/plancton.catalog"
    yield "/usr/lib/sysusers.d/plancton.conf"
    yield "/usr/lib/tmpfiles.d/plancton.conf"
    for path in (ROOT / "docs" / "man").iterdir():
        yield f"{SHARE}/man/man{path.stem[-1]}/{path.stem}.gz"
    for name in ("plancton-tick", "plancton-pull", "plancton-metrics", "planctonctl"):
        yield f"{SHARE}/bash-completion/completions/{name}"
    yield f"{SHARE}/zsh/site-functions/_planctonctl"
    for path in (ROOT / "config" / "completion").glob("*.fish"):
        yield f"{SHARE}/fish/vendor_completions.d/{path.name}"
    for path in (ROOT / "docs").glob("*.md"):
        yield f"{SHARE}/doc/plancton/{path.name}"
    for path in (ROOT / "docs").glob("*.json"):
        yield f"{SHARE}/doc/plancton/{path.name}"
    for path in (ROOT / "config" / "examples").iterdir():
        yield f"{SHARE}/doc/plancton/examples/{path.name}"
    for name in ("README.md", "CHANGELOG.md"):
        yield f"{SHARE}/doc/plancton/{name}"
    yield f"{SHARE}/licenses/plancton/LICENSE"


def test_the_package_holds_every_file_that_belongs_and_no_other(files: set[str]) -> None:
    assert files == set(belonging())


def test_everything_the_commands_of_the_project_start_is_packaged(files: set[str]) -> None:
    text = (ROOT / "pyproject.toml").read_text().split("[project.scripts]\n")[1].split("\n\n")[0]
    for command, module, function in re.findall(r'^(\S+) = "(\S+):(\S+)"$', text, re.MULTILINE):
        assert f"/usr/bin/{command}" in files
        script = (ROOT / "rpm" / "bin" / command).read_text()
        assert script.startswith("#!/usr/bin/python3 -I\n")
        assert f"from {module} import {function} " in script
        assert f"sys.exit({function}())" in script


def test_every_document_that_units_refer_to_is_packaged() -> None:
    docs = {path.name for path in (ROOT / "docs").glob("*.md")}
    for unit in (ROOT / "units").rglob("plancton*"):
        if unit.is_file():
            named = re.findall(r"file:///usr/share/doc/plancton/(\S+)", unit.read_text())
            assert set(named) <= docs, unit.name


def test_versions_agree(rpm: Path) -> None:
    spec = SPEC.read_text()
    assert re.findall(r"^Version: +(\S+)$", spec, re.MULTILINE) == [__version__]
    assert spec.split("%changelog\n")[1].splitlines()[0].endswith(f" {__version__}-1")
    assert rpm.exists()


def test_all_belongs_to_root_and_nobody_else_may_write_it(rpm: Path) -> None:
    form = r"[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]"
    for line in run("rpm", "-qp", "--qf", form, rpm).splitlines():
        mode, user, group, name = line.split(" ", 3)
        assert (user, group) == ("root", "root"), line
        executable = name.startswith("/usr/bin/")
        assert mode in ("drwxr-xr-x", "lrwxrwxrwx", "-rwxr-xr-x" if executable else "-rw-r--r--")


def test_only_the_configuration_is_one(rpm: Path) -> None:
    assert run("rpm", "-qpc", rpm).split() == ["/etc/plancton/config.yaml"]


def test_the_link_to_the_code_is_installed_after_the_code(rpm: Path) -> None:
    """A tick that starts while packages are exchanged has the old code or the new, whole."""
    names = run("rpm", "-qpl", rpm).splitlines()
    code = [at for at, name in enumerate(names) if name.startswith(f"{CODE}/{__version__}-1/")]
    assert max(code) < names.index(f"{CODE}/current")


def test_python_packages_are_the_distributions_own(rpm: Path, folder: Path) -> None:
    wanted = set(run("rpm", "-qp", "--requires", rpm).splitlines())
    assert {
        *("python3-docker", "python3-pystemd", "python3-pyyaml", "python3-rich"),
        *("python3-systemd", "systemd", "python3 >= 3.11"),
    } <= wanted
    deb = folder / f"plancton_{__version__}_all.deb"
    depends = set(run("dpkg-deb", "-f", deb, "Depends").strip().split(", "))
    assert depends == {
        *("python3 (>= 3.11)", "python3-docker", "python3-pystemd", "python3-rich"),
        *("python3-systemd", "python3-yaml", "systemd"),
    }


def test_rpmlint_finds_no_error(rpm: Path) -> None:
    source = rpm.with_name(f"plancton-{__version__}-1.src.rpm")
    text = run("rpmlint", "-c", ROOT / "rpm" / "rpmlint.toml", rpm, source, SPEC)
    assert " 0 errors," in text, text


def test_the_debian_package_holds_the_same_files(files: set[str], folder: Path) -> None:
    deb = folder / f"plancton_{__version__}_all.deb"
    listed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, check=True
    ).stdout
    names = subprocess.run(["tar", "-t"], input=listed, stdout=subprocess.PIPE, check=True).stdout
    found = {name[1:] for name in names.decode().splitlines() if not name.endswith("/")}
    moved = {
        f"{SHARE}/zsh/site-functions/_planctonctl": f"{SHARE}/zsh/vendor-completions/_planctonctl",
        f"{SHARE}/licenses/plancton/LICENSE": f"{SHARE}/doc/plancton/copyright",
    }
    assert found == {moved.get(name, name) for name in files}


def test_what_the_source_archive_holds_is_enough_to_build_from(folder: Path) -> None:
    """Without git, without a converter for man pages, and with another version."""
    archive = folder / f"plancton-{__version__}.tar.gz"
    run("tar", "-C", folder, "-xzf", archive)
    tree = folder / f"plancton-{__version__}"
    assert (tree / "build" / "man" / "plancton.7").exists()
    again = run(tree / "rpm" / "build", folder / "again", "9.8.7").strip()
    assert run("rpm", "-qp", "--qf", "%{VERSION}", again) == "9.8.7"
    listed = run("rpm", "-qpl", again)
    assert f"{CODE}/9.8.7-1/plancton_tick/cli.py" in listed
    assert "__pycache__" not in listed
