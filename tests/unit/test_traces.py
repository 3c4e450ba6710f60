"""The owner's load from files, journals, sysstat and seeds."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plancton_tick.ctl.traces import Sample, cut, make_trace
from plancton_tick.ctl.traces_csv import read_csv
from plancton_tick.ctl.traces_journal import read_journal
from plancton_tick.ctl.traces_sar import read_sar
from plancton_tick.ctl.traces_synthetic import DAY, KINDS, make_synthetic
from plancton_tick.errors import TraceError
from tests.worlds import GIB

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


def journal_line(at: float, cores: str, **more: str) -> str:
    entry = {
        "__REALTIME_TIMESTAMP": str(int(at * 1e6)),
        "PLANCTON_EVENT": "sample",
        "PLANCTON_OWNER_CORES": cores,
        **more,
    }
    return json.dumps(entry)


def test_steps_that_change_nothing_are_left_out_and_the_last_lasts_as_long_as_the_one_before() -> (
    None
):
    samples = [Sample(30.0, 2.0, None), Sample(10.0, 1.0, 5), Sample(20.0, 1.0, None)]
    trace = make_trace("x", samples)
    assert (trace.times, trace.cores, trace.memory_bytes) == ([0.0, 20.0], [1.0, 2.0], [5, 5])
    assert (trace.starts_at, trace.seconds) == (10.0, 30.0)


def test_a_part_of_a_trace_has_the_same_load_at_the_same_time() -> None:
    whole = make_synthetic("developer", 3)
    part = cut(whole, 35_000.0, 7_200.0)
    assert part.seconds == 7_200.0
    for instant in range(0, 7_200, 7):
        there = whole.at(35_000.0 + instant)
        assert part.cores[part.at(instant)] == whole.cores[there]
        assert part.memory_bytes[part.at(instant)] == whole.memory_bytes[there]
    with pytest.raises(TraceError, match="nothing from 90000 s"):
        cut(whole, 90_000.0, 10.0)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_draw_equal_days_and_others_draw_others(kind: str) -> None:
    assert make_synthetic(kind, 1) == make_synthetic(kind, 1)
    assert (make_synthetic(kind, 1) == make_synthetic(kind, 2)) == (kind == "constant")
    trace = make_synthetic(kind, 1)
    assert trace.times[0] == 0.0
    assert sorted(set(trace.times)) == list(trace.times)
    assert trace.times[-1] < trace.seconds == DAY


def test_noise_stays_below_what_pilots_are_moved_for() -> None:
    cores = make_synthetic("noisy", 1).cores
    assert len(set(cores)) > 100
    assert max(cores) - min(cores) < 0.5


def test_csv_has_times_cores_and_memory_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text(
        "memory,host,time,cores\n2G,a,2026-11-22T12:00:00+00:00,1.5\n\n"
        ",a,2026-11-22T12:00:10+00:00,4\n3G,a,2026-11-22T12:01:00+00:00,0\n"
    )
    trace = read_csv(str(path))
    assert list(trace.times) == [0.0, 10.0, 60.0]
    assert list(trace.cores) == [1.5, 4.0, 0.0]
    assert list(trace.memory_bytes) == [2 * GIB, 2 * GIB, 3 * GIB]
    assert trace.starts_at == NOON


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.csv:1: expected a column 'time', got nothing"),
        ("time,load\n1,2\n", "x.csv:1: expected a column 'cores', got time,load"),
        ("time,cores\n1,2\n2,many\n", "x.csv:3: expected a time, cores"),
        ("time,cores\n1,2\n2\n", "x.csv:3: expected a value in each column, got 2"),
        ("time,cores\n1,2\n2,-1\n", "x.csv:3: expected a time and cores, got 2,-1"),
        ("time,cores\n1,2\n2,nan\n", "x.csv:3: expected a time and cores"),
        ("time,cores,memory\n1,2,lots\n", "x.csv:2: expected a time, cores"),
        ("time,cores\n1,2\n", "expected samples of two instants or more, got 1"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_with_its_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as error:
        read_csv(str(path))
    assert said in error.value.message


def test_samples_of_the_journal_are_read_and_all_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    more = {"PLANCTON_NCPUS": "8", "PLANCTON_OWNER_MEMORY": str(3 * GIB)}
    lines = [
        journal_line(NOON, "1.25", **more),
        json.dumps({"MESSAGE": [1, 2], "PLANCTON_EVENT": "spawned"}),
        journal_line(NOON + 60, "0.5"),
        journal_line(NOON + 120, "2.0", PLANCTON_MEMORY_TOTAL=str(16 * GIB)),
    ]
    path.write_text("\n".join(lines) + "\n")
    trace = read_journal(str(path))
    assert list(trace.cores) == [1.25, 0.5, 2.0]
    assert list(trace.times) == [0.0, 60.0, 120.0]
    assert set(trace.memory_bytes) == {3 * GIB}
    assert (trace.ncpus, trace.memory_total_bytes) == (8, 16 * GIB)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json\n", "journal.json:1: expected a line of journalctl -o json, got 'no json"),
        ('{"PLANCTON_EVENT": "sample"}\n', "PLANCTON_OWNER_CORES, got 0"),
        (f"{journal_line(NOON, 'x')}\n{journal_line(NOON, '1')}\n", "a sample that cannot be read"),
    ],
)
def test_a_journal_without_samples_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text)
    with pytest.raises(TraceError) as error:
        read_journal(str(path))
    assert said in error.value.message


def test_what_sysstat_recorded_on_this_host_is_read(tmp_path: Path) -> None:
    """Recorded here and now: its files can be read by the version that wrote them only."""
    path = tmp_path / "sa"
    subprocess.run(["sar", "-o", path, "1", "3"], check=True, capture_output=True)
    trace = read_sar(str(path))
    online = int(subprocess.run(["nproc", "--all"], check=True, capture_output=True).stdout)
    assert trace.ncpus == online
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert trace.memory_total_bytes == total
    assert trace.seconds == pytest.approx(3.0, abs=1.1)
    assert all(0 <= cores <= online for cores in trace.cores)
    assert all(0 < held < total for held in trace.memory_bytes)


def test_a_file_that_is_not_sysstats_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sa"
    path.write_text("not a record")
    with pytest.raises(TraceError, match="sadf cannot read it"):
        read_sar(str(path))
