"""What a pilot's container is made of."""

import re
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton_tick.container import config_hash, host_name, make_body
from plancton_tick.model import LABEL_CONFIG, LABEL_SLOT, Device, Mount, PilotType
from tests.worlds import GIB, NOW, make_type

# RFC 1123: letters, digits and hyphens, neither first nor last a hyphen, at most 63.
DNS_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def body_of(
    pilot_type: PilotType,
    *,
    slot: int = 3,
    instance: str = "plancton",
    cgroup_driver: str = "systemd",
    has_journald: bool = True,
) -> dict[str, object]:
    return make_body(
        pilot_type,
        slot=slot,
        now=NOW,
        node="node7.example.org",
        instance=instance,
        cgroup_driver=cgroup_driver,
        has_journald=has_journald,
    )


def host_config(pilot_type: PilotType, **options: str | bool) -> dict[str, object]:
    body = body_of(pilot_type, **options)  # type: ignore[arg-type]  # each option has its type
    return cast("dict[str, object]", body["HostConfig"])


# --- the host name -------------------------------------------------------------------------------


def test_the_host_name_tells_host_type_and_slot() -> None:
    name = host_name("htcondor", 12, NOW, "node7.example.org")
    assert name.startswith("node7-htcondor-12-")


@settings(max_examples=200)
@given(
    name=st.text(max_size=80) | st.sampled_from(("a" * 41, "a_b.c", "-", "Ünïcode", "a-" * 20)),
    node=st.text(max_size=80) | st.sampled_from(("n" * 64, "-", "", ".", "UPPER", "a.b", "n--")),
    slot=st.integers(0, 10**6),
    now=st.floats(0, 2**34),
)
def test_the_host_name_is_a_dns_label_whatever_the_host_and_the_type_are_called(
    name: str, node: str, slot: int, now: float
) -> None:
    assert DNS_LABEL.fullmatch(host_name(name, slot, now, node))


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 10**6)), unique=True, max_size=20),
    st.sampled_from(("default", "x" * 41)),
    st.sampled_from(("node", "n" * 63)),
)
def test_no_two_pilots_of_a_host_have_the_same_host_name(
    births: list[tuple[int, int]], name: str, node: str
) -> None:
    """Births of one slot are at least a few milliseconds apart: the engine takes that long."""
    names = {host_name(name, slot, NOW + at * 0.002, node) for slot, at in births}
    assert len(names) == len(births)


# --- resources -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("swap", "total"),
    [
        pytest.param(0, 2 * GIB, id="no swap: the sum is the memory"),
        pytest.param(GIB, 3 * GIB, id="swap is beside the memory"),
    ],
)
def test_swap_is_beside_memory(swap: int, total: int) -> None:
    host = host_config(make_type(memory=2 * GIB, swap=swap))
    assert (host["Memory"], host["MemorySwap"]) == (2 * GIB, total)


@pytest.mark.parametrize(("cpus", "nano"), [(0.1, 10**8), (0.3, 3 * 10**8), (4.0, 4 * 10**9)])
def test_cpus_are_a_quota(cpus: float, nano: int) -> None:
    assert host_config(make_type(cpus=cpus))["NanoCpus"] == nano


@pytest.mark.parametrize(
    ("driver", "instance", "parent"),
    [
        ("systemd", "plancton", "plancton-slot3.slice"),
        ("cgroupfs", "plancton", "/plancton.slice/plancton-slot3.slice"),
        ("systemd", "plancton-demo", "plancton-demo-slot3.slice"),
        ("", "plancton", "/plancton.slice/plancton-slot3.slice"),
    ],
)
def test_the_cgroup_parent_is_written_as_the_driver_reads_it(
    driver: str, instance: str, parent: str
) -> None:
    host = host_config(make_type(), cgroup_driver=driver, instance=instance)
    assert host["CgroupParent"] == parent


def test_the_owner_goes_first_and_init_passes_signals_on() -> None:
    host = host_config(make_type())
    assert host["OomScoreAdj"] == 1000
    assert host["PidsLimit"] == 4096
    assert host["Init"] is True
    assert "RestartPolicy" not in host
    assert "AutoRemove" not in host
    assert "Binds" not in host


