"""check: every fault taken apart, what fits on a host, and what is legal but unlikely meant."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from plancton_tick.ctl import check_warnings
from plancton_tick.ctl.check import check
from plancton_tick.ctl.check_engine import EngineFacts, Image
from plancton_tick.ctl.check_fit import MOST, find_fit
from plancton_tick.ctl.check_json import to_json
from plancton_tick.ctl.check_text import limits_of, to_text
from plancton_tick.ctl.check_warnings import (
    Warned,
    warn_of_config,
    warn_of_engine,
    warn_of_files,
    warn_of_fit,
    warn_of_host,
    warn_of_type,
)
from plancton_tick.ctl.checked import Checked, Fault, split_fault
from plancton_tick.ctl.main import main
from plancton_tick.decide import decide
from plancton_tick.model import Config, Device, HostLoad, Ledger, Mount, Observation, PilotType
from plancton_tick.model import Spawn as SpawnAction
from tests.worlds import GIB, configs, make_config, make_host, make_type

DOCS = Path(__file__).parents[2] / "docs" / "check-json.md"
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a configuration for an engine that is not there."""

    def write(text: str) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(f"engine: {{socket: 'unix://{tmp_path}/none.sock'}}\n{text}")
        path.chmod(0o644)
        return str(path)

    return write


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "/a.yaml:7: host.reserve.cpu: expected one of cpus, memory, disk, got an unknown key; "
            "did you mean cpus?",
            Fault(
                "/a.yaml",
                7,
                "host.reserve.cpu",
                "expected one of cpus, memory, disk, got an unknown key",
                "cpus",
            ),
        ),
        (
            "/a.yaml:3: pilots[gpu].env: expected a list, got 'a: expected b'",
            Fault("/a.yaml", 3, "pilots[gpu].env", "expected a list, got 'a: expected b'", ""),
        ),
        (
            "/a.yaml: expected a readable file, got an error: Permission denied",
            Fault(
                "/a.yaml", 0, "", "expected a readable file, got an error: Permission denied", ""
            ),
        ),
        (
            "/a.yaml.d/b: 1:2: x: expected y, got z",
            Fault("/a.yaml.d/b: 1", 2, "x", "expected y, got z", ""),
        ),
        ("something else", Fault("", 0, "", "something else", "")),
    ],
)
def test_a_fault_is_taken_apart(line: str, fault: Fault) -> None:
    assert split_fault(line, ("/a.yaml", "/a.yaml.d/b: 1")) == fault


