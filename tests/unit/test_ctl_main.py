"""planctonctl's words: verbs, what may stand before and after them, help, errors."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from plancton_tick.cli import DEFAULT_CONFIG
from plancton_tick.ctl import main as ctl
from plancton_tick.errors import ConfigError, EngineUnavailableError


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "-m", "plancton_tick.ctl.main", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """Put a verb there that only remembers its options."""
    options: list[argparse.Namespace] = []
    module = ModuleType("a_verb")
    module.HELP, module.EXAMPLES = "Does nothing.", "planctonctl plan"  # type: ignore[attr-defined]
    module.add_arguments = lambda parser: parser.add_argument("--json", action="store_true")  # type: ignore[attr-defined]

    def remember(given: argparse.Namespace) -> int:
        options.append(given)
        return 5

    module.run = remember  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_verb", module)
    monkeypatch.setitem(ctl.VERBS, "plan", ctl.Verb("a_verb", "nothing"))
    return options


@pytest.mark.parametrize(
    ("words", "config", "user"),
    [
        (("plan",), DEFAULT_CONFIG, False),
        (("--config", "a", "plan"), "a", False),
        (("plan", "--config", "a"), "a", False),
        (("--config=a", "plan"), "a", False),
        (("--user", "--config", "a", "plan"), "a", True),
        (("--config", "a", "plan", "--user"), "a", True),
        (("--config", "a", "plan", "--config", "b"), "b", False),
    ],
)
def test_common_options_stand_before_or_after_the_verb(
    seen: list[argparse.Namespace], words: tuple[str, ...], config: str, user: bool
) -> None:
    assert ctl.main(words) == 5
    (options,) = seen
    assert (options.config, options.user) == (config, user)


@pytest.mark.parametrize("verb", [verb for verb in ctl.VERBS if verb != "demo"])
def test_every_verb_teaches_by_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl.main([verb, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: planctonctl {verb}" in told
    assert "examples:\n  " in told
    assert "exit codes:" in told
    assert all(len(line) <= 80 for line in told.splitlines()), told


def test_without_a_verb_all_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main([]) == 0
    told = capsys.readouterr().out
    assert all(f"  {verb} " in told for verb in ctl.VERBS)
    assert all(len(line) <= 80 for line in told.splitlines()), told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("staus",), "did you mean status?"),
        (("xyz",), "there is no verb 'xyz'"),
        (("--json", "status"), "unrecognized arguments: --json"),
        (("status", "--no-such"), "unrecognized arguments: --no-such"),
        (("status", "--watch", "0"), "expected 0.1 to 86400 seconds"),
        (("drain", "now"), "unrecognized arguments: now"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        ctl.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_error_says_what_happened_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    seen: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(options: argparse.Namespace) -> int:
        error = EngineUnavailableError("no engine", hint="start it")
        raise error

    monkeypatch.setattr(sys.modules["a_verb"], "run", fail)
    assert ctl.main(["plan"]) == 69
    assert capsys.readouterr().err == "planctonctl: no engine\nplanctonctl: start it\n"


def test_faults_of_the_configuration_are_said_once(
    monkeypatch: pytest.MonkeyPatch,
    seen: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(options: argparse.Namespace) -> int:
        raise ConfigError(("a: bad", "b: bad"))

    monkeypatch.setattr(sys.modules["a_verb"], "run", fail)
    assert ctl.main(["plan"]) == 78
    assert capsys.readouterr().err == "planctonctl: a: bad\nplanctonctl: b: bad\n"


def test_only_the_verb_asked_for_is_imported(tmp_path: Path) -> None:
    script = (
        "import json, sys; from plancton_tick.ctl.main import main\n"
        f"main(['--config', '{tmp_path}/none', 'status', '--json'])\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"DOCKER_HOST": f"unix://{tmp_path}/none"},
    )
    loaded = set(json.loads(done.stdout.rpartition("\n\n")[2]))
    assert "plancton_tick.ctl.status" in loaded
    assert not {"rich", "docker", "plancton_tick.ctl.drain", "plancton_tick.ctl.check"} & loaded


def test_a_tick_imports_nothing_of_the_command(tmp_path: Path) -> None:
    script = (
        "import json, sys; from plancton_tick.cli import main; import plancton_tick.act\n"
        "import plancton_tick.report\n"
        f"main(['--config', '{tmp_path}/none'])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={}
    )
    loaded = set(json.loads(done.stdout))
    assert not {"rich", "pystemd", "plancton_tick.manager", "plancton_tick.ctl"} & loaded


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    # More than a pipe holds, so that writing fails for certain.
    command = (
        f'{sys.executable} -c "import sys; from plancton_tick.ctl import main as m; '
        "m.print_all = 1; m.importlib.import_module = lambda name: type('V', (), "
        "{'main': staticmethod(lambda words: print('x' * 9999999) or 0)}); "
        "sys.exit(m.main(['plan']))\" | head -c 5"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("xxxxx", "")


def test_the_version_is_told() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "plancton")
