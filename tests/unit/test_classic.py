"""A file of Plancton 0.6 means today what it meant then."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plancton_tick import classic, config
from plancton_tick.config_node import Faults
from plancton_tick.config_schema import key_paths
from plancton_tick.config_yaml import parse_yaml
from plancton_tick.expression import evaluate
from plancton_tick.loaded import Loaded
from plancton_tick.model import Config, Database, Device, Mount, PilotType, ReclaimAction

Load = Callable[..., Loaded]
HOST = {"ncpus": 9.0, "ram_bytes": 16e9, "swap_bytes": 4e9}

# What its users kept on their nodes, the older form of devices included.
SITE = """\
# vim: set filetype=yaml
---
## Resources constraints
cpus_per_dock: 1
max_docks: ncpus - 1
grace_kill: 10
grace_spawn: 20
main_sleep: 5
max_ttl: 500
updateconfig: 10

binds:
 - /opt/plancton/condor/10-common.config:/etc/condor/config.d/10-common.config
 - /opt/plancton/condor/condor_config:/etc/condor/condor_config

devices:
 - PathOnHost: /dev/fuse
   PathInContainer: /dev/fuse
   CgroupPermissions: rw

capabilities:
 - SYS_ADMIN

docker_cmd: [ /tmp/condor-container-pilot ]
docker_image: plancton/slc6-fuse-ab:latest
docker_privileged: False
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    def load(content: str, *drop_ins: str, has_apparmor: bool = True) -> Loaded:
        monkeypatch.setattr(config, "has_apparmor", lambda: has_apparmor)
        files = {"config.yaml": content}
        files |= {f"config.d/{index}.yaml": drop_in for index, drop_in in enumerate(drop_ins)}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(mode=0o755, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
        return config.load_config(str(tmp_path / "config.yaml"))

    return load


def config_of(loaded: Loaded) -> Config:
    assert loaded.faults == ()
    return loaded.config


def pilot_of(loaded: Loaded) -> PilotType:
    (pilot,) = config_of(loaded).pilots
    return pilot


def test_a_site_configuration_keeps_its_meaning(load: Load) -> None:
    loaded = load(SITE)
    found = config_of(loaded)
    assert evaluate(found.host.max_pilots, HOST) == 8
    assert found.reclaim.after_seconds == 10.0
    assert found.spawn.cooldown_seconds == 20.0
    pilot = pilot_of(loaded)
    assert pilot.name == "default"
    assert pilot.image == "plancton/slc6-fuse-ab:latest"
    assert pilot.command == ("/tmp/condor-container-pilot",)
    assert pilot.lifetime_seconds == 500.0
    assert pilot.devices == (Device("/dev/fuse", "/dev/fuse", "rw"),)
    assert pilot.cap_add == ("SYS_ADMIN",)
    assert [mount.target for mount in pilot.mounts] == [
        "/etc/condor/config.d/10-common.config",
        "/etc/condor/condor_config",
    ]
    noted = [note.split(": ")[1] for note in loaded.notes]
    assert noted == ["main_sleep", "updateconfig", "binds"]


def test_what_it_leaves_out_has_the_defaults_of_plancton_06(load: Load) -> None:
    found = config_of(load("main_sleep: 30"))
    (pilot,) = found.pilots
    assert evaluate(found.host.max_pilots, HOST) == 7
    assert found.host.reserve_cpus == 0.0
    assert found.spawn == (4, 60.0)
    assert found.reclaim.after_seconds == 120.0
    assert found.reclaim.action is ReclaimAction.STOP
    assert (pilot.image, pilot.command) == ("busybox", ("/bin/sleep", "60"))
    assert (pilot.cpus, pilot.memory_bytes, pilot.swap_bytes) == (1.0, 2_000_000_000, 0)
    assert (pilot.lifetime_seconds, pilot.pull_seconds) == (43200.0, 43200.0)
    assert (pilot.user, pilot.privileged, pilot.network) == ("0:0", False, "bridge")
    assert pilot.security_opt == ("no-new-privileges=false",)
    assert (pilot.mounts, pilot.devices, pilot.cap_add, pilot.cap_drop) == ((), (), (), ())


@pytest.mark.parametrize(
    ("written", "pilots"),
    [
        ("3", 3),
        ("'3'", 3),
        ("3.7", 3.7),
        ("ncpus - 2", 7),
        ("ncpus / 2", 4),
        ("ncpus / 2 * 2", 8),
        ("ncpus / 2.0", 4.5),
        ("ncpus * 0.5", 4.5),
        ("float(ncpus) / 2", 4.5),
        ("int(ncpus * 0.5) * 2", 8),
        ("min(ncpus - 1, ram_bytes / max_dock_mem)", 5),
        ("min(ncpus, (ram_bytes + swap_bytes) / (max_dock_mem + max_dock_swap))", 5),
    ],
)
def test_max_docks_is_what_python_2_made_of_it(load: Load, written: str, pilots: float) -> None:
    loaded = load(f"max_docks: {written}\nmax_dock_mem: 3000000000\nmax_dock_swap: 1000000000")
    assert evaluate(config_of(loaded).host.max_pilots, HOST) == pilots


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("image_expiration: 3600", "pull_seconds", 3600.0),
        ("cpus_per_dock: 0.5", "cpus", 0.5),
        ("max_ttl: 60", "lifetime_seconds", 60.0),
        ("docker_image: reg.example.org:5000/a/b:1", "image", "reg.example.org:5000/a/b:1"),
        ("docker_cmd: /bin/sleep 60", "command", ("/bin/sleep", "60")),
        ("docker_cmd: [/bin/sh, -c, sleep 60]", "command", ("/bin/sh", "-c", "sleep 60")),
        ("docker_cmd: [/bin/sleep, 60]", "command", ("/bin/sleep", "60")),
        ("docker_cmd: echo 'a b'", "command", ("echo", "'a", "b'")),
        ("docker_privileged: True", "privileged", True),
        ("max_dock_mem: 1000000000", "memory_bytes", 1_000_000_000),
        ("max_dock_swap: 500000000", "swap_bytes", 500_000_000),
        ("user_group: 1000:1000", "user", "1000:1000"),
        ("user_group: 1000:10", "user", "1000:10"),
        ("user_group: nobody", "user", "nobody"),
        ("binds: ['/a:/b']", "mounts", (Mount("/a", "/b", True, "rprivate"),)),
        ("binds: ['/a:/b:ro']", "mounts", (Mount("/a", "/b", True, "rprivate"),)),
        ("devices: ['/dev/a:/dev/b:rw']", "devices", (Device("/dev/a", "/dev/b", "rw"),)),
        ("devices: [/dev/a]", "devices", (Device("/dev/a", "/dev/a", "rwm"),)),
        (
            "devices: [{PathOnHost: /dev/a, PathInContainer: /dev/b, CgroupPermissions: r}]",
            "devices",
            (Device("/dev/a", "/dev/b", "r"),),
        ),
        ("devices: [{PathOnHost: /dev/a}]", "devices", (Device("/dev/a", "/dev/a", "rwm"),)),
        ("capabilities: [SYS_ADMIN, +KILL, -MKNOD, '']", "cap_add", ("SYS_ADMIN", "KILL")),
        ("capabilities: [SYS_ADMIN, +KILL, -MKNOD, '']", "cap_drop", ("MKNOD",)),
        (
            "security_opts: ['apparmor:docker-cvmfs', label:type:a, seccomp=x]",
            "security_opt",
            ("apparmor=docker-cvmfs", "label=type:a", "seccomp=x", "no-new-privileges=false"),
        ),
        ("security_opts: [no-new-privileges]", "security_opt", ("no-new-privileges",)),
    ],
)
def test_pilot_values_keep_their_meaning(
    load: Load, written: str, field: str, value: object
) -> None:
    assert getattr(pilot_of(load(written)), field) == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("docks_per_loop: 2", "config.spawn.per_tick == 2"),
        ("grace_spawn: 5", "config.spawn.cooldown_seconds == 5"),
        ("grace_kill: 0", "config.reclaim.after_seconds == 0"),
    ],
)
def test_host_values_keep_their_meaning(load: Load, written: str, value: str) -> None:
    assert eval(value, {"config": config_of(load(written))})


