"""Configuration files to a complete value, and every fault at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plancton_tick.config import load_config
from plancton_tick.config_schema import PILOT, SECTIONS, key_paths
from plancton_tick.loaded import Loaded
from plancton_tick.model import Config, Device, ExitCodes, Mount, PilotType, ReclaimAction

REPOSITORY = Path(__file__).parents[2]
GIB = 1024**3

Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a configuration and its drop-ins, and load them."""

    def load(content: str | bytes, *drop_ins: str, host: tuple[int, int] | None = None) -> Loaded:
        main = tmp_path / "config.yaml"
        write(main, content)
        for index, drop_in in enumerate(drop_ins):
            write(tmp_path / "config.d" / f"{index}.yaml", drop_in)
        return load_config(str(main), host=host)

    return load


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o644)


def pilot_of(loaded: Loaded) -> PilotType:
    assert loaded.faults == ()
    (pilot,) = loaded.config.pilots
    return pilot


# --- defaults ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "{}", "host:\npilots:\n", "~"])
def test_an_empty_file_runs_the_embedded_default_pilot(load: Load, content: str) -> None:
    loaded = load(content)
    pilot = pilot_of(loaded)
    assert (pilot.name, pilot.image, pilot.command) == ("default", "busybox", ("sleep", "60"))
    config = loaded.config
    assert config.host == (("ncpus",), 1.0, GIB, 2 * GIB, 1.0)
    assert config.spawn == (4, 60.0)
    assert config.reclaim == (0.5, 10.0, ReclaimAction.PAUSE, 120.0)
    assert config.engine == ("unix:///run/docker.sock", 5.0, "plancton")
    assert pilot.exit_codes == ExitCodes((0,), (75,), (69,))
    assert (pilot.memory_bytes, pilot.lifetime_seconds) == (2 * GIB, 43200.0)


@pytest.mark.parametrize(
    ("written", "command"),
    [
        ("{}", ("sleep", "60")),
        ("{command: null}", ("sleep", "60")),
        ("{image: x}", None),
        ("{image: x, command: null}", None),
        ("{image: busybox}", None),
        ("{command: sleep 5}", ("sleep", "5")),
        ('{command: [sleep, 5, yes, "a b"]}', ("sleep", "5", "yes", "a b")),
        ("{command: sh -c 'sleep 5; exit 3'}", ("sh", "-c", "sleep 5; exit 3")),
    ],
)
def test_command(load: Load, written: str, command: tuple[str, ...] | None) -> None:
    assert pilot_of(load(f"pilots: [{written}]")).command == command


def test_every_shown_default_is_the_default(load: Load) -> None:
    for section, keys in (*SECTIONS.items(), ("pilots", PILOT)):
        for key in keys:
            name, _, inner = key.name.partition(".")
            value = f"{{{inner}: {key.shown}}}" if inner else key.shown
            entry = f"{{{name}: {value}}}"
            if section == "pilots":
                entry = f"[{entry}]" if name != "image" else "[{image: busybox, command: sleep 60}]"
            loaded = load(f"{section}: {entry}")
            assert loaded.faults == ()
            assert loaded.config == load("").config, key.name


