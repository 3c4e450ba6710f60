"""Every key of the configuration: its form, its bounds and its default."""

from collections.abc import Sequence
from typing import Any

from plancton_tick.config_check import REQUIRED, Check, Key, Wrong, check_section
from plancton_tick.config_forms import (
    INFINITY,
    boolean,
    choice,
    command,
    duration,
    expression,
    integer,
    list_of,
    number,
    optional,
    pairs,
    read_text,
    size,
    text,
)
from plancton_tick.config_influx import databases
from plancton_tick.config_node import Faults, MapNode, Node
from plancton_tick.model import DEFAULT_INSTANCE, LABEL, Device, Mount, ReclaimAction

GIB = 1024**3
# The engine refuses less than this for a container's memory.
MIN_MEMORY = 6 * 1024**2
# The engine's least CPU quota is a hundredth of a core.
MIN_CPUS = 0.01
MAX_CPUS = 4096

EXPRESSION_NAMES = ("ncpus", "ram_bytes", "swap_bytes")
DEFAULT_IMAGE = "busybox"
DEFAULT_COMMAND = ("sleep", "60")

PROPAGATIONS = ("rslave", "slave", "rshared", "shared", "rprivate", "private")

HOST = (
    Key("max_pilots", "max_pilots", expression(EXPRESSION_NAMES), "ncpus", ("ncpus",)),
    Key("reserve.cpus", "reserve_cpus", number(0, MAX_CPUS), "1", 1.0),
    Key("reserve.memory", "reserve_memory_bytes", size(0), "1G", GIB),
    Key("reserve.disk", "reserve_disk_bytes", size(0), "2G", 2 * GIB),
    Key("sample", "sample_seconds", duration(0.05, 60), "1s", 1.0),
)

SPAWN = (
    Key("per_tick", "per_tick", integer(0, 1000), "4", 4),
    Key("cooldown", "cooldown_seconds", duration(0), "60s", 60.0),
)

RECLAIM = (
    Key("tolerance", "tolerance_cores", number(0, MAX_CPUS), "0.5", 0.5),
    Key("after", "after_seconds", duration(0), "10s", 10.0),
    Key("action", "action", choice(tuple(ReclaimAction)), "pause", ReclaimAction.PAUSE),
    Key("pause_at_most", "pause_at_most_seconds", duration(0, INFINITY), "2min", 120.0),
)

ENGINE = (
    Key(
        "socket",
        "socket",
        text(r"(unix:///|tcp://|ssh://|https?://)\S+", "a URL such as unix:///run/docker.sock"),
        "unix:///run/docker.sock",
        "unix:///run/docker.sock",
    ),
    Key("timeout", "timeout_seconds", duration(0, 300, above_zero=True), "5s", 5.0),
    Key(
        "instance",
        "instance",
        text(r"[a-z][a-z0-9-]{0,30}", "a name of a-z, 0-9 and -, at most 31 characters"),
        DEFAULT_INSTANCE,
        DEFAULT_INSTANCE,
    ),
)

_ABSOLUTE = text(r"/.*", "an absolute path")

METRICS = (
    Key("textfile", "textfile", optional(_ABSOLUTE), "null", None),
    Key("influxdb", "influxdb", databases, "[]", ()),
    Key("insecure_https", "insecure_https", boolean, "false", False),
)

_DEVICE_PATH = text(r"/[^:]*", "an absolute path without colons")
_PERMISSIONS = text(r"(?=[rwm]+$)(?!.*(.).*\1).*", "some of the letters rwm")

MOUNT = (
    Key("source", "source", _ABSOLUTE, REQUIRED, REQUIRED),
    Key("target", "target", _ABSOLUTE, REQUIRED, REQUIRED),
    Key("read_only", "read_only", boolean, "true", True),
    Key("propagation", "propagation", choice(PROPAGATIONS), "rslave", "rslave"),
)

DEVICE = (
    Key("host", "host", _DEVICE_PATH, REQUIRED, REQUIRED),
    Key("container", "container", optional(_DEVICE_PATH), "the same", None),
    Key("permissions", "permissions", _PERMISSIONS, "rwm", "rwm"),
)


def mount(node: Node, path: str, faults: Faults) -> Mount:
    """Accept ``/source:/target[:options]`` or a mapping."""
    if isinstance(node, MapNode):
        return Mount(**_complete(MOUNT, node, path, faults))
    expected = "/source:/target[:ro|rw][,rslave|rprivate|rshared|…]"
    source, _, rest = read_text(node, expected).partition(":")
    target, _, options = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/"):
        raise Wrong(expected)
    read_only, propagation = True, "rslave"
    for option in filter(None, options.split(",")):
        if option in ("ro", "rw"):
            read_only = option == "ro"
        elif option in PROPAGATIONS:
            propagation = option
        else:
            raise Wrong(expected)
    return Mount(source, target, read_only, propagation)


