"""``planctonctl simulate``: what it is asked, what it says, and what it counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plancton_tick.ctl import screen
from plancton_tick.ctl.main import main
from plancton_tick.ctl.simulate_run import Plot, Run, run_and_list, run_one
from plancton_tick.ctl.simulate_tally import Record, Tally
from plancton_tick.ctl.simulate_tasks import Tasks, parse_distribution
from plancton_tick.ctl.simulate_world import Machine
from plancton_tick.ctl.traces import Trace
from plancton_tick.model import Config, Outcome, Pause, Reap, ReclaimAction, Spawn
from tests.worlds import GIB, make_config, make_type

ROOT = Path(__file__).parents[2]
CONFIG = ("--config", str(ROOT / "config" / "config.yaml"))
EIGHT = Machine(8, 32 * GIB)


def plot_of(
    *steps: tuple[float, float, int],
    seconds: float = 3600.0,
    lasts: str = "10min",
    latency: str = "0",
    machine: Machine = EIGHT,
    **more: float,
) -> Plot:
    """Return a day of these steps: from when on, cores, GiB."""
    times, cores, memory = zip(*steps, strict=True)
    trace = Trace("steps", times, cores, [each * GIB for each in memory], seconds)
    tasks = Tasks(parse_distribution(lasts), parse_distribution(latency), **more)  # type: ignore[arg-type]
    return Plot(trace, machine, tasks, 5.0, 1)


def run(policy: str = "plancton", config: Config | None = None) -> Run:
    return Run(policy, policy, config or make_config(max_pilots=("ncpus",)))


def simulate_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["simulate", *words, *CONFIG, "--json"]) == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


# --- what is counted -----------------------------------------------------------------------------


def test_an_idle_host_is_harvested_but_for_the_latency_and_the_tick() -> None:
    config = make_config(max_pilots=("ncpus",), per_tick=7)
    tally = run_one(plot_of((0, 0, 1), lasts="595s", latency="5s"), run(config=config))
    # Seven pilots of 600 s, 595 of which they work; the next one is spawned at the tick that sees
    # the last one gone, which is the same instant.
    assert tally.done == 7 * 5
    assert tally.harvested_core_seconds == pytest.approx(7 * 6 * 595.0)
    assert tally.idle_core_seconds == pytest.approx(7 * 3600.0)


def test_a_starved_pilot_takes_longer_and_a_paused_one_stands_still() -> None:
    busy = [(0.0, 0.0, 1), (60.0, 8.0, 1), (300.0, 0.0, 1)]
    never = make_config(max_pilots=4, after=1e6)
    starved = run_one(plot_of(*busy, lasts="500s"), run(config=never))
    # All but nothing for 240 s: what began at 0 ends at 740 s rather than at 500 s.
    assert starved.stalled_core_seconds == pytest.approx(4 * 240.0, rel=0.01)
    frozen = make_config(max_pilots=4, after=10.0, pause_at_most=1e6)
    paused = run_one(plot_of(*busy, lasts="500s"), run(config=frozen))
    assert (paused.paused, paused.resumed, paused.killed) == (4, 4, 0)
    assert paused.stalled_core_seconds < starved.stalled_core_seconds / 10


def test_what_is_killed_is_lost_and_what_is_done_is_not() -> None:
    returns = [(0.0, 0.0, 1), (600.0, 8.0, 1)]
    config = make_config(max_pilots=4, after=10.0, action=ReclaimAction.STOP)
    tally = run_one(plot_of(*returns, lasts="1h", seconds=1200.0), run(config=config))
    assert tally.killed == 4
    assert tally.lost_core_seconds == pytest.approx(4 * 600.0, rel=0.01)
    assert tally.lost_core_seconds == pytest.approx(tally.harvested_core_seconds, rel=0.01)
    done = run_one(plot_of(*returns, lasts="100s", seconds=600.0), run(config=config))
    assert (done.lost_core_seconds, done.killed) == (0.0, 0)


def test_the_owner_is_short_by_the_weight_that_pilots_have() -> None:
    """Equal weights take half of the CPU from an owner who wants all; the idle one some 0.3 %."""
    steps = [(0.0, 0.0, 1), (600.0, 8.0, 1)]
    config = make_config(max_pilots=8, reserve_cpus=0.0, after=1e6)
    part = {
        policy: run_one(plot_of(*steps, lasts="2h", seconds=700.0), run(policy, config))
        for policy in ("plancton", "0.6", "slice")
    }
    wanted = 8 * 100.0
    assert part["0.6"].owner_short_core_seconds == pytest.approx(wanted / 2, rel=0.01)
    assert part["slice"].owner_short_core_seconds == pytest.approx(wanted / 101, rel=0.01)
    assert part["plancton"].owner_short_core_seconds == pytest.approx(wanted * 3 / 1027, rel=0.01)


def test_memory_that_pilots_hold_while_the_owner_wants_it_is_counted() -> None:
    wants = [(0.0, 0.0, 1), (600.0, 0.0, 30)]
    config = make_config(make_type(memory=2 * GIB), max_pilots=4)
    plot = plot_of(*wants, seconds=1200.0, lasts="2h", memory_usage=1.0)
    slice_alone = run_one(plot, run("slice", config))
    assert slice_alone.memory_short_peak_bytes == 6 * GIB
    assert slice_alone.memory_short_byte_seconds == pytest.approx(600.0 * 6 * GIB)
    ours = run_one(plot, run("plancton", config))
    # No tick sees more lacking than all that is available, so it takes a few of them.
    assert ours.memory_short_byte_seconds < slice_alone.memory_short_byte_seconds / 50
    assert ours.killed > 0


def test_a_pilot_given_back_to_an_owner_who_wants_no_more_is_a_flap() -> None:
    steady = plot_of((0.0, 2.0, 1), lasts="1h")
    assert run_one(steady, run()).flaps == 0
    assert run_one(steady, run("0.6")).flaps == run_one(steady, run("0.6")).killed > 0
    back = plot_of((0.0, 0.0, 1), (600.0, 8.0, 1), lasts="1h")
    tally = run_one(back, run())
    assert tally.reclaims > 0
    assert tally.flaps == 0


def test_pilots_without_work_make_their_type_wait() -> None:
    dry = plot_of((0.0, 0.0, 1), no_work=1.0, latency="5s")
    ours, slice_alone = run_one(dry, run()), run_one(dry, run("slice"))
    assert slice_alone.without_work > 1000
    assert 7 <= ours.without_work < 20


def test_the_sums_of_hosts_are_added_and_of_peaks_the_highest_is_kept() -> None:
    one = Tally(seconds=10.0, spawned=2, memory_short_peak_bytes=5.0)
    both = one.add(Tally(seconds=5.0, spawned=3, memory_short_peak_bytes=4.0))
    assert (both.hosts, both.seconds, both.spawned, both.memory_short_peak_bytes) == (2, 15, 5, 5.0)


def test_what_is_recorded_for_a_picture_adds_up_to_the_same_sums() -> None:
    record = Record()
    plot = plot_of((0.0, 1.0, 1), (700.0, 9.0, 4), (900.0, 0.5, 2), lasts="exponential:5min")
    tally = run_one(plot, run(), record=record)
    used = sum((each.end - each.start) * each.pilot_cores for each in record.segments)
    assert used == pytest.approx(tally.harvested_core_seconds)
    assert [each.start for each in record.segments[1:]] == [
        each.end for each in record.segments[:-1]
    ]
    assert len([each for each in record.events if each.kind == "spawned"]) == tally.spawned
    assert tally == run_one(plot, run())


# --- the rules of 0.6 ----------------------------------------------------------------------------


def test_0_6_kills_one_a_loop_the_youngest_and_only_after_its_grace() -> None:
    plot = plot_of((0.0, 2.0, 1), lasts="2h", seconds=1200.0)
    actions = run_and_list(plot, run("0.6"))[1]
    kills = [at for at, action in actions if isinstance(action, Reap)]
    spawned = [at for at, action in actions if isinstance(action, Spawn)]
    assert spawned[0] == 30.0
    assert len({at for at in spawned if at < kills[0]}) >= 1
    assert kills[0] - spawned[0] > 120.0
    assert [after - before for before, after in zip(kills[:4], kills[1:4], strict=False)] == [
        30.0
    ] * 3
    assert all(
        action.outcome is Outcome.RECLAIMED for _, action in actions if isinstance(action, Reap)
    )


def test_0_6_starts_nothing_for_a_minute_after_any_pilot_has_exited() -> None:
    plot = plot_of((0.0, 0.0, 1), lasts="uniform:30s:5min", seconds=7200.0)
    actions = run_and_list(plot, run("0.6"))[1]
    exits = [at for at, action in actions if isinstance(action, Reap)]
    assert len(exits) > 20
    for at, action in actions:
        if isinstance(action, Spawn):
            assert not any(0 < at - exit_at <= 60.0 for exit_at in exits)


def test_ours_gives_back_at_once_what_0_6_gives_back_one_by_one() -> None:
    plot = plot_of((0.0, 0.0, 1), (600.0, 8.0, 1), lasts="2h", seconds=1200.0)
    paused = [at for at, each in run_and_list(plot, run())[1] if isinstance(each, Pause)]
    assert len(paused) == 7
    assert len(set(paused)) == 1
    assert 610.0 <= paused[0] <= 620.0


# --- the command ---------------------------------------------------------------------------------


def test_policies_and_configurations_are_compared_by_one_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("host: {max_pilots: 2}\n")
    words = (
        "constant",
        "--for",
        "1h",
        "--tasks",
        "2h",
        "--policy",
        "plancton,slice",
        "--against",
        str(other),
    )
    document = simulate_json(capsys, *words)
    runs = document["runs"]
    assert isinstance(runs, list)
    assert [(each["policy"], each["name"]) for each in runs] == [
        ("plancton", "Plancton, config.yaml"),
        ("slice", "a low-weight slice alone, config.yaml"),
        ("plancton", "Plancton, other.yaml"),
        ("slice", "a low-weight slice alone, other.yaml"),
    ]
    assert [each["spawned"] for each in runs] == [5, 8, 2, 2]


def test_a_recorded_load_is_replayed_with_the_host_it_is_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "load.csv"
    path.write_text("time,cores\n0,0\n600,3\n1200,3\n")
    document = simulate_json(capsys, str(path), "--cpus", "4", "--memory", "16G")
    assert document["host"] == {"ncpus": 4, "memory_bytes": 16 * GIB}
    runs = document["runs"]
    assert isinstance(runs, list)
    assert [(each["seconds"], each["paused"]) for each in runs] == [(1800.0, 3)]


def test_a_fleet_is_the_sum_of_its_hosts_however_many_processes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    part = ("--for", "2h", "--from", "9h", "--policy", "plancton,0.6")
    whole = simulate_json(capsys, "developer,laptop", *part, "--hosts", "4", "--processes", "2")
    sums = [Tally(hosts=0), Tally(hosts=0)]
    for seed, kind in enumerate(("developer", "laptop", "developer", "laptop"), 1):
        runs = simulate_json(capsys, kind, *part, "--seed", str(seed))["runs"]
        assert isinstance(runs, list)
        for at, each in enumerate(runs):
            sums[at] = sums[at].add(Tally(**{name: each[name] for name in Tally._fields}))
    runs = whole["runs"]
    assert isinstance(runs, list)
    for total, each in zip(sums, runs, strict=True):
        for name, value in total._asdict().items():
            assert each[name] == pytest.approx(value), name


def test_a_long_work_says_how_far_it_is_and_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "SECONDS_BETWEEN_LINES", 0.0)
    words = ("constant", "--for", "1h", "--hosts", "3", "--processes", "2", *CONFIG)
    assert main(["simulate", *words]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["1 of 3", "2 of 3", "3 of 3"]
    assert lines[-1].endswith("hosts·hours/s, 0 s left")


def test_the_table_has_a_column_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "farm", "--for", "2h", "--policy", "plancton,0.6", *CONFIG]) == 0
    said = capsys.readouterr().out
    assert said.startswith("A compile farm: 2.0 h, 16 CPUs, 64 GiB, a tick every 5 s\n")
    assert "the rules of 0.6" in said
    assert "hosts·hours/s" in said or "hosts?hours/s" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "expected constant, noisy, developer, farm, laptop, site, a CSV file"),
        (("developer,farm",), "several kinds of a day are for a fleet: give --hosts"),
        (("constant", "--policy", "0.7"), "expected some of plancton, 0.6, slice, got '0.7'"),
        (("constant", "--cadence", "0"), "--cadence: expected more than 0"),
        (("constant", "--no-work", "0.7", "--failed", "0.7"), "no more than 1 together"),
        (("constant", "--hosts", "2", "--svg", "x.svg"), "a picture is of one host"),
        (("constant", "--from", "25h", "--for", "0"), "nothing from 90000 s"),
        (("journal:/nonexistent",), "/nonexistent: cannot be read"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *words, *CONFIG]) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1


def test_a_configuration_with_faults_is_not_simulated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("host: {max_pilot: 2}\n")
    assert main(["simulate", "constant", *CONFIG, "--against", str(bad)]) == 78
    assert "max_pilot" in capsys.readouterr().err


def in_python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the verb in an interpreter of its own, after some code."""
    code = (
        f"import sys\n{code}\nfrom plancton_tick.ctl.main import main\ncode = main({list(words)!r})"
    )
    code += "\nprint('matplotlib' in sys.modules)\nsys.exit(code)"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_matplotlib_is_imported_for_pictures_only(tmp_path: Path) -> None:
    words = ("simulate", "constant", "--for", "10min", *CONFIG)
    assert in_python("", *words).stdout.splitlines()[-1] == "False"
    drawn = in_python("", *words, "--svg", str(tmp_path / "x.svg"))
    assert drawn.stdout.splitlines()[-1] == "True", drawn.stderr


def test_without_matplotlib_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    words = ("simulate", "constant", "--for", "10min", *CONFIG, "--png", str(path))
    done = in_python("sys.modules['matplotlib'] = None", *words)
    assert done.returncode == 69
    assert "pictures need matplotlib" in done.stderr
    assert "apt install python3-matplotlib" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("10min", "constant:10min"),
        ("uniform:5min:1h", "uniform:5min:1h"),
        ("exponential:90", "exponential:90s"),
        ("lognormal:1h:0.5", "lognormal:1h:0.5"),
    ],
)
def test_times_are_read_and_written(text: str, form: str) -> None:
    assert str(parse_distribution(text)) == form
    assert parse_distribution(form) == parse_distribution(text)


@pytest.mark.parametrize(
    "text", ["", "long", "uniform:1h", "uniform:2h:1h", "lognormal:1h", "exponential:0", "infinity"]
)
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_distribution(text)