# --- forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("cpus: 0.5", "cpus", 0.5),
        ("cpus: 2", "cpus", 2.0),
        ("memory: 1.5G", "memory_bytes", 3 * GIB // 2),
        ("memory: 6291456", "memory_bytes", 6291456),
        ("swap: 512M", "swap_bytes", 512 * 1024**2),
        ("max: 3", "max_live", 3),
        ("max: null", "max_live", None),
        ("lifetime: infinity", "lifetime_seconds", float("inf")),
        ("lifetime: 1h 30min", "lifetime_seconds", 5400.0),
        ("stop_grace: 0", "stop_grace_seconds", 0.0),
        ("pull: infinity", "pull_seconds", float("inf")),
        ("image: reg.example.org:5000/a/b:1.2@sha256:00", "image", None),
        ("user: 1000", "user", "1000"),
        ("user: 1000:10", "user", "1000:10"),
        ("user: nobody", "user", "nobody"),
        (
            "env: {A: 1, B: yes, C: '', D: 010}",
            "env",
            (("A", "1"), ("B", "yes"), ("C", ""), ("D", "010")),
        ),
        ("env: [A=1, B=x=y]", "env", (("A", "1"), ("B", "x=y"))),
        ("labels: {org.x: 1}", "labels", (("org.x", "1"),)),
        ("cap_add: [sys_admin, CAP_KILL]", "cap_add", ("SYS_ADMIN", "CAP_KILL")),
        ("cap_drop: [ALL]", "cap_drop", ("ALL",)),
        ("privileged: on", "privileged", True),
        ("security_opt: [label=disable]", "security_opt", ("label=disable",)),
        ("exit_codes: {no_work: 1}", "exit_codes", ExitCodes((0,), (1,), (69,))),
        ("exit_codes: {no_work: [0, 3]}", "exit_codes", ExitCodes((), (0, 3), (69,))),
        ("exit_codes: {done: []}", "exit_codes", ExitCodes((), (75,), (69,))),
    ],
)
def test_pilot_values(load: Load, written: str, field: str, value: object) -> None:
    pilot = pilot_of(load(f"pilots:\n- {written}\n"))
    assert getattr(pilot, field) == (
        written.partition(": ")[2] if value is None and field == "image" else value
    )


@pytest.mark.parametrize(
    ("written", "mount"),
    [
        ("/a:/b", Mount("/a", "/b", True, "rslave")),
        ("/a:/b:rw", Mount("/a", "/b", False, "rslave")),
        ("/a:/b:ro,rshared", Mount("/a", "/b", True, "rshared")),
        ("/a:/b:private,rw", Mount("/a", "/b", False, "private")),
        ("{source: /a, target: /b}", Mount("/a", "/b", True, "rslave")),
        (
            "{source: /a, target: /b, read_only: no, propagation: slave}",
            Mount("/a", "/b", False, "slave"),
        ),
    ],
)
def test_mounts(load: Load, written: str, mount: Mount) -> None:
    assert pilot_of(load(f"pilots:\n- mounts:\n  - {written}\n")).mounts == (mount,)