@pytest.mark.parametrize(
    "written",
    [
        "updateconfig: 10",
        "main_sleep: 5",
    ],
)
def test_keys_without_a_counterpart_are_noted(load: Load, written: str) -> None:
    loaded = load(f"max_docks: 3\n{written}")
    assert loaded.faults == ()
    (note,) = loaded.notes
    assert f"config.yaml:2: {written.partition(':')[0]}: has no counterpart" in note


@pytest.mark.parametrize(
    ("written", "databases"),
    [
        (
            "influxdb_url: http://db.example.org:8086#plancton",
            (Database("http://db.example.org:8086", "plancton"),),
        ),
        (
            "influxdb_url: ['http://a#b', 'https://u:p%40@c/d/#e', 'http://a#b']",
            (Database("http://a", "b"), Database("https://c/d", "e", "u", "p@")),
        ),
        ("influxdb_url: []", ()),
        ("influxdb_url:", ()),
    ],
)
def test_databases_keep_their_meaning_and_what_has_to_be_on_is_said(
    load: Load, written: str, databases: tuple[Database, ...]
) -> None:
    loaded = load(f"max_docks: 3\n{written}")
    assert config_of(loaded).metrics.influxdb == databases
    (note,) = loaded.notes
    assert "config.yaml:2: influxdb_url: written to by plancton-metrics" in note


def test_any_certificate_is_taken_where_06_took_any(load: Load) -> None:
    assert config_of(load("insecure_https: true")).metrics.insecure_https
    assert not config_of(load("main_sleep: 5")).metrics.insecure_https


