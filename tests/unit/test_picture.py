"""Pictures are drawn of plain series, and their files are small and do not change by themselves."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from plancton_tick.ctl.picture import draw
from plancton_tick.ctl.picture_panel import Panel
from plancton_tick.ctl.picture_series import make_series
from plancton_tick.ctl.picture_svg import shrink_svg
from plancton_tick.ctl.simulate_tally import Event, Kind, Record, Segment

STEPS = 96
PANEL = Panel(
    title="yesterday",
    figures=["half of it"],
    times=[900.0 * at for at in range(STEPS)],
    end=86400.0,
    owner_cores=[1.0 + at % 3 for at in range(STEPS)],
    pilot_cores=[4.0 - at % 3 for at in range(STEPS)],
    ncpus=8,
    limit_cores=7.0,
    events={"spawned": [100.0, 200.0, 50_000.0], "killed": [60_000.0]},
)
MEMORY = PANEL._replace(
    owner_memory=[4.0 * 2**30] * STEPS,
    pilot_memory=[float(at) * 2**30 / 4 for at in range(STEPS)],
    memory_total=16.0 * 2**30,
    short_cores=[0.0] * 90 + [1.0] * 6,
    room_cores=[2.0] * STEPS,
    starts_at=1_700_000_000.0,
)


def words_of(path: Path) -> str:
    """Return what is written in a picture: beside outlines of letters, comments say it."""
    return " ".join(path.read_text().split("<!--")[1:])


def test_a_picture_says_what_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    draw([PANEL], "A day", {"svg": str(path)}, subtitle="8 CPUs")
    text = words_of(path)
    for word in (
        "A day",
        "yesterday",
        "half of it",
        "8 CPUs",
        "owner",
        "pilots",
        "killed",
        "06:00",
    ):
        assert word in text
    assert "GiB" not in text
    assert ElementTree.fromstring(path.read_text()).get("width") == "792pt"


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_series_give_the_same_file(form: str, tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        draw([PANEL, MEMORY], "Two days", {form: str(path)})
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"\x89PNG" if form == "png" else b"<?xml")


def test_a_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        draw([PANEL], "A day", {"svg": str(tmp_path / "none" / "x.svg")})


def test_paths_are_written_shorter_and_stay_the_same_to_a_tenth_of_a_point() -> None:
    path = ' d="M 10.04 20 \nL 10.04 5.551 \nL 12.25 5.551 \nL 14.5 5.551 \nL 13 7 \nL 13 20 \nz\n"'
    assert shrink_svg(f"<path{path}/>") == '<path d="M10 20v-14.4h4.5l-1.5 1.4v13z"/>'
    letter = '<path d="M 1 2 \nQ 3 4 5 6 \nz\n"/>'
    assert shrink_svg(letter) == letter
    assert shrink_svg('transform="translate(1.239 -0.5) scale(0.015625)"') == (
        'transform="translate(1.24 -0.5) scale(0.015625)"'
    )


def test_series_are_means_over_equal_steps() -> None:
    record = Record()
    record.segments += [
        Segment(0.0, 15.0, 2.0, 1.5, 4.0, 8.0, 2.0),
        Segment(15.0, 40.0, 0.0, 0.0, 6.0, 8.0, 4.0),
    ]
    record.events.append(Event(3.0, Kind.SPAWNED))
    series = make_series(record, 40.0, steps=4)
    assert series.times == (0.0, 10.0, 20.0, 30.0)
    assert series.owner_cores == (1.5, 0.75, 0.0, 0.0)
    assert series.short_cores == (0.5, 0.25, 0.0, 0.0)
    assert series.pilot_cores == (4.0, 5.0, 6.0, 6.0)
    assert series.pilot_memory == (2.0, 3.0, 4.0, 4.0)
    assert series.events == {"spawned": [3.0]}
