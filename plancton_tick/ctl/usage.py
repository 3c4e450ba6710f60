"""What each pilot uses of CPU and memory now, read from the kernel's files of its container.

Two readings with some time between tell the CPU. Asking the engine would take seconds with many
pilots. Where the engine is remote or rootless its containers are not in this host's tree, or not
where they are looked for, and nothing is told.
"""

import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from plancton_tick.cgroup import find_usage, list_members, read_memory, read_usage

# Docker names a container's group by its id, or docker-ID.scope; Podman libpod-ID.scope.
_ID = re.compile(r"(?:^|[-/])([0-9a-f]{64})(?:\.scope)?$")


class Reading(NamedTuple):
    """CPU seconds so far by container id, and when they were read (monotonic)."""

    at: float
    cpu_seconds: Mapping[str, float]


class Usage(NamedTuple):
    """Cores over the window, bytes at its end; None where not to be seen."""

    cores: float | None
    memory_bytes: int | None


def find_groups(instance: str, root: str = "/") -> dict[str, str]:
    """Find the group of each container in the instance's slice, by container id."""
    groups = {}
    slots = [path for path in list_members(f"{instance}.slice", root) if path.endswith(".slice")]
    for path in (member for slot in slots for member in list_members(slot, root)):
        match = _ID.search(path)
        if match is not None:
            groups[match[1]] = path
    return groups


def read_cpu(groups: Mapping[str, str], root: str = "/") -> Reading:
    """Read the CPU time of each container."""
    at = time.monotonic()
    seconds = {}
    for container_id, path in groups.items():
        used = read_usage(find_usage(path, root))
        if used is not None:
            seconds[container_id] = used
    return Reading(at, seconds)


def read_all(first: Reading, instance: str, root: str = "/") -> dict[str, Usage]:
    """Read again, and return what each container has used since ``first``."""
    groups = find_groups(instance, root)
    last = read_cpu(groups, root)
    window = last.at - first.at
    found = {}
    for container_id, path in groups.items():
        before, after = first.cpu_seconds.get(container_id), last.cpu_seconds.get(container_id)
        cores = None
        if before is not None and after is not None and window > 0:
            cores = max(0.0, after - before) / window
        found[container_id] = Usage(cores, read_memory(os.path.normpath(path), root))
    return found