@pytest.mark.parametrize(
    ("written", "device"),
    [
        ("/dev/a", Device("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:r", Device("/dev/a", "/dev/a", "r")),
        ("/dev/a:/dev/b", Device("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:/dev/b:rw", Device("/dev/a", "/dev/b", "rw")),
        ("{host: /dev/a}", Device("/dev/a", "/dev/a", "rwm")),
        ("{host: /dev/a, container: /dev/b, permissions: m}", Device("/dev/a", "/dev/b", "m")),
    ],
)
def test_devices(load: Load, written: str, device: Device) -> None:
    assert pilot_of(load(f"pilots:\n- devices:\n  - {written}\n")).devices == (device,)


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            "hots: {}",
            "1: hots: expected one of host, spawn, reclaim, engine, metrics, pilots, "
            "got an unknown key; did you mean host?",
        ),
        ("max_pilots: 3", "did you mean host.max_pilots?"),
        ("reserve: {}", "did you mean host.reserve?"),
        ("max_dock: 3", "did you mean max_docks?"),
        ("host: []", "1: host: expected a mapping, got an empty list"),
        ("host: 3", "1: host: expected a mapping, got 3"),
        (
            "host:\n  sampel: 1s",
            "2: host.sampel: expected one of max_pilots, reserve, sample, got an unknown key; "
            "did you mean sample?",
        ),
        ("host: {reserve: 1}", "host.reserve: expected a mapping, got 1"),
        (
            "host: {reserve: {cpus: yes}}",
            "host.reserve.cpus: expected a number from 0 to 4096, got the boolean yes",
        ),
        (
            "host: {reserve: {cpus: -1}}",
            "host.reserve.cpus: expected a number from 0 to 4096, got -1",
        ),
        ("host: {reserve: {cpus: .nan}}", "host.reserve.cpus: expected a number"),
        ("host: {reserve: {cpus: .inf}}", "host.reserve.cpus: expected a number"),
        (
            "host: {reserve: {cpus: '1'}}",
            "host.reserve.cpus: expected a number from 0 to 4096, got '1'",
        ),
        (
            "host: {reserve: {memory: -1G}}",
            "host.reserve.memory: expected a size (2G, 512M, or bytes), got '-1G'",
        ),
        ("host: {max_pilots: ncpu}", "did you mean 'ncpus'?"),
        ("host: {max_pilots: -1}", "host.max_pilots: expected 0 or more, got -1"),
        ("host: {max_pilots: 1 // 0}", "division by zero"),
        ("host: {max_pilots: yes}", "got the boolean yes"),
        ("host: {max_pilots: [1]}", "got a list"),
        (
            "host: {max_pilots: }",
            "host.max_pilots: expected a number or an expression over ncpus, ram_bytes, "
            "swap_bytes, got nothing",
        ),
        ("host: {sample: 0}", "host.sample: expected a duration"),
        ("host: {sample: infinity}", "host.sample: expected a duration"),
        (
            "spawn: {per_tick: 1.5}",
            "spawn.per_tick: expected a whole number from 0 to 1000, got 1.5",
        ),
        ("spawn: {per_tick: 010}", "spawn.per_tick: expected a whole number"),
        (f"spawn: {{per_tick: {'9' * 5000}}}", "spawn.per_tick: expected a whole number"),
        ("reclaim: {tolerance: -0.5}", "reclaim.tolerance: expected a number from 0"),
        ("reclaim: {action: kill}", "reclaim.action: expected pause or stop, got 'kill'"),
        ("engine: {socket: /run/docker.sock}", "engine.socket: expected a URL"),
        ("engine: {timeout: 0}", "engine.timeout: expected a duration"),
        ("engine: {instance: Plancton}", "engine.instance: expected a name"),
        ("engine: {instance: 'a\\nb'}", "engine.instance: expected a name"),
        ("pilots: 3", "pilots: expected a list of one or more pilot types, got 3"),
        ("pilots: []", "pilots: expected a list of one or more pilot types, got an empty list"),
        ("pilots: {a: 1}", "pilots: expected a list of one or more pilot types, got a mapping"),
        ("pilots: [3]", "pilots[0]: expected a mapping, got 3"),
        (
            "pilots:\n- name: a\n- name: a",
            "3: pilots: expected each name once, got 'a' again (see line 2)",
        ),
        ("pilots: [{}, {}]", "pilots: expected each name once, got 'default' again"),
        ("pilots: [{name: A}]", "pilots[A].name: expected 1 to 41 characters"),
        ("pilots: [{name: 3.5}]", ".name: expected 1 to 41 characters"),
        ("pilots: [{name: [a]}]", "pilots[0].name: expected 1 to 41 characters"),
        (
            "pilots: [{share: 0}, {name: b, share: 0}]",
            "pilots: expected one share above 0 or more, got only shares of 0",
        ),
        ("pilots: [{share: -1}]", "pilots[default].share: expected a number"),
        ("pilots: [{cpus: 0}]", "pilots[default].cpus: expected a number from 0.01"),
        (
            "pilots: [{memory: 5M}]",
            "pilots[default].memory: expected a size (2G, 512M, or bytes) of 6M or more, got '5M'",
        ),
        ("pilots: [{swap: -1}]", "pilots[default].swap: expected a size"),
        ("pilots: [{max: yes}]", "pilots[default].max: expected a whole number"),
        ("pilots: [{lifetime: 0}]", "of more than 0 or infinity, got 0"),
        ("pilots: [{lifetime: 2 fortnights}]", "pilots[default].lifetime: expected a duration"),
        (
            "pilots: [{backoff: 2h}]",
            "pilots[default].backoff: expected at most backoff_max (1h), got '2h'",
        ),
        (
            "pilots: [{backoff_max: 3s}]",
            "pilots[default].backoff_max: expected at least backoff (30s), got '3s'",
        ),
        (
            "pilots: [{exit_codes: {done: 256}}]",
            "exit_codes.done: expected an exit code from 0 to 255, got 256",
        ),
        ("pilots: [{exit_codes: {done: [-1]}}]", "exit_codes.done[0]: expected an exit code"),
        (
            "pilots: [{exit_codes: {done: [1], no_work: 1}}]",
            "exit_codes.no_work: expected each code in one list, got 1 in done too",
        ),
        ("pilots: [{exit_codes: {dnoe: 1}}]", "did you mean done?"),
        (
            "pilots: [{command: []}]",
            "pilots[default].command: expected a command line or a list of words that is not empty",
        ),
        (
            "pilots: [{command: {a: b}}]",
            "pilots[default].command: expected a command line or a list of words, got a mapping",
        ),
        ("pilots: [{command: [[a]]}]", "pilots[default].command[0]: expected a word, got a list"),
        ('pilots: [{command: "a \'"}]', "no closing quotation"),
        ("pilots: [{command: 3}]", "pilots[default].command: expected a command line"),
        ("pilots: [{image: 3}]", "pilots[default].image: expected an image, got 3"),
        ("pilots: [{image: a b}]", "pilots[default].image: expected an image, got 'a b'"),
        ("pilots: [{user: a b}]", "pilots[default].user: expected a user"),
        ("pilots: [{env: {A: [1]}}]", "pilots[default].env.A: expected a plain value, got a list"),
        ("pilots: [{env: {A: }}]", "pilots[default].env.A: expected a plain value, got nothing"),
        ("pilots: [{env: [A]}]", "pilots[default].env[0]: expected NAME=VALUE, got 'A'"),
        (
            "pilots: [{env: [A=1, A=2]}]",
            "pilots[default].env[1]: expected each name once, got A again",
        ),
        (
            'pilots: [{env: {A: "\\0"}}]',
            "pilots[default].env.A: expected a value without zero bytes",
        ),
        (
            "pilots: [{labels: {io.plancton.slot: 1}}]",
            "expected names that do not begin with io.plancton",
        ),
        (
            "pilots: [{labels: [a=b]}]",
            "pilots[default].labels: expected NAME: VALUE pairs, got a list",
        ),
        ("pilots: [{mounts: /a}]", "pilots[default].mounts: expected a list of mounts, got '/a'"),
        ("pilots: [{mounts: [a:/b]}]", "pilots[default].mounts[0]: expected /source:/target"),
        ("pilots: [{mounts: ['/a:/b:z']}]", "pilots[default].mounts[0]: expected /source:/target"),
        (
            "pilots: [{mounts: [{source: /a}]}]",
            "pilots[default].mounts[0]: expected source, target, got no target",
        ),
        (
            "pilots: [{mounts: [{source: a, target: /b}]}]",
            "pilots[default].mounts[0].source: expected an absolute path",
        ),
        ("pilots: [{devices: [fuse]}]", "pilots[default].devices[0]: expected /dev/host"),
        ("pilots: [{devices: ['/dev/a:rr']}]", "pilots[default].devices[0]: expected /dev/host"),
        (
            "pilots: [{devices: [{host: /dev/a, permissions: x}]}]",
            "devices[0].permissions: expected some of the letters rwm",
        ),
        ("pilots: [{privileged: 1}]", "pilots[default].privileged: expected true or false, got 1"),
        ("pilots: [{cap_add: [A B]}]", "pilots[default].cap_add[0]: expected a capability"),
        ("pilots: [{pids: 0}]", "pilots[default].pids: expected a whole number"),
        ('"a\\eb": 1', "'a\\x1bb': expected one of host"),
    ],
)
def test_a_faulty_value_is_one_fault_that_says_what_was_expected(
    load: Load, content: str, fault: str
) -> None:
    loaded = load(content)
    assert len(loaded.faults) == 1, loaded.faults
    assert fault in loaded.faults[0]
    assert loaded.faults[0].startswith(loaded.files[0])
    assert loaded.faults[0].isprintable()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\xff\xfe", "config.yaml:1: expected UTF-8 text, got the byte 0xff"),
        (b"host: {}\n# \xe9\n", "config.yaml:2: expected UTF-8 text, got the byte 0xe9"),
        (b"host:\n  \x07", "config.yaml:2: expected printable text, got the character U+0007"),
        (b"\x00", "config.yaml:1: expected printable text, got the character U+0000"),
        (b"a: b: c", "config.yaml:1: expected YAML, got an error"),
        (b"host:\n\t- x", "config.yaml:2: expected YAML, got an error"),
        (b"host: {", "expected YAML, got an error"),
        (b"just text", "config.yaml:1: expected keys and values, got 'just text'"),
        (b"[1, 2]", "config.yaml:1: expected keys and values, got a list"),
        (b"host: {}\n---\nhost: {}", "config.yaml:2: expected one YAML document"),
        (b"host: !!python/name:os.system {}", "expected a plain value, got the tag"),
        (b"host: &a [*a]", "expected an anchor that is complete, got *a"),
        (b"host: *a", "expected an anchor that is complete, got *a"),
        (
            b"host:\n  sample: 1s\n  sample: 2s",
            "config.yaml:3: host.sample: expected each key once, got it again (see line 2)",
        ),
        (b"? [a]\n: 1\n", "config.yaml:1: expected a name as key, got a list"),
        (b"host: {<<: 3}", "<<: expected a mapping to merge, got 3"),
        (b"[" * 900_000, "nested at most 50 deep"),
        (b"- " * 400_000, "nested at most 50 deep"),
        (b"a: {" * 200_000, "nested at most 50 deep"),
        (b"- a\n" * 250_000, "expected at most 20000 values"),
        (b"# " * 600_000, "expected at most 1M of text, got more"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_a_file_that_cannot_be_trusted_is_one_fault(load: Load, content: bytes, fault: str) -> None:
    loaded = load(content)
    assert len(loaded.faults) == 1, loaded.faults[:3]
    assert fault in loaded.faults[0]
    assert loaded.config == load("").config


def test_a_bomb_of_anchors_is_one_fault(load: Load) -> None:
    levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 12)]
    loaded = load("\n".join(["x0: &x0 [1]", *levels]))
    assert len(loaded.faults) == 1
    assert "expected at most 20000 values" in loaded.faults[0]