def test_every_fault_is_shown_with_file_line_key_and_suggestion(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("host: {reserve: {cpu: 1}}\nspwan: {}\nreclaim: {after: soon}\n")
    assert main(["check", path]) == 78
    out, err = capsys.readouterr()
    assert err == ""
    # Wherever the lines are broken: the path is as long as it is.
    out = " ".join(out.split())
    assert f"{path}: 3 faults" in out
    assert f"{path}:2: host.reserve.cpu expected one of cpus, memory, disk, got an" in out
    assert "-> did you mean cpus? " in out
    assert f"{path}:3: spwan expected" in out
    assert f"{path}:4: reclaim.after expected a duration" in out
    assert "No pilot is started until this is mended" in out


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    (fault,) = check(f"{tmp_path}/none").faults
    assert fault == Fault(
        f"{tmp_path}/none",
        0,
        "",
        "expected a readable file, got an error: No such file or directory",
        "",
    )


def test_the_file_may_be_named_by_config_or_alone(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("host: {max_pilots: 1}")
    assert main(["check", "--config", path]) == 0
    assert main(["--config", "/nowhere", "check", path]) == 0
    first, second = capsys.readouterr().out.split(path)[1:]
    assert first == second


# --- what fits -----------------------------------------------------------------------------------


def fits(config: Config, host: HostLoad) -> dict[str, tuple[int, int, tuple[str, ...]]]:
    return {
        each.type.name: (len(each.alone.pilots), each.together, limits_of(each.alone.vetoes))
        for each in find_fit(config, host).types
    }


@pytest.mark.parametrize(
    ("config", "host", "expected"),
    [
        pytest.param(
            make_config(make_type()),
            make_host(ncpus=8),
            (7, 7, ("cores",)),
            id="cores less the reserve",
        ),
        pytest.param(
            make_config(make_type(), max_pilots=3),
            make_host(ncpus=8),
            (3, 3, ("max_pilots",)),
            id="the cap",
        ),
        pytest.param(
            make_config(make_type(memory=3 * GIB)),
            make_host(ncpus=8, available=8 * GIB),
            (2, 2, ("memory",)),
            id="memory less the reserve",
        ),
        pytest.param(
            make_config(make_type(max_live=2)),
            make_host(ncpus=8),
            (2, 2, ("max",)),
            id="the type's own cap",
        ),
        pytest.param(
            make_config(make_type()),
            make_host(ncpus=8, disk_free=GIB),
            (0, 0, ("disk",)),
            id="disk",
        ),
        pytest.param(
            make_config(make_type(), per_tick=1),
            make_host(ncpus=8),
            (7, 7, ("cores",)),
            id="not what one tick may spawn",
        ),
        pytest.param(
            make_config(make_type(), max_pilots=7),
            make_host(ncpus=8, busy=8.0, pilots_cores=2.0),
            (7, 7, ("max_pilots", "cores")),
            id="not what owner and pilots use now",
        ),
    ],
)
def test_what_fits_and_what_limits_it(
    config: Config, host: HostLoad, expected: tuple[int, int, tuple[str, ...]]
) -> None:
    assert fits(config, host) == {"default": expected}


def test_types_fill_a_host_by_their_shares() -> None:
    config = make_config(make_type("a", share=3), make_type("b", share=1), reserve_cpus=0)
    assert fits(config, make_host(ncpus=8)) == {"a": (8, 6, ("cores",)), "b": (8, 2, ("cores",))}


def test_memory_that_pilots_hold_is_theirs() -> None:
    config = make_config(make_type(memory=GIB))
    host = make_host(ncpus=64, available=3 * GIB, pilots_memory=4 * GIB)
    assert fits(config, host)["default"][0] == 6


def test_counting_ends() -> None:
    config = make_config(make_type(cpus=0.01, memory=6 * 1024**2), max_pilots=1e9)
    fit = find_fit(config, make_host(ncpus=64, available=64 * GIB))
    assert len(fit.together.pilots) == MOST
    assert fit.together.is_more


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(configs())
def test_a_host_that_is_filled_takes_no_more(config: Config) -> None:
    host = make_host(ncpus=4)
    fit = find_fit(config, host)
    config = config._replace(spawn=config.spawn._replace(per_tick=4))
    pilots = tuple(
        pilot._replace(id=str(at), expires_at=None) for at, pilot in enumerate(fit.together.pilots)
    )
    idle = host._replace(busy_cores=0.0, pilots_cores=0.0, pilots_memory_bytes=0)
    plan = decide(config, Observation(taken_at=0.0, host=idle, pilots=pilots, ledger=Ledger()))
    assert not any(isinstance(action, SpawnAction) for action in plan.actions)


# --- warnings ------------------------------------------------------------------------------------


def names(warnings: Iterable[Warned]) -> list[str]:
    return [warned.name for warned in warnings]


def with_values(pilot_type: PilotType | None = None, **values: Any) -> PilotType:
    return (pilot_type or make_type())._replace(**values)


def test_sensible_values_give_no_warning() -> None:
    config = make_config(make_type())
    host = make_host(ncpus=8)
    assert names(warn_of_config(config, host)) == []
    assert names(warn_of_fit(config, host, find_fit(config, host))) == []
    assert names(warn_of_type(make_type(), host)) == []
    assert names(warn_of_host(make_type(), None)) == []


def host_config(**values: Any) -> Config:
    config = make_config(make_type())
    return config._replace(host=config.host._replace(**values))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (make_config(make_type(), max_pilots=0), "no-pilots"),
        (make_config(make_type(), max_pilots=("ncpus", 0.0, "/")), "no-pilots"),
        (make_config(make_type(), per_tick=0), "no-pilots"),
        (host_config(sample_seconds=0.1), "sample-short"),
        (host_config(sample_seconds=30.0), "sample-long"),
        (make_config(make_type(), tolerance=0), "tolerance-small"),
        (make_config(make_type(), tolerance=8), "tolerance-large"),
    ],
)
def test_warnings_of_the_host_section(config: Config, name: str) -> None:
    host = make_host(ncpus=8)
    found = [*warn_of_config(config, host), *warn_of_fit(config, host, find_fit(config, host))]
    assert names(found) == [name]


@pytest.mark.parametrize(
    ("pilot_type", "name", "key"),
    [
        (make_type(lifetime=30), "lifetime-short", "lifetime"),
        (make_type(fizzle=0), "fizzle-zero", "fizzle"),
        (make_type(backoff=1, backoff_max=5), "backoff-short", "backoff_max"),
        (make_type(stop_grace=0.5), "grace-short", "stop_grace"),
        (make_type(swap=64 * GIB), "swap-missing", "swap"),
        (make_type(privileged=True), "privileged", "privileged"),
        (with_values(mounts=(Mount("/", "/h", False, "rslave"),)), "root-by-mount", "mounts"),
        (
            with_values(mounts=(Mount("/run/docker.sock", "/s", True, "rslave"),)),
            "root-by-mount",
            "mounts",
        ),
    ],
)
def test_warnings_of_a_type(pilot_type: PilotType, name: str, key: str) -> None:
    (warned,) = warn_of_type(pilot_type, make_host(ncpus=8))
    assert (warned.name, warned.key) == (name, f"pilots[default].{key}")