def test_security_options_are_left_out_without_apparmor(load: Load) -> None:
    loaded = load("security_opts: ['apparmor:docker-cvmfs']", has_apparmor=False)
    assert pilot_of(loaded).security_opt == ("no-new-privileges=false",)
    assert "security_opts: left out" in loaded.notes[0]


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (
            "secopt: [x]",
            "2: secopt: expected a key of Plancton 0.6, got an unknown key; "
            "did you mean security_opts?",
        ),
        ("influxdb_url: http://db", "2: influxdb_url: expected URL#database such as http"),
        ("influxdb_url: ['http://db']", "2: influxdb_url[0]: expected URL#database"),
        ("insecure_https: 1", "2: insecure_https: expected true or false"),
        ("max_dock_mem: lots", "2: max_dock_mem: expected a size"),
        ("max_docks: import os", "2: max_docks: expected a number or an expression over ncpus"),
        ("max_docks: yes", "2: max_docks: expected a number or an expression, got the boolean yes"),
        ("max_docks: ncpu", "did you mean 'ncpus'?"),
        ("grace_kill: -1", "2: grace_kill: expected a duration"),
        ("docker_cmd:", "2: docker_cmd: expected a command as one line or a list of words"),
        ("docker_cmd: []", "2: docker_cmd: expected a command"),
        ("docker_cmd: [[a]]", "2: docker_cmd[0]: expected a word, got a list"),
        ("binds: [a]", "2: binds[0]: expected /source:/target, got 'a'"),
        ("binds: ['/a:/b:rw']", "2: binds[0]: expected /source:/target without options"),
        (
            "devices: [{PathOnHots: /dev/a, PathOnHost: /dev/a}]",
            "2: devices[0]: expected one of PathOnHost",
        ),
        ("devices: [{PathInContainer: /dev/a}]", "2: devices[0]: expected PathOnHost, got none"),
        ("devices: [3]", "2: devices[0]: expected /dev/host"),
        ("capabilities: SYS_ADMIN", "2: capabilities: expected a list"),
        ("capabilities: [3]", "2: capabilities[0]: expected a capability"),
        ("docker_privileged: 1", "2: docker_privileged: expected true or false"),
    ],
)
def test_faults_name_the_keys_as_they_were_written(load: Load, written: str, fault: str) -> None:
    loaded = load(f"main_sleep: 5\n{written}")
    (found,) = loaded.faults
    assert fault in found
    assert loaded.config.pilots


def test_every_wrong_type_is_a_fault_and_the_configuration_complete(load: Load) -> None:
    for key in classic.KEYS:
        for value in ("{a: b}", "[[[]]]", "'x y'", "-1", "~", "yes", "3.5e+400"):
            loaded = load(f"{key}: {value}")
            (pilot,) = loaded.config.pilots
            assert pilot.image
            assert all(f": {key}" in fault for fault in loaded.faults)


def test_a_file_that_mixes_old_and_new_keys_has_a_fault_for_each_old_one(load: Load) -> None:
    loaded = load("max_docks: 3\nhost: {sample: 2s}\nmain_sleep: 5\n")
    first, second = loaded.faults
    assert "1: max_docks: expected host.max_pilots, got a key of Plancton 0.6" in first
    assert "3: main_sleep: expected nothing" in second
    assert loaded.config.host.sample_seconds == 2.0


def test_drop_ins_of_either_kind_are_laid_over_a_classic_file(load: Load) -> None:
    loaded = load(
        SITE,
        "cpus_per_dock: 2\nmax_dock_mem: 1000000000",
        "pilots: [{name: default, memory: 1G}]\nhost: {sample: 2s}",
    )
    pilot = pilot_of(loaded)
    assert (pilot.cpus, pilot.memory_bytes, pilot.lifetime_seconds) == (2.0, 1024**3, 500.0)
    assert loaded.config.host.sample_seconds == 2.0
    assert loaded.config.host.reserve_cpus == 0.0


def test_a_classic_drop_in_over_a_file_of_today_is_a_fault(load: Load) -> None:
    loaded = load("host: {sample: 2s}", "max_docks: 3")
    (fault,) = loaded.faults
    assert "0.yaml:1: max_docks: expected host.max_pilots" in fault


def test_a_translation_tells_where_each_value_came_from() -> None:
    faults = Faults()
    root = parse_yaml(SITE.encode(), "old.yaml", 0, faults)
    assert root is not None
    assert classic.is_classic(root)
    translation = classic.translate(root, faults, has_apparmor=True)
    values = {value.key: value for value in translation.values}
    assert set(values) == {*classic.KEYS, ""}
    place = values["grace_kill"].place
    assert place is not None
    assert place.line == 6
    assert values["grace_kill"].today == "reclaim.after"
    assert values["max_dock_mem"].place is None
    assert values["main_sleep"].node is None
    assert "plancton.timer" in values["main_sleep"].change


def test_every_key_has_its_place_among_the_keys_of_today() -> None:
    todays = {path for key in classic.KEYS.values() for path in key.today.split(", ") if path}
    assert todays <= set(key_paths())


def test_every_key_of_plancton_06_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    table = text.split("| key of 0.6 |")[1].split("\n\n")[0].splitlines()[2:]
    rows = {
        cells[1]: cells[2:4] for cells in ([c.strip(" `") for c in row.split("|")] for row in table)
    }
    expected = {
        name: [key.default or "none", key.today or "none"] for name, key in classic.KEYS.items()
    }
    assert rows == expected