def test_a_file_of_one_megabyte_loads(load: Load) -> None:
    loaded = load("#" * (1024**2 - 30) + "\nhost: {sample: 2s}\n")
    assert loaded.faults == ()
    assert loaded.config.host.sample_seconds == 2.0


def test_anchors_and_merge_keys_work(load: Load) -> None:
    loaded = load(
        "pilots:\n- &base {name: a, image: x, cpus: 2}\n- {<<: *base, name: b, memory: 1G}\n"
    )
    a, b = loaded.config.pilots
    assert loaded.faults == ()
    assert (a.image, b.image, b.cpus, b.name) == ("x", "x", 2.0, "b")


def test_all_faults_come_at_once_in_file_order(load: Load) -> None:
    loaded = load("spawn: {per_tick: x}\nhost:\n  sample: y\n", "engine: {timeout: z}\n", "- 1")
    places = [fault.split(": ")[0].rpartition("/")[2] for fault in loaded.faults]
    assert places == ["config.yaml:1", "config.yaml:3", "0.yaml:1", "1.yaml:1"]


def test_a_faulty_value_leaves_its_default_and_a_faulty_type_is_left_out(load: Load) -> None:
    loaded = load("host: {sample: x, reserve: {cpus: 3}}\npilots: [{name: a, cpus: x}, {name: b}]")
    assert len(loaded.faults) == 2
    assert loaded.config.host.sample_seconds == 1.0
    assert loaded.config.host.reserve_cpus == 3.0
    assert [pilot.name for pilot in loaded.config.pilots] == ["b"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("pilots: [{cpus: 4}]", "pilots[default].cpus: expected at most the 3 cores"),
        ("host: {reserve: {cpus: 4}}", "pilots[default].cpus: expected at most the 0 cores"),
        ("pilots: [{memory: 9G}]", "pilots[default].memory: expected at most the host's RAM"),
        ("pilots: [{cpus: 3, memory: 8G}]", None),
        ("", None),
    ],
)
def test_a_pilot_larger_than_the_host_is_a_fault(
    load: Load, content: str, fault: str | None
) -> None:
    faults = load(content, host=(4, 8 * GIB)).faults
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]
    assert load(content).faults == ()


