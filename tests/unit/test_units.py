"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton_tick.units import format_duration, format_size, parse_duration, parse_size

INFINITY = float("inf")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("30s", 30),
        ("30 sec", 30),
        ("5min", 300),
        ("5m", 300),
        ("12h", 43200),
        ("1h 30min", 5400),
        ("1h30min", 5400),
        ("1d 2h", 93600),
        ("2weeks", 1209600),
        ("1M", 2629800),
        ("1y", 31557600),
        ("250ms", 0.25),
        ("10us", 1e-5),
        ("0.5h", 1800),
        (" 3s ", 3),
        ("infinity", INFINITY),
    ],
)
def test_duration_is_read_as_systemd_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "-3s", "3 x", "3s 4", "nan", "inf", "1e9", "3:00", "٣s", "9" * 50, "1000y", "5MIN"],
)
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("2G", 2 * 1024**3),
        ("2g", 2 * 1024**3),
        ("2GiB", 2 * 1024**3),
        ("2 GB", 2 * 1024**3),
        ("512M", 512 * 1024**2),
        ("1.5G", 3 * 1024**3 // 2),
        ("1K", 1024),
        ("1T", 1024**4),
        ("100B", 100),
    ],
)
def test_size_is_base_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "-1", "1.5", "2X", "1e9", "nan", "0x10", "9" * 5000, "9999P", "٣G"]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_size(text)


@given(st.integers(0, 2**60))
def test_a_size_written_is_the_size_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**6))
def test_a_duration_written_is_the_duration_read(seconds: int) -> None:
    assert parse_duration(format_duration(float(seconds))) == seconds


@given(st.text(max_size=20))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) >= 0
        except ValueError:
            continue
