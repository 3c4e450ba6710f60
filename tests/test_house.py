"""The rules that keep the package as it is, enforced on its sources."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "plancton_tick"
MODULES = sorted(PACKAGE.rglob("*.py"))
THIRD_PARTY = {"yaml", "docker", "systemd", "pystemd", "rich", "matplotlib", "prometheus_client"}
PURE = (
    "decide",
    "spawning",
    "pulling",
    "room",
    "outcome",
    "expression",
    "model",
    "labels",
    "ledger_json",
)
# What these would let a pure module read: the clock, files, sockets, the environment, chance.
IMPURE_IMPORTS = {
    *("os", "io", "time", "datetime", "random", "secrets", "socket", "pathlib", "subprocess"),
    *("sys", "tempfile", "uuid", "shutil", "threading", "logging"),
}
IMPURE_CALLS = {"open", "input", "eval", "exec", "print", "__import__"}


def imported_by(path: Path) -> set[str]:
    """Return the full names of all modules a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_each_third_party_package_is_imported_by_exactly_one_module() -> None:
    importers: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for top in {name.partition(".")[0] for name in imported_by(path)}:
            if top in THIRD_PARTY:
                importers[top].append(str(path.relative_to(PACKAGE)))
    assert all(len(paths) == 1 for paths in importers.values()), dict(importers)
    assert set(importers) == THIRD_PARTY


def test_only_known_third_party_packages_are_imported() -> None:
    known = {*sys.stdlib_module_names, *THIRD_PARTY, "plancton_tick"}
    found = {name.partition(".")[0] for path in MODULES for name in imported_by(path)}
    assert found <= known


@pytest.mark.parametrize("module", PURE)
def test_what_decides_reads_nothing_but_its_arguments(module: str) -> None:
    path = PACKAGE / f"{module}.py"
    tops = {name.partition(".")[0] for name in imported_by(path)}
    assert not tops & IMPURE_IMPORTS
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & IMPURE_CALLS


def test_the_pure_modules_import_only_pure_modules_of_the_package() -> None:
    for module in PURE:
        ours = {
            name.removeprefix("plancton_tick.")
            for name in imported_by(PACKAGE / f"{module}.py")
            if name.startswith("plancton_tick.")
        }
        assert ours <= set(PURE), module


def test_no_dataclass_is_defined_where_a_quiet_tick_would_pay_for_it() -> None:
    users = [path.name for path in PACKAGE.glob("*.py") if "dataclasses" in imported_by(path)]
    assert users == []


@pytest.mark.parametrize(
    "command",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)],
    ids=["lint", "format", "types"],
)
def test_the_sources_are_clean(command: tuple[str, ...]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_tick_reads_as_prose_in_under_a_hundred_lines() -> None:
    assert len((PACKAGE / "tick.py").read_text().splitlines()) < 100


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_top_level_holds_only_what_belongs_there() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    agreed = {
        *("plancton_tick", "units", "config", "tests", "rpm", "pyproject.toml", "README.md"),
        *("CHANGELOG.md", "LICENSE", "Makefile", "docs", "pilots", ".ci", ".gitignore"),
    }
    assert {name.partition("/")[0] for name in listed} <= agreed