def test_defaults_that_do_not_fit_are_no_fault(load: Load) -> None:
    assert load("pilots: [{image: x}]", host=(1, GIB)).faults == ()


# --- drop-ins ------------------------------------------------------------------------------------


def test_drop_ins_are_merged_key_by_key_in_name_order(load: Load) -> None:
    loaded = load(
        "host: {sample: 2s, reserve: {cpus: 2, memory: 3G}}",
        "host: {reserve: {cpus: 3}}",
        "host: {reserve: {cpus: 4}}\nspawn: {per_tick: 1}\nreclaim:\n",
    )
    assert loaded.faults == ()
    assert loaded.config.host == (("ncpus",), 4.0, 3 * GIB, 2 * GIB, 2.0)
    assert loaded.config.spawn.per_tick == 1
    assert [Path(file).name for file in loaded.files] == ["config.yaml", "0.yaml", "1.yaml"]


def test_drop_ins_merge_pilot_types_by_name(load: Load) -> None:
    loaded = load(
        "pilots: [{name: a, cpus: 2, env: {X: 1}, cap_add: [KILL]}, {name: b}]",
        "pilots: [{name: c}, {name: a, memory: 1G, env: {Y: 2}, cap_add: [CHOWN]}]",
    )
    assert loaded.faults == ()
    a, b, c = loaded.config.pilots
    assert (a.name, b.name, c.name) == ("a", "b", "c")
    assert (a.cpus, a.memory_bytes, a.env) == (2.0, GIB, (("X", "1"), ("Y", "2")))
    assert a.cap_add == ("CHOWN",)


