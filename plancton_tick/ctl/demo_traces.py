"""What a demonstration leaves on an engine and on the host: find it, remove it, look again.

Only what carries the demonstration's own instance name is looked at, so no other container, not
even a pilot of a Plancton at work on the same engine, can be touched.
"""

import contextlib
import glob
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from plancton_tick.ctl import engine_http
from plancton_tick.ctl.busybox_image import LABEL_DIGEST
from plancton_tick.engine import Engine
from plancton_tick.errors import ConflictError, EngineRefusedError, NotFoundError
from plancton_tick.ledger import volume_prefix
from plancton_tick.model import LABEL_LEDGER

_PATIENCE_SECONDS = 20.0


class Traces(NamedTuple):
    """What is there: ids of pilots, names of ledger volumes, names of images."""

    pilots: tuple[str, ...]
    volumes: tuple[str, ...]
    images: tuple[str, ...]

    def words(self) -> str:
        """Name them, in one line; empty if there are none."""
        counted = ((self.pilots, "pilot"), (self.volumes, "ledger"), (self.images, "image"))
        return ", ".join(
            f"{len(found)} {name}{'s' if len(found) > 1 else ''}"
            for found, name in counted
            if found
        )


def find_traces(engine: Engine, image: str) -> Traces:
    """List what is there of this instance and its image. Raises EngineUnavailableError."""
    prefix = volume_prefix(engine.instance)
    volumes = tuple(
        volume.name
        for volume in engine.list_volumes()
        if volume.name.startswith(prefix)
        and volume.name[len(prefix) :].isdigit()
        and LABEL_LEDGER in volume.labels
    )
    pilots = tuple(pilot.id for pilot in engine.list_pilots())
    return Traces(pilots, volumes, (image,) if is_our_image(engine.url, image) else ())


def remove_traces(engine: Engine, image: str) -> Traces:
    """Remove all of it, and return what is still there after a while of trying.

    A tick that was killed may leave the engine at work: what appears while we look goes too.
    """
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = find_traces(engine, image)
        if not any(found) or time.monotonic() > end:
            return found
        if found.pilots:
            engine.prepare_changes()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda each: _ignoring_refusals(engine, each), found.pilots))
        for volume in found.volumes:
            with contextlib.suppress(EngineRefusedError):
                engine.remove_volume(volume)
        # While a container of it is there the image is refused: it comes last, or the next time.
        for name in found.images:
            with contextlib.suppress(EngineRefusedError):
                engine_http.request(engine.url, "DELETE", f"/images/{name}")
        if any(find_traces(engine, image)):
            time.sleep(0.2)


def is_our_image(url: str, image: str) -> bool:
    """Tell whether the image is there, and made by us. Raises EngineRefusedError if by others."""
    try:
        listed = json.loads(engine_http.request(url, "GET", f"/images/{image}/json"))
    except EngineRefusedError:
        return False
    if LABEL_DIGEST not in ((listed.get("Config") or {}).get("Labels") or {}):
        raise EngineRefusedError(
            f"engine {url}: image {image} is not the demonstration's, and is left alone",
            hint="Give it another name; the demonstration needs this one.",
        )
    return True


def remove_slice(instance: str, root: str = "/sys/fs/cgroup") -> list[str]:
    """Remove the empty control groups of the pilots' slice, and return those that stay.

    Only an engine that manages control groups itself puts them at the top; where systemd does, they
    are its own.
    """
    name = f"{instance}.slice"
    end = time.monotonic() + 5.0
    while True:
        tops = [*glob.glob(f"{root}/{name}"), *glob.glob(f"{root}/*/{name}")]
        folders = [slot for top in tops for slot in glob.glob(f"{top}/{instance}-slot*")] + tops
        # On joined controllers one folder has several names, by symbolic links.
        for folder in {os.path.realpath(each) for each in folders}:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        left = sorted({os.path.realpath(each) for each in folders if os.path.isdir(each)})
        # The kernel takes a moment to bury the processes of containers that are gone.
        if not left or time.monotonic() > end or not _may_remove(left):
            return left
        time.sleep(0.1)


def make_folder(instance: str) -> str:
    """Make the folder of one demonstration's configuration, after removing those of killed ones."""
    prefix = f"{instance}-config-"
    for left in glob.glob(f"{tempfile.gettempdir()}/{prefix}*"):
        found = os.lstat(left)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=prefix)


def _ignoring_refusals(engine: Engine, container_id: str) -> None:
    # Gone already, being removed by somebody else, or refused: the next look tells.
    with contextlib.suppress(NotFoundError, ConflictError, EngineRefusedError):
        engine.remove(container_id)


def _may_remove(folders: Iterable[str]) -> bool:
    return all(os.access(os.path.dirname(folder), os.W_OK) for folder in folders)
