"""A mount that cannot work is known before the engine says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plancton_tick.config_schema import PROPAGATIONS
from plancton_tick.model import Mount, PilotType
from plancton_tick.mounts import (
    MountPoint,
    check_mount,
    find_mount_faults,
    find_mount_point,
    parse_mount_points,
    read_mount_points,
)
from tests.worlds import make_type

# proc(5)'s own form: shared, slave, both, private, and a name with a blank and a backslash.
MOUNTINFO = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw
23 21 0:30 / /cvmfs rw,relatime master:3 - autofs /etc/auto.cvmfs rw
24 21 0:31 / /both rw shared:4 master:3 - tmpfs tmpfs rw
25 21 0:32 / /private rw - tmpfs tmpfs rw
26 21 0:33 / /a\\040b\\134c rw shared:9 propagate_from:2 - tmpfs tmpfs rw
27 21 0:34 / /gone rw unbindable - tmpfs tmpfs rw
broken line
"""
POINTS = parse_mount_points(MOUNTINFO)
SHARED, SLAVE, PRIVATE = (
    (MountPoint("/", True, False),),
    (MountPoint("/", False, True),),
    (MountPoint("/", False, False),),
)


def with_mounts(*mounts: Mount) -> PilotType:
    return make_type()._replace(mounts=mounts)


def test_mount_points_are_read_as_the_kernel_writes_them() -> None:
    found = parse_mount_points(MOUNTINFO)
    assert found == (
        MountPoint("/", True, False),
        MountPoint("/dev", True, False),
        MountPoint("/cvmfs", False, True),
        MountPoint("/both", True, True),
        MountPoint("/private", False, False),
        MountPoint("/a b\\c", True, False),
        MountPoint("/gone", False, False),
    )


@pytest.mark.parametrize(
    ("path", "on"),
    [
        ("/", "/"),
        ("/cvmfs", "/cvmfs"),
        ("/cvmfs/atlas.cern.ch", "/cvmfs"),
        ("/cvmfs2", "/"),
        ("/dev/fuse", "/dev"),
        ("/a b\\c/d", "/a b\\c"),
    ],
)
def test_a_path_is_on_the_deepest_mount_point_above_it(path: str, on: str) -> None:
    found = find_mount_point(path, POINTS)
    assert found is not None
    assert found.path == on


def test_of_two_mounts_at_one_place_the_first_counts_as_it_does_for_docker() -> None:
    points = (MountPoint("/x", False, False), MountPoint("/x", True, False))
    assert find_mount_point("/x/y", points) == points[0]


@pytest.mark.parametrize(
    ("propagation", "works_on"),
    [
        ("rslave", (SHARED, SLAVE)),
        ("slave", (SHARED, SLAVE)),
        ("rshared", (SHARED,)),
        ("shared", (SHARED,)),
        ("rprivate", (SHARED, SLAVE, PRIVATE)),
        ("private", (SHARED, SLAVE, PRIVATE)),
    ],
)
def test_propagation_needs_a_mount_that_can_give_it(
    tmp_path: Path, propagation: str, works_on: tuple[tuple[MountPoint, ...], ...]
) -> None:
    mount = Mount(str(tmp_path), "/x", True, propagation)
    works = [points for points in (SHARED, SLAVE, PRIVATE) if check_mount(mount, points) is None]
    assert works == list(works_on)


def test_a_fault_says_which_mount_and_how_to_mend_it(tmp_path: Path) -> None:
    fault = check_mount(Mount(str(tmp_path), "/x", True, "rslave"), PRIVATE)
    assert fault is not None
    assert fault.message == (
        f"{tmp_path}: expected a shared mount for rslave, found that it is on /, which is private"
    )
    assert fault.hint.startswith("`mount --make-shared /`")


def test_a_symbolic_link_is_judged_by_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    points = (MountPoint("/", False, False), MountPoint(str(tmp_path), True, False))
    assert check_mount(Mount(str(tmp_path), "/x", True, "rslave"), points) is None
    assert check_mount(Mount(f"{tmp_path}/link", "/x", True, "rslave"), points) is not None


@pytest.mark.parametrize("data", ["docker", ""], ids=["above", "the same"])
def test_what_is_around_the_engines_data_must_propagate(tmp_path: Path, data: str) -> None:
    data_root = str(tmp_path / data)
    works = [
        propagation
        for propagation in PROPAGATIONS
        if check_mount(Mount(str(tmp_path), "/x", True, propagation), SHARED, data_root) is None
    ]
    assert works == ["rslave", "rshared"]


def test_a_missing_source_is_a_fault_whatever_its_propagation(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pilot = with_mounts(
        Mount(f"{tmp_path}/none", "/x", True, "rprivate"),
        Mount(f"{tmp_path}/file/below", "/y", True, "rprivate"),
        Mount(f"{tmp_path}/file", "/z", True, "rprivate"),
    )
    first, second = find_mount_faults(pilot)
    assert first.startswith(f"{tmp_path}/none: expected a file or folder on this host, found none")
    assert second.startswith(f"{tmp_path}/file/below: expected")


def test_what_cannot_be_seen_is_left_to_the_engine(tmp_path: Path) -> None:
    pilot = with_mounts(Mount(str(tmp_path), "/x", True, "rshared"), Mount("/\0", "/y", True, "rw"))
    assert find_mount_faults(pilot, root=str(tmp_path)) == ()


def test_a_type_without_mounts_reads_nothing(tmp_path: Path) -> None:
    assert find_mount_faults(make_type(), root=str(tmp_path)) == ()


def test_this_hosts_own_mounts_are_understood() -> None:
    paths = {point.path for point in read_mount_points()}
    assert {"/", "/proc"} <= paths


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_make_shared_is_indeed_the_cure(tmp_path: Path) -> None:
    look = (
        "from tests.worlds import make_type; from plancton_tick.model import Mount;"
        "from plancton_tick.mounts import find_mount_faults;"
        f"pilot = make_type()._replace(mounts=(Mount({str(tmp_path)!r}, '/x', True, 'rslave'),));"
        "print(len(find_mount_faults(pilot)))"
    )
    script = f"""
        mount -t tmpfs none '{tmp_path}' && mount --make-private '{tmp_path}' &&
        "$0" -c "$1" && mount --make-shared '{tmp_path}' && "$0" -c "$1"
    """
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, look],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["1", "0"]