def test_a_fault_after_merging_names_the_file_it_stands_in(load: Load) -> None:
    loaded = load("pilots: [{name: a, cpus: 2}]", "\n\npilots: [{name: a, memory: x}]")
    (fault,) = loaded.faults
    assert "config.d/0.yaml:3: pilots[a].memory: expected a size" in fault


def test_other_names_in_the_folder_are_not_read_and_yml_is_noted(
    load: Load, tmp_path: Path
) -> None:
    for name in ("a.yml", ".b.yaml", "c.yaml~", "README"):
        write(tmp_path / "config.d" / name, "bad: 1")
    loaded = load("")
    assert loaded.faults == ()
    assert len(loaded.notes) == 1
    assert "a.yml: not read" in loaded.notes[0]


# --- files ---------------------------------------------------------------------------------------


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    loaded = load_config(str(tmp_path / "none.yaml"))
    (fault,) = loaded.faults
    assert fault.endswith(
        "none.yaml: expected a readable file, got an error: No such file or directory"
    )
    assert loaded.config.pilots[0].name == "default"


@pytest.mark.parametrize("path", ["", "/dev/null\0", "/proc/self/mem", "/dev/null"])
def test_a_path_that_is_no_file_is_a_fault(path: str) -> None:
    assert load_config(path).faults


def test_a_folder_or_a_pipe_instead_of_a_file_is_a_fault(tmp_path: Path) -> None:
    assert "expected a regular file, got a folder" in load_config(str(tmp_path)).faults[0]
    os.mkfifo(tmp_path / "pipe")
    assert "expected a regular file" in load_config(str(tmp_path / "pipe")).faults[0]


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, load: Load, mode: int) -> None:
    write(tmp_path / "config.yaml", "host: {sample: 2s}")
    (tmp_path / "config.yaml").chmod(mode)
    loaded = load_config(str(tmp_path / "config.yaml"))
    assert f"got mode {mode:04o} of user" in loaded.faults[0]
    assert loaded.config.host.sample_seconds == 1.0


def test_a_folder_of_drop_ins_that_others_may_write_is_refused(tmp_path: Path, load: Load) -> None:
    load("", "host: {sample: 2s}")
    (tmp_path / "config.d").chmod(0o777)
    loaded = load_config(str(tmp_path / "config.yaml"))
    assert "config.d: expected a folder that only root" in loaded.faults[0]
    assert loaded.config.host.sample_seconds == 1.0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path, load: Load) -> None:
    load("")
    os.chown(tmp_path / "config.yaml", 12345, -1)
    (fault,) = load_config(str(tmp_path / "config.yaml")).faults
    assert "got mode 0644 of user 12345" in fault


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads everything unless it becomes another")
def test_an_unreadable_file_is_a_fault_and_roots_file_is_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    write(tmp_path / "secret.yaml", "")
    (tmp_path / "secret.yaml").chmod(0o600)
    write(tmp_path / "public.yaml", "")
    os.seteuid(12345)
    try:
        secret = load_config(str(tmp_path / "secret.yaml"))
        public = load_config(str(tmp_path / "public.yaml"))
    finally:
        os.seteuid(0)
    assert "got an error: Permission denied" in secret.faults[0]
    assert public.faults == ()


