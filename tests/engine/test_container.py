"""What the engine really makes of a pilot, seen from outside and from inside."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from plancton_tick.model import (
    LABEL_CONFIG,
    LABEL_CPUS,
    LABEL_EXPIRES_AT,
    LABEL_INSTANCE,
    LABEL_MEMORY,
    LABEL_SLOT,
    LABEL_SPAWNED_AT,
    LABEL_TYPE,
    LABEL_VERSION,
)
from tests.engine.ticks import Node

MIB = 1024**2


def spawn(node: Node, **pilot: object) -> dict[str, Any]:
    """Let a tick spawn one pilot, and return what the engine tells of it."""
    node.configure(pilot, host={"max_pilots": 1})
    assert node.tick().has_done(1, "spawned")
    (found,) = node.containers()
    inspected: dict[str, Any] = node.rest.get(f"/containers/{found['Id']}/json")
    return inspected


def inside(node: Node, pilot: dict[str, Any], *command: str) -> str:
    """Run a command inside a pilot and return what it prints."""
    body = {"AttachStdout": True, "AttachStderr": True, "Tty": True, "Cmd": command}
    made = node.rest.post(f"/containers/{pilot['Id']}/exec", body)["Id"]
    text = node.rest.post(f"/exec/{made}/start", {"Tty": True})
    return str(text or "").replace("\r", "")


def field(text: str, key: str) -> str:
    """Return a field of a file like /proc/self/status."""
    (value,) = re.findall(rf"^{key}:\s*(.*)$", text, re.MULTILINE)
    return str(value)


def test_it_is_capped_as_its_type_says(node: Node) -> None:
    pilot = spawn(node, cpus=0.25, memory="32M", swap="16M", pids=77)
    host = pilot["HostConfig"]
    assert host["NanoCpus"] == 250_000_000
    assert host["Memory"] == 32 * MIB
    assert host["MemorySwap"] == (32 + 16) * MIB
    assert host["PidsLimit"] == 77
    assert host["OomScoreAdj"] == 1000
    assert Path(f"/proc/{pilot['State']['Pid']}/oom_score_adj").read_text() == "1000\n"


def test_it_lives_in_its_slots_group_in_the_slice_of_its_instance_at_the_top_of_the_tree(
    node: Node,
) -> None:
    pilot = spawn(node)
    driver = node.rest.get("/info")["CgroupDriver"]
    name = f"{node.instance}.slice/{node.instance}-slot0.slice"
    lines = Path(f"/proc/{pilot['State']['Pid']}/cgroup").read_text().splitlines()
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    if driver == "cgroupfs":
        assert pilot["HostConfig"]["CgroupParent"] == f"/{name}"
        mine = {path for path in paths.values() if pilot["Id"] in path}
        assert mine == {f"/{name}/{pilot['Id']}"}
    else:
        assert pilot["HostConfig"]["CgroupParent"] == Path(name).name
        assert all(f"{name}/" in path for path in paths.values() if pilot["Id"] in path)
    top = Path("/sys/fs/cgroup")
    folders = [*top.glob(f"*/{name}/*{pilot['Id']}*"), *top.glob(f"{name}/*{pilot['Id']}*")]
    assert folders


def test_the_slice_has_the_lowest_weight_of_all_where_no_systemd_sets_it(node: Node) -> None:
    spawn(node)
    name = f"{node.instance}.slice"
    top = Path("/sys/fs/cgroup")
    if Path("/run/systemd/system").exists():
        return
    found = {path.name: path.read_text().strip() for path in top.glob(f"cpu*/{name}/cpu.*")}
    found |= {path.name: path.read_text().strip() for path in top.glob(f"{name}/cpu.*")}
    assert found.get("cpu.idle") == "1" or found.get("cpu.shares") == "2", found


def test_it_can_gain_no_privileges_and_its_first_process_is_an_init(node: Node) -> None:
    pilot = spawn(node, user="1000:1001", cap_drop=["ALL"])
    assert pilot["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert pilot["HostConfig"]["Init"] is True
    status = inside(node, pilot, "cat", "/proc/self/status")
    assert field(status, "NoNewPrivs") == "1"
    assert field(status, "Uid").split() == ["1000"] * 4
    assert field(status, "Gid").split() == ["1001"] * 4
    assert int(field(status, "CapBnd"), 16) == 0
    assert "init" in inside(node, pilot, "cat", "/proc/1/comm")
    # Under the init is the command itself, and what dies in there is reaped.
    assert inside(node, pilot, "cat", "/proc/1/cmdline").replace("\0", " ").split() == [
        "/sbin/docker-init",
        "--",
        "sleep",
        "1000",
    ]


def test_privileges_are_given_where_its_type_says_so(node: Node) -> None:
    options = ["no-new-privileges=false", "seccomp=unconfined"]
    pilot = spawn(node, security_opt=options, cap_add=["SYS_PTRACE"])
    assert pilot["HostConfig"]["SecurityOpt"] == ["seccomp=unconfined"]
    assert pilot["HostConfig"]["CapAdd"] == ["SYS_PTRACE"]
    status = inside(node, pilot, "cat", "/proc/self/status")
    assert field(status, "NoNewPrivs") == "0"
    assert field(status, "Seccomp") == "0"
    assert int(field(status, "CapBnd"), 16) & 1 << 19


def test_its_labels_tell_all_that_later_ticks_need(node: Node) -> None:
    before = time.time()
    pilot = spawn(node, cpus=0.5, memory="32M", lifetime="1h", labels={"site": "here"})
    labels = pilot["Config"]["Labels"]
    assert labels["site"] == "here"
    assert labels[LABEL_TYPE] == "pilot"
    assert labels[LABEL_INSTANCE] == node.instance
    assert labels[LABEL_SLOT] == "0"
    assert before <= float(labels[LABEL_SPAWNED_AT]) <= time.time()
    assert float(labels[LABEL_EXPIRES_AT]) - float(labels[LABEL_SPAWNED_AT]) == pytest.approx(3600)
    assert float(labels[LABEL_CPUS]) == 0.5
    assert int(labels[LABEL_MEMORY]) == 32 * MIB
    assert re.fullmatch("[0-9a-f]{12}", labels[LABEL_CONFIG])
    assert labels[LABEL_VERSION]
    assert pilot["Name"] == f"/{node.instance}-0"


def test_it_is_told_what_it_has(node: Node) -> None:
    pilot = spawn(node, cpus=0.5, memory="32M", env={"POOL": "a=b c", "PLANCTON_TYPE": "mine"})
    text = inside(node, pilot, "env")
    told = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    assert told["POOL"] == "a=b c"
    assert told["PLANCTON_PILOT"] == pilot["Config"]["Hostname"]
    assert told["PLANCTON_SLOT"] == "0"
    assert told["PLANCTON_CPUS"] == "0.5"
    assert told["PLANCTON_MEMORY_BYTES"] == str(32 * MIB)
    expires_at = float(pilot["Config"]["Labels"][LABEL_EXPIRES_AT])
    assert abs(int(told["PLANCTON_EXPIRES_AT"]) - expires_at) <= 1
    # Who writes it in the configuration means it.
    assert told["PLANCTON_TYPE"] == "mine"


def test_no_two_pilots_ever_have_the_same_host_name(node: Node) -> None:
    long = "a-type_with.a-name-as-long-as-they-may-be"
    node.configure({"name": long, "command": ["true"]}, host={"max_pilots": 3})
    names = []
    for _ in range(2):
        assert node.tick().code == 0
        for each in node.containers():
            node.wait_until_exited(each["Id"])
            found = node.rest.get(f"/containers/{each['Id']}/json")["Config"]["Hostname"]
            names.append(found)
            node.rest.delete(f"/containers/{each['Id']}")
    assert len(names) == len(set(names)) == 6
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", name) for name in names), names
    assert all("a-type-with" in name for name in names)


def test_what_it_says_is_kept_within_bounds(node: Node) -> None:
    pilot = spawn(node, log="json-file")
    log = pilot["HostConfig"]["LogConfig"]
    assert log["Type"] == "json-file"
    assert re.fullmatch(r"\d+m", log["Config"]["max-size"])
    assert int(log["Config"]["max-file"]) <= 2


def test_its_log_is_kept_by_the_engine_where_there_is_no_journal(node: Node) -> None:
    pilot = spawn(node, log="journald")
    has_journal = Path("/run/systemd/journal/socket").exists()
    expected = "journald" if has_journal else "json-file"
    assert pilot["HostConfig"]["LogConfig"]["Type"] == expected


def test_mounts_are_read_only_unless_they_say_otherwise(node: Node, tmp_path: Path) -> None:
    for name in ("shown", "lent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("there")
    mounts = [
        {"source": str(tmp_path / "shown"), "target": "/shown", "propagation": "rprivate"},
        f"{tmp_path}/lent:/lent:rw,rprivate",
    ]
    pilot = spawn(node, mounts=mounts)
    assert inside(node, pilot, "cat", "/shown/file", "/lent/file") == "therethere"
    assert "Read-only file system" in inside(node, pilot, "touch", "/shown/new")
    assert inside(node, pilot, "touch", "/lent/new") == ""
    assert (tmp_path / "lent" / "new").exists()


def test_mounts_follow_the_host_by_default(node: Node, tmp_path: Path) -> None:
    types = node.types()
    assert types["pilot"].mounts == ()
    node.configure({"mounts": [f"{tmp_path}:/data"]})
    made = node.make(0, start=False)
    (mount,) = node.rest.get(f"/containers/{made}/json")["HostConfig"]["Mounts"]
    assert mount["ReadOnly"] is True
    assert mount["BindOptions"]["Propagation"] == "rslave"


def test_a_mount_whose_source_is_missing_is_an_error_and_makes_no_folder(
    node: Node, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    node.configure({"mounts": [f"{missing}:/data:rprivate"]}, host={"max_pilots": 1})
    done = node.tick()
    assert (done.code, len(done.lines)) == (75, 1)
    assert str(missing) in done.err
    assert not missing.exists()


def test_a_plain_command_ends_at_once_on_sigterm(node: Node) -> None:
    pilot = spawn(node, command=["sleep", "1000"])
    node.wait_until_up(pilot["Id"])
    begin = time.monotonic()
    node.rest.post(f"/containers/{pilot['Id']}/kill", signal="SIGTERM")
    assert node.rest.post(f"/containers/{pilot['Id']}/wait")["StatusCode"] == 143
    assert time.monotonic() - begin < 10