# --- security ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "privileged", "expected"),
    [
        pytest.param((), False, ["no-new-privileges"], id="no new privileges by default"),
        pytest.param((), True, [], id="a privileged pilot says otherwise"),
        pytest.param(("no-new-privileges=false",), False, [], id="so does this"),
        pytest.param(("no-new-privileges:false",), False, [], id="and this"),
        pytest.param(
            ("no-new-privileges:true",), False, ["no-new-privileges:true"], id="said once is enough"
        ),
        pytest.param(("no-new-privileges",), True, ["no-new-privileges"], id="even if privileged"),
        pytest.param(
            ("label=disable",), False, ["label=disable", "no-new-privileges"], id="beside others"
        ),
    ],
)
def test_security_options(options: tuple[str, ...], privileged: bool, expected: list[str]) -> None:
    host = host_config(make_type(security_opt=options, privileged=privileged))
    assert host["SecurityOpt"] == expected
    assert host["Privileged"] is privileged


def test_capabilities_mounts_and_devices_are_passed_on() -> None:
    pilot_type = make_type()._replace(
        cap_add=("SYS_PTRACE",),
        cap_drop=("ALL",),
        mounts=(Mount("/cvmfs", "/cvmfs", True, "rslave"),),
        devices=(Device("/dev/fuse", "/dev/fuse", "rwm"),),
        network="host",
    )
    host = host_config(pilot_type)
    assert (host["CapAdd"], host["CapDrop"]) == (["SYS_PTRACE"], ["ALL"])
    assert host["NetworkMode"] == "host"
    assert host["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/cvmfs",
            "Target": "/cvmfs",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rslave"},
        }
    ]
    assert host["Devices"] == [
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}
    ]


# --- logs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "has_journald", "driver"),
    [
        pytest.param("journald", True, "journald", id="the journal where there is one"),
        pytest.param("journald", False, "json-file", id="a file where there is none"),
        pytest.param("json-file", True, "json-file", id="a file if asked for"),
        pytest.param("none", False, "none", id="any other driver as it is"),
    ],
)
def test_the_log_driver(log: str, has_journald: bool, driver: str) -> None:
    host = host_config(make_type(log=log), has_journald=has_journald)
    config = cast("dict[str, object]", host["LogConfig"])
    assert config["Type"] == driver
    bounded = {"max-size": "10m", "max-file": "1"}
    assert config["Config"] == (bounded if driver == "json-file" else {})


# --- the rest ------------------------------------------------------------------------------------


def test_a_pilot_knows_what_it_is_and_its_type_may_say_more() -> None:
    body = body_of(make_type("alpha", cpus=0.5, lifetime=60, env=(("SITE", "cern"),)))
    env = dict(line.split("=", 1) for line in cast("list[str]", body["Env"]))
    assert env["PLANCTON_PILOT"] == body["Hostname"]
    assert env["PLANCTON_TYPE"] == "alpha"
    assert env["PLANCTON_SLOT"] == "3"
    assert env["PLANCTON_CPUS"] == "0.5"
    assert env["PLANCTON_EXPIRES_AT"] == f"{NOW + 60:.0f}"
    assert env["SITE"] == "cern"


@pytest.mark.parametrize(
    ("pilot_type", "expected"),
    [
        (make_type(command=("a", "b c")), {"Cmd": ["a", "b c"]}),
        (make_type(command=None), {}),
        (make_type(command=None, user="1000:1000"), {"User": "1000:1000"}),
    ],
)
def test_the_images_own_command_and_user_hold_unless_the_type_has_others(
    pilot_type: PilotType, expected: dict[str, object]
) -> None:
    body = body_of(pilot_type)
    assert {key: body[key] for key in ("Cmd", "User") if key in body} == expected


@pytest.mark.parametrize(("grace", "seconds"), [(30.0, 30), (0.0, 1), (0.4, 1), (90.6, 91)])
def test_the_engine_itself_grants_the_same_grace(grace: float, seconds: int) -> None:
    assert body_of(make_type(stop_grace=grace))["StopTimeout"] == seconds


def test_the_label_tells_which_definition_a_pilot_was_born_from() -> None:
    one, other = make_type(cpus=1.0), make_type(cpus=2.0)
    assert config_hash(one) == config_hash(make_type(cpus=1.0)) != config_hash(other)
    labels = cast("dict[str, str]", body_of(one)["Labels"])
    assert labels[LABEL_CONFIG] == config_hash(one)
    assert labels[LABEL_SLOT] == "3"