# --- anything at all -----------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *{part for path in key_paths() for part in path.replace("[]", "").split(".")},
        "<<",
        "source",
        "target",
        "max_docks",
        "docker_cmd",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["30s", "2G", "ncpus - 1", "/a:/b", "infinity", "pause", "default", "-1", "0"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
SECTION_KEYS = {
    section: st.fixed_dictionaries({}, optional={key.name.split(".")[0]: VALUES for key in keys})
    for section, keys in SECTIONS.items()
}
PILOTS = st.lists(
    st.fixed_dictionaries({}, optional={key.name.split(".")[0]: VALUES for key in PILOT}),
    max_size=3,
)
DOCUMENTS = st.one_of(
    VALUES,
    st.fixed_dictionaries({}, optional={**SECTION_KEYS, "pilots": PILOTS}),
    st.dictionaries(NAMES, VALUES, max_size=6),
)


def is_complete(config: Config) -> bool:
    flat = [*config.host, *config.spawn, *config.reclaim, *config.engine]
    return all(value is not None for value in flat) and all(
        pilot.memory_bytes > 0 and pilot.image and pilot.name for pilot in config.pilots
    )


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(document=DOCUMENTS, drop_in=DOCUMENTS)
def test_any_document_gives_a_complete_configuration(
    load: Load, document: object, drop_in: object
) -> None:
    dumped = [yaml.safe_dump(each, allow_unicode=False) for each in (document, drop_in)]
    loaded = load(*dumped, host=(8, 16 * GIB))
    assert is_complete(loaded.config)
    assert loaded.config.pilots or loaded.faults
    assert all(fault.isprintable() for fault in loaded.faults)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    content=st.binary(max_size=60)
    | st.text(alphabet="ahost: -[]{}&*!<>|'\"\n#%@,?~\\xu0", max_size=60).map(str.encode)
)
def test_any_bytes_give_a_complete_configuration(load: Load, content: bytes) -> None:
    assert is_complete(load(content).config)


# --- what the repository ships -------------------------------------------------------------------

SAMPLES = sorted((REPOSITORY / "config").rglob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_shipped_configurations_have_no_fault(path: Path, load: Load) -> None:
    loaded = load(path.read_text(), host=(16, 64 * GIB))
    assert (loaded.faults, loaded.notes) == ((), ())


def test_the_sample_configuration_is_the_default(load: Load) -> None:
    assert load((REPOSITORY / "config" / "config.yaml").read_text()).config == load("").config


def documented(heading: str) -> dict[str, str]:
    """Give key and default of each row of the tables that have this heading."""
    found, is_inside = {}, False
    for line in (REPOSITORY / "docs" / "configuration.md").read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
        if cells[0].strip() == heading:
            is_inside = True
        elif not line.startswith("|"):
            is_inside = False
        elif is_inside and not cells[0].startswith("---"):
            found[cells[0].strip().strip("`")] = cells[2 if heading == "key" else 1]
    return found


def test_every_key_is_documented_with_its_default() -> None:
    keys = {
        f"{section}.{key.name}": key.shown for section, keys in SECTIONS.items() for key in keys
    }
    keys |= {f"pilots[].{key.name}": key.shown for key in PILOT}
    assert set(key_paths()) == set(keys)
    assert documented("key") == keys


def test_every_example_of_the_documentation_has_no_fault(load: Load) -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```yaml\n")[1:]]
    assert len(blocks) > 3
    for block in blocks:
        top = block.startswith(("host", "spawn", "reclaim", "engine", "pilots", "#"))
        content = (
            block
            if top
            else "pilots:\n- name: a\n" + "".join(f"  {line}\n" for line in block.splitlines())
        )
        assert load(content).faults == ()
