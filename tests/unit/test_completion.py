"""Shells complete exactly the verbs and options that the programs take."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from plancton_tick.ctl.main import VERBS

FOLDER = Path(__file__).parents[2] / "config" / "completion"
MODULES = {
    "plancton-tick": "plancton_tick",
    "plancton-pull": "plancton_tick.pull",
    "plancton-metrics": "plancton_tick.metrics",
    "planctonctl": "plancton_tick.ctl.main",
}
COMMANDS = [*((command, ()) for command in MODULES), *(("planctonctl", (v,)) for v in VERBS)]

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_plancton "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# A terminal of its own, in which zsh says what it would list: each match is added by compadd, and
# when all are, the post function says so.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; stty -echo cols 200; fpath=($1 \$fpath); autoload -Uz compinit"
zpty -w shell "compinit -D -u; zstyle ':completion:*' verbose no; bindkey '^I' list-choices"
zpty -w shell '
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a hits
    builtin compadd -A hits "$@"
    print -rl -- "" "match:"${^hits}
    builtin compadd "$@"
}
finish() { print -r -- "" d"one" }
comppostfuncs=(finish)
print rea""dy'
zpty -r shell seen '*ready*'
zpty -w -n shell "$2"$'\t'
zpty -r shell seen '*done*'
print -r -- $seen
"""


@cache
def options_of(command: str, verb: tuple[str, ...]) -> frozenset[str]:
    """Ask a command for its long options."""
    words = [sys.executable, "-m", MODULES[command], *verb, "--help"]
    run = subprocess.run(words, capture_output=True, text=True, check=True)
    listed = run.stdout.split("options:\n")[1].split("\n\n")[0]
    return frozenset(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", listed, re.MULTILINE))


def in_bash(*words: str) -> set[str]:
    command = ["bash", "--norc", "-c", BASH, "bash", str(FOLDER / "planctonctl.bash"), *words]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return set(run.stdout.split("\n")) - {""}


def in_fish(*words: str) -> set[str]:
    script = f"""
        source {FOLDER / "planctonctl.fish"}; source {FOLDER / "plancton-tick.fish"}
        complete -C '{" ".join(words)}'
    """
    run = subprocess.run(["fish", "-N", "-c", script], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return {line.split("\t")[0] for line in run.stdout.splitlines()}


def in_zsh(*words: str) -> set[str]:
    command = ["zsh", "-f", "-c", ZSH, "zsh", str(FOLDER), " ".join(words)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(re.findall(r"^match:(\S+)", run.stdout, re.MULTILINE))


SHELLS = [
    pytest.param(in_bash, id="bash"),
    pytest.param(
        in_fish,
        id="fish",
        marks=pytest.mark.skipif(shutil.which("fish") is None, reason="no fish is packaged here"),
    ),
]


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", "planctonctl.bash"),
        ("zsh", "_planctonctl"),
        ("fish", "planctonctl.fish"),
        ("fish", "plancton-tick.fish"),
    ],
)
def test_the_syntax_is_right(shell: str, file: str) -> None:
    if shell == "fish" and shutil.which(shell) is None:
        pytest.skip("no fish is packaged here")
    run = subprocess.run([shell, "-n", FOLDER / file], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize(
    "before", [(), ("--config", "/x"), ("--user",)], ids=lambda words: " ".join(words) or "alone"
)
def test_verbs_are_completed(complete: object, before: tuple[str, ...]) -> None:
    assert callable(complete)
    assert complete("planctonctl", *before, "") == set(VERBS)
    assert complete("planctonctl", *before, "st") == {"start", "status", "stop"}


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize(("command", "verb"), COMMANDS, ids=lambda it: "".join(it))
def test_options_are_completed(complete: object, command: str, verb: tuple[str, ...]) -> None:
    if command in ("plancton-pull", "plancton-metrics") and complete is in_fish:
        # Nobody types it: it rides along where one file serves several commands.
        return
    assert callable(complete)
    assert complete(command, *verb, "--") == options_of(command, verb)


@pytest.mark.parametrize("complete", SHELLS)
@pytest.mark.parametrize(
    "words", [("check",), ("migrate",), ("--config",), ("plan", "--config"), ("check", "--json")]
)
def test_files_are_completed(complete: object, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("")
    assert callable(complete)
    assert complete("planctonctl", *words, f"{tmp_path}/o") == {f"{tmp_path}/one.yaml"}


@pytest.mark.parametrize("complete", SHELLS)
def test_where_a_text_is_wanted_nothing_is_completed(complete: object) -> None:
    assert callable(complete)
    assert complete("planctonctl", "drain", "--reason", "") == set()
    assert complete("planctonctl", "resume", "") == set()


def test_zsh_completes_verbs() -> None:
    assert in_zsh("planctonctl", "") == set(VERBS)


@pytest.mark.parametrize(("command", "verb"), COMMANDS, ids=lambda it: "".join(it))
def test_zsh_completes_options(command: str, verb: tuple[str, ...]) -> None:
    assert in_zsh(command, *verb, "--") == options_of(command, verb)