@pytest.mark.parametrize(
    ("types", "host", "expected"),
    [
        pytest.param(
            [make_type(cpus=9)],
            make_host(ncpus=8),
            [("never-fits", "pilots[default].cpus")],
            id="cores",
        ),
        pytest.param(
            [make_type(memory=64 * GIB)],
            make_host(ncpus=8),
            [("never-fits", "pilots[default].memory")],
            id="memory with the reserve",
        ),
        pytest.param(
            [make_type(memory=4 * GIB)],
            make_host(ncpus=8, available=4 * GIB),
            [("no-room-now", "pilots[default]")],
            id="memory in use",
        ),
        pytest.param(
            [make_type()],
            make_host(ncpus=8, disk_free=0),
            [("no-room-now", "pilots[default]")],
            id="disk in use",
        ),
        pytest.param(
            [make_type("big", cpus=7), make_type("small", share=2, cpus=4)],
            make_host(ncpus=8),
            [("crowded-out", "pilots[big]")],
            id="crowded out",
        ),
        pytest.param(
            [make_type(max_live=0)],
            make_host(ncpus=8),
            [("type-off", "pilots[default].max")],
            id="switched off",
        ),
    ],
)
def test_types_that_get_no_place(
    types: list[PilotType], host: HostLoad, expected: list[tuple[str, str]]
) -> None:
    config = make_config(*types)
    found = warn_of_fit(config, host, find_fit(config, host))
    assert [(warned.name, warned.key) for warned in found] == expected


def test_mounts_and_devices_are_looked_for(tmp_path: Path) -> None:
    pilot = with_values(
        mounts=(
            Mount(f"{tmp_path}/none", "/x", True, "rprivate"),
            Mount(str(tmp_path), "/y", True, "rshared"),
        ),
        devices=(Device("/dev/null", "/dev/null", "r"), Device("/dev/nil", "/dev/nil", "r")),
    )
    info = tmp_path / "proc" / "self" / "mountinfo"
    info.parent.mkdir(parents=True)
    info.write_text("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    found = names(warn_of_host(pilot, None, root=str(tmp_path)))
    assert found == ["mount-missing", "mount-not-shared", "device-missing"]


PLAIN = Image(None, None)


def facts(image: Image | str | None = PLAIN, **values: Any) -> EngineFacts:
    known = EngineFacts(
        log_drivers=("journald", "json-file"),
        has_journald=True,
        data_root="/var/lib/docker",
        images={"busybox": image},
        missing_networks=frozenset(),
    )
    return known._replace(**values)


@pytest.mark.parametrize(
    ("pilot_type", "known", "expected"),
    [
        (make_type(), facts(), []),
        (make_type(), facts(None), ["image-missing"]),
        (make_type(), facts("the engine answered with 400"), ["image-refused"]),
        (make_type(), facts(Image("SIGTERM", 30)), []),
        (make_type(), facts(Image("SIGINT", None)), ["stop-signal"]),
        (make_type(stop_grace=10), facts(Image(None, 60)), ["grace-short"]),
        (make_type(), facts(has_journald=False), ["log-missing"]),
        (make_type(log="none"), facts(has_journald=False), []),
        (make_type(log="splunk"), facts(), ["log-missing"]),
        (
            with_values(network="farm"),
            facts(missing_networks=frozenset({"farm"})),
            ["network-missing"],
        ),
    ],
)
def test_warnings_of_the_engine(
    pilot_type: PilotType, known: EngineFacts, expected: list[str]
) -> None:
    assert names(warn_of_engine(pilot_type, known)) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(
    ("uid", "mode", "folder_mode", "expected"),
    [
        (0, 0o644, 0o755, []),
        (0, 0o600, 0o755, ["file-unreadable"]),
        (7, 0o644, 0o755, ["file-owner"]),
        (9, 0o600, 0o755, []),
        (0, 0o644, 0o775, ["folder-writable"]),
        (0, 0o644, 0o1777, []),
    ],
)
def test_who_may_read_and_write_the_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    mode: int,
    folder_mode: int,
    expected: list[str],
) -> None:
    # A user that every system has stands in for the service's.
    monkeypatch.setattr(check_warnings, "SERVICE_USER", "nobody")
    path = tmp_path / "config.yaml"
    path.write_text("")
    os.chown(path, uid, 0)
    path.chmod(mode)
    tmp_path.chmod(folder_mode)
    assert names(warn_of_files([str(path)], 9)) == expected
    assert stat.S_IMODE(path.stat().st_mode) == mode


