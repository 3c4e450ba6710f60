"""How the images are built, and the samples that come with them."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from plancton_tick.config import load_config
from tests.pilots.conftest import PILOTS

CACHE = PILOTS.parent / ".cache" / "pilots"
MOST_BYTES = {"workqueue": 8_000_000, "htcondor": 40_000_000}
SCRIPTS = sorted(
    path
    for path in PILOTS.rglob("*")
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
)
every_pilot = pytest.mark.parametrize("name", MOST_BYTES)


def build_tar(name: str) -> Path:
    built = subprocess.run([PILOTS / name / "build"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return CACHE / f"{name}.tar"


@every_pilot
def test_an_image_is_small_and_the_same_each_time(name: str) -> None:
    first = hashlib.sha256(build_tar(name).read_bytes()).hexdigest()
    tar = build_tar(name)
    assert hashlib.sha256(tar.read_bytes()).hexdigest() == first
    assert tar.stat().st_size <= MOST_BYTES[name]


@every_pilot
def test_the_sample_loads_and_is_as_unprivileged_as_can_be(name: str) -> None:
    (pilot_type,) = load_config(str(PILOTS / name / "config.yaml")).config.pilots
    assert pilot_type.user == "1000:1000"
    assert pilot_type.cap_drop == ("ALL",)
    assert pilot_type.cap_add == ()
    assert not pilot_type.privileged
    assert "no-new-privileges" in pilot_type.security_opt
    assert pilot_type.read_only
    assert all(mount.read_only for mount in pilot_type.mounts)
    # The word for a pilot that waits must come before the one for a pilot that works.
    assert pilot_type.stop_grace_seconds < pilot_type.fizzle_seconds < pilot_type.lifetime_seconds


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(PILOTS)))
def test_the_scripts_are_clean(script: Path) -> None:
    assert shutil.which("shellcheck"), "shellcheck: not found; .ci/prepare test installs it"
    checked = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@every_pilot
def test_the_sample_and_the_dockerfile_are_explained_beside_them(name: str) -> None:
    readme = (PILOTS / name / "README.md").read_text()
    entry = (PILOTS / name / "entry").read_text()
    assert (PILOTS / name / "Dockerfile").read_text().splitlines()[-1].startswith("ENTRYPOINT")
    for code in ("69", "75", "77", "78", "143"):
        assert f"#   {code} " in entry
        assert f"| {code} |" in readme
