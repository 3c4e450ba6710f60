"""docs/policy.md says what the commands in it say, and its pictures are those that they draw."""

import json
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from plancton_tick.ctl.main import main
from plancton_tick.ctl.simulate_picture import figures_of
from plancton_tick.ctl.simulate_tally import Tally
from plancton_tick.ctl.simulate_text import NAMES, cpu_time, memory_time

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "policy.md"
COMMANDS = [
    shlex.split(line)
    for line in re.findall(
        r"^    planctonctl (simulate .*--svg .*)$", PAGE.read_text(), re.MULTILINE
    )
]
MOST_BYTES = 150_000


def picture_of(words: list[str]) -> str:
    return Path(words[words.index("--svg") + 1]).stem


def write_row(day: str, policy: str, tally: Tally) -> str:
    """Return a row of the page's table."""
    cells = (
        day,
        policy,
        f"{tally.harvested_share:.1%}",
        f"{tally.kept_share:.1%}",
        f"{tally.killed:,}",
        f"{tally.flaps:,}",
        cpu_time(tally.owner_short_core_seconds),
        memory_time(tally.memory_short_byte_seconds),
        cpu_time(tally.stalled_core_seconds),
    )
    return f"| {' | '.join(cells)} |"


class Day:
    """What a command of the page says."""

    def __init__(self, words: list[str], document: dict[str, Any]) -> None:
        self.picture = picture_of(words)
        self.seconds = document["load"]["seconds"]
        runs = document["runs"]
        self.tallies = [Tally(**{name: run[name] for name in Tally._fields}) for run in runs]
        self.names = [run["name"] for run in runs]
        self.by_policy = dict(zip([run["policy"] for run in runs], self.tallies, strict=True))

    def rows(self) -> list[str]:
        return [
            write_row(self.picture, name, tally)
            for name, tally in zip(self.names, self.tallies, strict=True)
        ]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Day]:
    """Return what says what a command said, run once; nothing is drawn."""
    folder = tmp_path_factory.mktemp("day")
    (folder / "patient.yaml").write_text("reclaim: {pause_at_most: 30min}\n")

    @cache
    def of(picture: str) -> Day:
        (words,) = (words for words in COMMANDS if picture_of(words) == picture)
        kept = [
            word for at, word in enumerate(words) if "--svg" not in words[max(0, at - 1) : at + 1]
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            paths = {"patient.yaml": str(folder / "patient.yaml")}
            lines: list[str] = []
            patch.setattr("builtins.print", lambda *words, **_: lines.extend(map(str, words)))
            assert main([*(paths.get(word, word) for word in kept), "--json"]) == 0
        return Day(words, json.loads("\n".join(lines)))

    return of


PICTURES = [picture_of(words) for words in COMMANDS]


def test_every_picture_of_the_page_is_drawn_by_a_command_of_it() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(policy/(\S+)\.svg\)", PAGE.read_text())
    assert shown == PICTURES
    assert {path.stem for path in (ROOT / "docs" / "policy").iterdir()} == set(PICTURES)


@pytest.mark.parametrize("picture", PICTURES)
def test_the_table_has_what_the_command_says(picture: str, day: Callable[[str], Day]) -> None:
    table = PAGE.read_text().split("<!-- figures -->\n")[1].split("<!-- /figures -->")[0]
    rows = [row for row in table.splitlines() if row.startswith(f"| {picture} |")]
    assert rows == day(picture).rows()


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_small_and_shows_what_the_command_says(
    picture: str, day: Callable[[str], Day]
) -> None:
    path = ROOT / "docs" / "policy" / f"{picture}.svg"
    text = path.read_text()
    assert len(text) < MOST_BYTES
    assert ElementTree.fromstring(text).tag.endswith("svg")
    # Letters are outlines, and beside them a comment says what they are.
    written = re.findall(r"<!-- (.*) -->", text)
    for name, tally in zip(day(picture).names, day(picture).tallies, strict=True):
        assert name in written
        for line in figures_of(tally, has_memory=True):
            assert line in written, (name, line)


@pytest.mark.parametrize("kind", ["constant", "noisy"])
def test_under_a_steady_load_nothing_of_ours_moves_and_0_6_flaps(
    kind: str, day: Callable[[str], Day]
) -> None:
    ours, theirs = day(kind).by_policy["plancton"], day(kind).by_policy["0.6"]
    assert ours.reclaims == ours.flaps == 0
    assert ours.harvested_share is not None
    assert ours.harvested_share > 0.99
    assert theirs.flaps == theirs.killed > 1000
    assert theirs.done == 0


def test_a_developers_builds_pause_pilots_and_seldom_end_them(day: Callable[[str], Day]) -> None:
    ours, theirs, alone = day("developer").by_policy.values()
    assert ours.killed < ours.resumed < ours.paused
    assert ours.flaps == 0
    assert ours.owner_short_core_seconds < 30
    assert theirs.owner_short_core_seconds > 3600
    assert ours.memory_short_byte_seconds < alone.memory_short_byte_seconds / 10


def test_on_a_compile_farm_patience_keeps_what_short_pauses_lose(day: Callable[[str], Day]) -> None:
    ours, theirs, alone = day("farm").by_policy.values()
    assert ours.kept_share is not None
    assert ours.harvested_share is not None
    assert ours.kept_share < ours.harvested_share / 2
    assert alone.lost_core_seconds == 0
    assert alone.owner_core_seconds / 200 < alone.owner_short_core_seconds
    assert alone.memory_short_byte_seconds > 20 * ours.memory_short_byte_seconds
    assert ours.flaps == 0 < theirs.flaps
    short, patient = day("patient").tallies
    assert short == ours
    assert patient.kept_share is not None
    assert patient.kept_share > 2 * ours.kept_share


def test_on_a_laptop_few_pauses_end_in_a_kill(day: Callable[[str], Day]) -> None:
    ours = day("laptop").by_policy["plancton"]
    assert ours.killed < ours.paused / 10


def test_short_jobs_fill_a_site_and_0_6_waits_after_each(day: Callable[[str], Day]) -> None:
    ours, theirs, _ = day("site").by_policy.values()
    assert ours.harvested_share is not None
    assert theirs.harvested_share is not None
    assert ours.harvested_share > 2 * theirs.harvested_share
    assert ours.killed == theirs.killed == 0


def test_names_of_policies_are_those_of_the_page() -> None:
    text = " ".join(PAGE.read_text().split())
    assert all(f"*{name}*" in text for name in NAMES.values() if name != "Plancton")