# --- text and JSON -------------------------------------------------------------------------------


def full(write: Write) -> Checked:
    """Check a configuration with much to say."""
    return check(
        write(
            "host: {reserve: {cpus: 0, memory: 0}, max_pilots: 4}\n"
            "reclaim: {tolerance: 0}\n"
            "pilots:\n"
            "  - {name: a-name-of-forty-one-characters-or-rather, memory: 6M, privileged: true,"
            "     mounts: ['/nowhere/to/be/seen/at/all/nowhere/to/be/seen:/a']}\n"
            "  - {name: small, cpus: 0.5, memory: 6M, share: 3}\n"
        )
    )


@pytest.mark.parametrize("width", [60, 80, 100])
def test_text_keeps_to_the_width(write: Write, width: int) -> None:
    checked = full(write)
    for line in to_text(checked, width).split("\n"):
        # A path is not broken, so that it can be copied.
        assert len(line) <= width or len(line.split()) <= 2 or "/" in line, line


def test_what_is_so_for_several_types_is_said_once(write: Write) -> None:
    types = "{name: a, stop_grace: 0, memory: 6M}, {name: b, stop_grace: 0, memory: 6M}"
    text = to_text(check(write(f"host: {{reserve: {{cpus: 0}}}}\npilots: [{types}]")), 80)
    assert text.count("no time to hand") == 1
    assert "  pilots[a].stop_grace, pilots[b].stop_grace\n" in text


def test_text_says_what_fits_and_what_is_odd(write: Write) -> None:
    text = to_text(full(write), 80)
    assert "no faults, 3 warnings" in " ".join(text.split())
    assert re.search(r"^  pilots  at most 4 \(host.max_pilots\)$", text, re.MULTILINE)
    assert re.search(r"^  small +4 +\d+  max_pilots", text, re.MULTILINE)
    assert re.search(r"^  Together \d pilots with ", text, re.MULTILINE)
    assert "pilots[small]" not in text
    assert "Not checked\n  images, networks and log drivers: the engine at" in text
    assert text.isascii()


def paths(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, Mapping):
        return {
            path
            for name, inner in value.items()
            for path in (f"{prefix}{name}", *paths(inner, f"{prefix}{name}."))
        }
    if isinstance(value, list):
        return {path for item in value for path in paths(item, f"{prefix[:-1]}[].")}
    return set()


def documented() -> tuple[set[str], set[str]]:
    """Return the keys and the names of warnings that the documentation has."""
    keys, warnings = re.findall(r"\|---\|---\|\n((?:\|.*\n)+)", DOCS.read_text())
    first = re.compile(r"^\|([^|]*)\|", re.MULTILINE)
    return tuple(  # type: ignore[return-value]  # two tables are two sets
        {name for cell in first.findall(table) for name in re.findall(r"`([^`]+)`", cell)}
        for table in (keys, warnings)
    )


def test_every_key_of_the_json_is_documented(write: Write) -> None:
    good = json.loads(to_json(full(write)))
    bad = json.loads(to_json(check(write("spwan: {}"))))
    found = paths(good) | paths(bad)
    containers = {"faults", "warnings", "fit.types", "fit.types[].limits", "fit.together"}
    containers |= {path for path in found if path.startswith("fit.together.limits")}
    assert found - containers == documented()[0] - {"fit.together.limits[]"}
    assert (good["ok"], bad["ok"], bad["host"], bad["fit"]) == (True, False, None, None)
    assert bad["faults"][0]["suggestion"] == "spawn"


def test_every_warning_is_documented() -> None:
    folder = Path(check_warnings.__file__).parent
    source = "".join((folder / name).read_text() for name in ("check_warnings.py", "check.py"))
    given = set(re.findall(r'Warned\(\s*"([a-z-]+)"', source))
    given |= {"mount-missing", "mount-not-shared"}
    assert given == documented()[1]


def test_json_is_printed_with_the_same_exit_code(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--json", write("host: {max_pilots: 1}")]) == 0
    assert json.loads(capsys.readouterr().out)["host"]["max_pilots"] == 1
    assert main(["check", "--json", write("spwan: {}")]) == 78
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_a_file_of_plancton_06_is_checked_with_its_notes(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("max_docks: 1\nmain_sleep: 5\n")
    path.chmod(0o644)
    text = to_text(check(str(path)), 80)
    assert "Notes\n" in text
    assert "main_sleep: has no counterpart" in " ".join(text.split())
