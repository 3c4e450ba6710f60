"""The man pages say what the programs and the configuration have, and are clean to groff."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from plancton_tick.config_schema import PILOT, SECTIONS
from plancton_tick.ctl.main import VERBS

ROOT = Path(__file__).parents[2]
MAN = ROOT / "docs" / "man"
PAGES = sorted(MAN.glob("*.md"))


def terms(page: str, section: str | None = None) -> list[str]:
    """Return what is defined on a page, or in a section of it, without its markup."""
    text = (MAN / page).read_text()
    if section is not None:
        text = text.split(f"# {section}\n")[1].split("\n# ")[0]
    found = re.findall(r"^(\S.*)\n:   ", text, re.MULTILINE)
    return [term.replace("*", "").replace("\\", "") for term in found]


def options_of(*words: str) -> set[str]:
    """Ask a command for its long options."""
    run = subprocess.run(
        [sys.executable, "-m", *words, "--help"], capture_output=True, text=True, check=True
    )
    listed = run.stdout.split("options:\n")[1].split("\n\n")[0]
    return set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", listed, re.MULTILINE))


def convert(page: Path, folder: Path) -> Path:
    """Build one page as ``make man`` does."""
    out = folder / page.stem
    subprocess.run(["go-md2man", "-in", str(page), "-out", str(out)], check=True)
    return out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_clean_and_has_its_name(page: Path, tmp_path: Path) -> None:
    roff = convert(page, tmp_path)
    name, section = page.stem.rsplit(".", 1)
    assert f".TH {name} {section} " in roff.read_text()
    command = ["groff", "-ww", "-man", "-Tutf8", "-Kutf8", str(roff)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    # Bold is written by striking over, or by escapes; blanks fill the lines.
    plain = re.sub(r".\x08|\x1b\[[0-9]*m", "", run.stdout)
    assert re.search(rf"NAME {re.escape(name)} - [a-z]", " ".join(plain.split()))
    # Markup that is not understood is printed as it stands.
    assert "**" not in plain


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_refer_to_each_other_by_the_right_section(page: Path) -> None:
    ours = {tuple(each.stem.rsplit(".", 1)) for each in PAGES}
    names = {name for name, _ in ours}
    for name, section in re.findall(r"\*\*([a-z.-]+)\*\*\(([0-9])\)", page.read_text()):
        assert (name, section) in ours or name not in names, name


def test_every_page_that_a_unit_refers_to_is_there() -> None:
    units = (path.read_text() for path in (ROOT / "units").rglob("*") if path.is_file())
    wanted = {page for text in units for page in re.findall(r"man:(plancton\S*)\((\d)\)", text)}
    assert {f"{name}.{section}" for name, section in wanted} <= {page.stem for page in PAGES}


def test_every_key_of_the_configuration_is_there_with_its_default() -> None:
    page = "plancton.yaml.5.md"
    shown = {
        f"{section}.{key.name}": key.shown for section, keys in SECTIONS.items() for key in keys
    }
    shown |= {key.name: key.shown for key in PILOT}
    assert terms(page) == list(shown)
    text = (MAN / page).read_text()
    for path, default in shown.items():
        entry = text.split(f"**{path}**\n:   ")[1].split("\n\n")[0]
        defaults = re.findall(r"default \*(\S.*?)\*\.", " ".join(entry.split()))
        assert defaults == [default], path


@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("plancton-tick.8.md", "plancton_tick"),
        ("plancton-pull.8.md", "plancton_tick.pull"),
        ("plancton-metrics.8.md", "plancton_tick.metrics"),
        ("planctonctl.8.md", "plancton_tick.ctl.main"),
    ],
)
def test_every_option_of_a_command_is_there(page: str, module: str) -> None:
    words = " ".join(terms(page, "OPTIONS"))
    assert set(re.findall(r"--[a-z-]+", words)) == options_of(module)


def test_every_verb_is_there_in_the_order_of_the_help() -> None:
    assert [term.split()[0] for term in terms("planctonctl.8.md", "VERBS")] == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_is_there(verb: str) -> None:
    verbs = (MAN / "planctonctl.8.md").read_text().split("# VERBS\n")[1].split("\n# ")[0]
    (entry,) = (part for part in verbs.split("\n\n") if part.strip().startswith(f"**{verb}**"))
    common = {"--help", "--config", "--user"}
    assert set(re.findall(r"--[a-z-]+", entry)) - {"--dry-run"} == (
        options_of("plancton_tick.ctl.main", verb) - common
    )