def device(node: Node, path: str, faults: Faults) -> Device:
    """Accept ``/dev/host[:/dev/container][:rwm]`` or a mapping."""
    if isinstance(node, MapNode):
        values = _complete(DEVICE, node, path, faults)
        return Device(values["host"], values["container"] or values["host"], values["permissions"])
    expected = "/dev/host[:/dev/container][:rwm]"
    host, *rest = read_text(node, expected).split(":")
    container = rest.pop(0) if rest and rest[0].startswith("/") else host
    permissions = rest.pop(0) if rest else "rwm"
    is_set = permissions and set(permissions) <= set("rwm")
    if not host.startswith("/") or rest or not is_set or len(set(permissions)) < len(permissions):
        raise Wrong(expected)
    return Device(host, container, permissions)


def _complete(keys: Sequence[Key], node: Node, path: str, faults: Faults) -> dict[str, Any]:
    values = check_section(keys, node, path, faults).values
    # A missing path was reported; the pilot type is left out, so that this is never used.
    return {field: "/" if value is REQUIRED else value for field, value in values.items()}


def capability(node: Node, path: str, faults: Faults) -> str:
    """Accept the name of a capability, with or without ``CAP_``, or ``ALL``."""
    expected = "a capability such as SYS_PTRACE"
    name = text(r"[A-Za-z_]+", expected)(node, path, faults)
    return str(name).upper()


_CODES: Check = list_of(integer(0, 255, "an exit code"), "a list of exit codes", or_one=True)
_WORDS = "letters, digits and . _ - /"

PILOT = (
    Key(
        "name",
        "name",
        text(
            r"[a-z0-9][a-z0-9_.-]{0,40}",
            "1 to 41 characters of a-z, 0-9 and _.-, the first a letter or digit",
        ),
        "default",
        "default",
    ),
    Key("image", "image", text(r"[^\s-]\S{0,400}", "an image"), "busybox", DEFAULT_IMAGE),
    Key("command", "command", command, "null", None),
    Key("cpus", "cpus", number(MIN_CPUS, MAX_CPUS), "1", 1.0),
    Key("memory", "memory_bytes", size(MIN_MEMORY), "2G", 2 * GIB),
    Key("swap", "swap_bytes", size(0), "0", 0),
    Key("share", "share", number(0, 1e6), "1", 1.0),
    Key("max", "max_live", optional(integer(0, 1_000_000)), "null", None),
    Key("lifetime", "lifetime_seconds", duration(0, INFINITY, above_zero=True), "12h", 43200.0),
    Key("stop_grace", "stop_grace_seconds", duration(0), "30s", 30.0),
    Key("fizzle", "fizzle_seconds", duration(0), "30s", 30.0),
    Key("backoff", "backoff_seconds", duration(0, above_zero=True), "30s", 30.0),
    Key("backoff_max", "backoff_max_seconds", duration(0, above_zero=True), "1h", 3600.0),
    Key("exit_codes.done", "done", _CODES, "[0]", (0,)),
    Key("exit_codes.no_work", "no_work", _CODES, "[75]", (75,)),
    Key("exit_codes.unreachable", "unreachable", _CODES, "[69]", (69,)),
    Key("pull", "pull_seconds", duration(0, INFINITY, above_zero=True), "12h", 43200.0),
    Key(
        "user",
        "user",
        optional(
            text(r"[\w.-]+(:[\w.-]+)?", "a user, or user:group, by name or id", any_scalar=True)
        ),
        "null",
        None,
    ),
    Key(
        "env",
        "env",
        pairs(r"[^=\s\0]+", "NAME: VALUE pairs or a list of NAME=VALUE", or_list=True),
        "{}",
        (),
    ),
    Key("mounts", "mounts", list_of(mount, "a list of mounts"), "[]", ()),
    Key("devices", "devices", list_of(device, "a list of devices"), "[]", ()),
    Key("cap_add", "cap_add", list_of(capability, "a list of capabilities"), "[]", ()),
    Key("cap_drop", "cap_drop", list_of(capability, "a list of capabilities"), "[]", ()),
    Key(
        "security_opt",
        "security_opt",
        list_of(text(r"\S.*", "an option such as label=disable"), "a list of options"),
        "[]",
        (),
    ),
    Key("privileged", "privileged", boolean, "false", False),
    Key("read_only", "read_only", boolean, "false", False),
    Key("network", "network", text(r"[^\s-]\S*", "a network"), "bridge", "bridge"),
    Key("pids", "pids", integer(1, 4_194_304), "4096", 4096),
    Key("log", "log", text(r"[\w./:-]+", f"a log driver ({_WORDS})"), "journald", "journald"),
    Key(
        "labels",
        "labels",
        pairs(r"\S+", "NAME: VALUE pairs", reserved=LABEL),
        "{}",
        (),
    ),
)

SECTIONS = {"host": HOST, "spawn": SPAWN, "reclaim": RECLAIM, "engine": ENGINE, "metrics": METRICS}
TOP_LEVEL = (*SECTIONS, "pilots")


def key_paths() -> tuple[str, ...]:
    """Give the path of every key, those of a pilot type as ``pilots[].cpus``."""
    paths = [f"{section}.{key.name}" for section, keys in SECTIONS.items() for key in keys]
    return (*paths, *(f"pilots[].{key.name}" for key in PILOT))


def check_of(path: str) -> Check:
    """Give the checker of a key by its path as `key_paths` has it. Raises KeyError."""
    section, _, name = path.partition(".")
    keys = PILOT if section == "pilots[]" else SECTIONS[section]
    return {key.name: key.check for key in keys}[name]
