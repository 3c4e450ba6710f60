"""What a pilot's container is made of: the body of the engine's create call. Pure."""

import hashlib
import re
from collections.abc import Mapping

from plancton_tick.accounting import parent_of
from plancton_tick.features import FOLDER, JOB, MACHINE
from plancton_tick.labels import make_labels
from plancton_tick.model import PilotType, SlotUsage

SYSTEMD_DRIVER = "systemd"
JOURNALD = "journald"
# Without a bound a pilot that talks all day fills the disk it was lent.
JSON_FILE = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
HOSTNAME_MAX = 63


def config_hash(pilot_type: PilotType) -> str:
    """Return a short hash of the type's definition: it tells current pilots from older ones."""
    return hashlib.sha256(repr(pilot_type).encode()).hexdigest()[:12]


def host_name(type_name: str, slot: int, spawned_at: float, node: str) -> str:
    """Return the host name inside the pilot: unique, tells host, type and slot, ≤ 63 characters.

    The time of birth in milliseconds, base 36, makes it unique for each pilot of a slot.
    """
    stamp = _base36(max(0, round(spawned_at * 1000)))
    tail = f"-{slot}-{stamp}"
    kind = re.sub(r"[^a-z0-9-]+", "-", type_name.lower()).strip("-") or "pilot"
    node = re.sub(r"[^a-z0-9-]+", "-", node.partition(".")[0].lower()).strip("-") or "host"
    room = HOSTNAME_MAX - len(tail) - 1
    kind = kind[: room // 2]
    return f"{node[: room - len(kind)].strip('-')}-{kind}{tail}"


def make_body(
    pilot_type: PilotType,
    *,
    slot: int,
    now: float,
    node: str,
    instance: str,
    cgroup_driver: str,
    has_journald: bool,
    used_before: SlotUsage = SlotUsage(),  # noqa: B008, a value that cannot change.
) -> dict[str, object]:
    """Return the JSON body of POST /containers/create for a new pilot (Engine API v1.41).

    Memory is in bytes and swap beside it, so MemorySwap is their sum. ``used_before`` is what the
    slot's earlier pilots have used.
    """
    # As the label tells it: the name can be found again from that.
    name = host_name(pilot_type.name, slot, round(now, 3), node)
    env = {
        "PLANCTON_PILOT": name,
        "PLANCTON_TYPE": pilot_type.name,
        "PLANCTON_SLOT": str(slot),
        "PLANCTON_CPUS": f"{pilot_type.cpus:g}",
        "PLANCTON_MEMORY_BYTES": str(pilot_type.memory_bytes),
        "PLANCTON_EXPIRES_AT": f"{now + pilot_type.lifetime_seconds:.0f}",
        "MACHINEFEATURES": MACHINE,
        "JOBFEATURES": JOB,
        **dict(pilot_type.env),
    }
    body: dict[str, object] = {
        "Image": pilot_type.image,
        "Hostname": name,
        "Labels": make_labels(
            pilot_type, slot, now, instance, config_hash(pilot_type), used_before
        ),
        "Env": [f"{key}={value}" for key, value in env.items()],
        # What the engine itself grants when it is told to shut down.
        "StopTimeout": max(1, round(pilot_type.stop_grace_seconds)),
        "HostConfig": {
            "CgroupParent": parent_of(instance, slot, cgroup_driver == SYSTEMD_DRIVER),
            "NanoCpus": round(pilot_type.cpus * 1e9),
            "Memory": pilot_type.memory_bytes,
            "MemorySwap": pilot_type.memory_bytes + pilot_type.swap_bytes,
            "OomScoreAdj": 1000,
            "PidsLimit": pilot_type.pids,
            # A first process without handlers ignores SIGTERM; an init passes it on, and reaps.
            "Init": True,
            "Privileged": pilot_type.privileged,
            "ReadonlyRootfs": pilot_type.read_only,
            "NetworkMode": pilot_type.network,
            "CapAdd": list(pilot_type.cap_add),
            "CapDrop": list(pilot_type.cap_drop),
            "SecurityOpt": _security_opt(pilot_type),
            "LogConfig": _log_config(pilot_type, has_journald),
            "Devices": [
                {
                    "PathOnHost": device.host,
                    "PathInContainer": device.container,
                    "CgroupPermissions": device.permissions,
                }
                for device in pilot_type.devices
            ],
            # Mounts, not Binds: a source that is missing is an error, not a new empty folder.
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": mount.source,
                    "Target": mount.target,
                    "ReadOnly": mount.read_only,
                    # Unsaid means rprivate, and lets Docker choose where that will not do: for a
                    # folder above its own data.
                    "BindOptions": (
                        {}
                        if mount.propagation == "rprivate"
                        else {"Propagation": mount.propagation}
                    ),
                }
                for mount in pilot_type.mounts
            ]
            # Into a root that is read-only the engine writes nothing either, but into a volume.
            + [{"Type": "volume", "Target": FOLDER}] * pilot_type.read_only,
        },
    }
    if pilot_type.command is not None:
        body["Cmd"] = list(pilot_type.command)
    if pilot_type.user is not None:
        body["User"] = pilot_type.user
    return body


def for_podman(body: Mapping[str, object]) -> dict[str, object]:
    """Return the body of a create call as Podman needs it to do the same as Docker. Pure."""
    host_config = body["HostConfig"]
    if not isinstance(host_config, dict):
        raise TypeError(f"expected a mapping in HostConfig, found {host_config!r:.80}")
    parent = str(host_config["CgroupParent"])
    if parent.startswith("/"):
        # Its cgroupfs driver refuses what ends in ".slice" as systemd's. "/." is the same folder.
        parent += "/."
    # Its forced removal sends SIGTERM first and waits for so long, with the request kept open. The
    # grace is over when a tick removes a pilot.
    return {**body, "StopTimeout": 0, "HostConfig": {**host_config, "CgroupParent": parent}}


def _security_opt(pilot_type: PilotType) -> list[str]:
    options = list(pilot_type.security_opt)
    says = any(option.startswith("no-new-privileges") for option in options)
    if not says and not pilot_type.privileged:
        options.append("no-new-privileges")
    # Engines take the bare word for true and no other way to say false than leaving it out.
    return [
        option
        for option in options
        if option not in ("no-new-privileges=false", "no-new-privileges:false")
    ]


def _log_config(pilot_type: PilotType, has_journald: bool) -> dict[str, object]:
    if pilot_type.log == "json-file" or (pilot_type.log == JOURNALD and not has_journald):
        return dict(JSON_FILE)
    return {"Type": pilot_type.log, "Config": {}}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
