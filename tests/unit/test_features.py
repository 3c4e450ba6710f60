"""Machine/Job Features: what a pilot finds in its two folders."""

import io
import tarfile

from plancton_tick.features import FOLDER, JOB, MACHINE, SHUTDOWN, make_features, to_tar
from tests.worlds import GIB, NOW, make_type


def test_a_pilot_is_told_its_host_its_caps_and_its_time() -> None:
    pilot_type = make_type(cpus=1.5, memory=2 * GIB, swap=GIB, lifetime=3600.0, stop_grace=40.0)
    assert make_features(pilot_type, name="host-a-0-x", spawned_at=NOW, ncpus=8) == {
        f"{MACHINE}/total_cpu": "8",
        f"{MACHINE}/grace_secs": "40",
        f"{JOB}/job_id": "host-a-0-x",
        f"{JOB}/allocated_cpu": "1.5",
        f"{JOB}/jobstart_secs": f"{NOW:.0f}",
        f"{JOB}/grace_secs_job": "40",
        f"{JOB}/wall_limit_secs": "3600",
        f"{JOB}/cpu_limit_secs": "5400",
        f"{JOB}/max_rss_bytes": str(2 * GIB),
        f"{JOB}/max_swap_bytes": str(GIB),
        f"{JOB}/shutdowntime_job": f"{NOW + 3600:.0f}",
    }


def test_a_pilot_without_an_end_is_told_none() -> None:
    pilot_type = make_type(lifetime=float("inf"))
    told = make_features(pilot_type, name="a", spawned_at=NOW, ncpus=8)
    ends = {f"{JOB}/wall_limit_secs", f"{JOB}/cpu_limit_secs", SHUTDOWN}
    assert not ends & told.keys()


def test_the_tar_has_every_folder_before_its_files_readable_for_all_and_roots() -> None:
    files = {f"{MACHINE}/total_cpu": "8", SHUTDOWN: "17"}
    with tarfile.open(fileobj=io.BytesIO(to_tar(files, NOW, "/"))) as tar:
        members = tar.getmembers()
        texts = {
            f"/{each.name}": (tar.extractfile(each) or io.BytesIO()).read().decode()
            for each in members
            if each.isfile()
        }
    folders = [f"/{each.name}" for each in members if each.isdir()]
    assert folders == [FOLDER, MACHINE, JOB]
    assert texts == files
    assert {(each.isdir(), each.mode) for each in members} == {(True, 0o755), (False, 0o644)}
    assert {(each.uid, each.gid) for each in members} == {(0, 0)}


def test_a_change_of_one_file_touches_nothing_else() -> None:
    with tarfile.open(fileobj=io.BytesIO(to_tar({SHUTDOWN: "17"}, NOW))) as tar:
        found = [f"{FOLDER}/{each.name}" for each in tar.getmembers()]
    assert found == [JOB, SHUTDOWN]
