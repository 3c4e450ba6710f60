"""Machine/Job Features: what a pilot is told of its host and of its own time (HSF-TN-2016-02).

Two folders in the pilot, named by $MACHINEFEATURES and $JOBFEATURES, one file a key. They are put
there between its creation and its start, and one of them changes while it runs: shutdowntime_job
moves forward when the pilot is told to leave. No file of the host is involved.
"""

import io
import os
import tarfile
from collections.abc import Mapping

from plancton_tick.model import PilotType

FOLDER = "/etc/plancton"
MACHINE, JOB = f"{FOLDER}/machinefeatures", f"{FOLDER}/jobfeatures"
SHUTDOWN = f"{JOB}/shutdowntime_job"


def make_features(
    pilot_type: PilotType, *, name: str, spawned_at: float, ncpus: int
) -> dict[str, str]:
    """Return what each file of a new pilot says, by its path. Pure.

    Instants are whole seconds since the epoch, other times seconds, sizes bytes. ``name`` is the
    pilot's, as batch systems know it. What Plancton does not know of a host has no file: its
    benchmark (hs06), and when the machine itself will shut down; nor have times without an end.
    """
    lifetime = pilot_type.lifetime_seconds
    ends = (
        {}
        if lifetime == float("inf")
        else {
            f"{JOB}/wall_limit_secs": f"{lifetime:.0f}",
            f"{JOB}/cpu_limit_secs": f"{lifetime * pilot_type.cpus:.0f}",
            **shutdown_at(spawned_at + lifetime),
        }
    )
    return {
        f"{MACHINE}/total_cpu": str(ncpus),
        f"{MACHINE}/grace_secs": f"{pilot_type.stop_grace_seconds:.0f}",
        f"{JOB}/job_id": name,
        f"{JOB}/allocated_cpu": f"{pilot_type.cpus:g}",
        f"{JOB}/jobstart_secs": f"{spawned_at:.0f}",
        f"{JOB}/grace_secs_job": f"{pilot_type.stop_grace_seconds:.0f}",
        f"{JOB}/max_rss_bytes": str(pilot_type.memory_bytes),
        f"{JOB}/max_swap_bytes": str(pilot_type.swap_bytes),
        **ends,
    }


def shutdown_at(instant: float) -> dict[str, str]:
    """Return the one file that tells until when the pilot may stay."""
    return {SHUTDOWN: f"{instant:.0f}"}


def to_tar(files: Mapping[str, str], now: float, base: str = FOLDER) -> bytes:
    """Return the files, and the folders above them, as a tar to unpack in ``base``.

    All can read them, and only root can write: a pilot may run as anybody.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in (FOLDER, MACHINE, JOB):
            if folder != base and any(path.startswith(f"{folder}/") for path in files):
                entry = tarfile.TarInfo(os.path.relpath(folder, base))
                entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, int(now)
                tar.addfile(entry)
        for path, text in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(os.path.relpath(path, base))
            entry.size, entry.mode, entry.mtime = len(content), 0o644, int(now)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
