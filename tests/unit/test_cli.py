"""plancton-tick's arguments and exit codes, with no engine at hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plancton_tick import __version__, cli


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration whose engine is not there."""
    path = tmp_path / "config.yaml"
    path.write_text(f"engine: {{socket: 'unix://{tmp_path}/none.sock'}}\nhost: {{sample: 100ms}}\n")
    path.chmod(0o644)
    return path


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "-m", "plancton_tick", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_version_is_told() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"plancton {__version__}\n")


def test_help_tells_the_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(code in done.stdout for code in ("69", "71", "75", "78"))


@pytest.mark.parametrize(
    "words",
    [("--json",), ("--no-such",), ("more",), ("--config",), ("--conf", "x")],
    ids=["json without dry run", "unknown option", "an argument", "no file", "abbreviation"],
)
def test_wrong_usage_ends_with_2(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "usage: plancton-tick" in done.stderr


@pytest.mark.parametrize("form", [(), ("--dry-run",), ("--dry-run", "--json")])
def test_an_absent_engine_ends_with_69_and_one_line(config: Path, form: tuple[str, ...]) -> None:
    done = run("--config", str(config), *form)
    assert done.returncode == 69
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"{config.parent}/none.sock" in line


def test_a_missing_configuration_ends_with_78_even_if_the_engine_is_absent_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    done = run("--config", str(tmp_path / "none.yaml"))
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 2
    assert str(tmp_path / "none.yaml") in done.stderr
    assert "Traceback" not in done.stderr


def test_all_faults_are_told_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    path = tmp_path / "config.yaml"
    path.write_text("host: {max_pilot: 3}\nspawn: {per_tick: many}\nreclaim: 4\n")
    path.chmod(0o644)
    done = run("--config", str(path))
    assert done.returncode == 78
    faults = [line for line in done.stderr.splitlines() if f"{path}:" in line]
    assert len(faults) == 3
    assert "did you mean max_pilots" in done.stderr


def test_the_timers_two_forms_need_no_argparse(config: Path) -> None:
    code = (
        "import sys, json; from plancton_tick.cli import main; "
        f"code = main(['--config', {str(config)!r}]); "
        "print(json.dumps([code, 'argparse' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [69, False]


def test_main_may_be_called_by_a_program(config: Path) -> None:
    assert cli.main(["--config", str(config)]) == 69
