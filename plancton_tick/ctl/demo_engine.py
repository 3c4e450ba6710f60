"""Where the demonstration runs: an engine that answers, or a private one while it lasts."""

import os
import shutil
from pathlib import Path

from plancton_tick.ctl import engine_http
from plancton_tick.ctl.busybox_image import build_image
from plancton_tick.ctl.demo_traces import find_traces, remove_slice, remove_traces
from plancton_tick.ctl.engine_folder import find_programs
from plancton_tick.ctl.private_engine import PrivateEngine
from plancton_tick.engine import Engine
from plancton_tick.errors import EngineRefusedError, EngineUnavailableError, HostError

INSTANCE = "plancton-demo"
PRIVATE = "private"
_TIMEOUT_SECONDS = 30.0


class DemoEngine:
    """The engine, with the demonstration's image in it once it is started.

    ``words`` says which engine it is and why.
    """

    def __init__(self, url: str, words: str, instance: str, private: PrivateEngine | None) -> None:
        self.url = url
        self.words = words
        self.instance = instance
        self.image = f"{instance}:busybox"
        # Empty control groups that only root may remove, once cleaned up.
        self.roots_groups: tuple[str, ...] = ()
        self.engine = Engine(url, _TIMEOUT_SECONDS, instance)
        self._private = private

    def start(self) -> str:
        """Start it if it is private, remove what a killed demonstration left, make the image.

        Returns what was left, in words, or nothing. Raises EngineUnavailableError,
        EngineRefusedError, or HostError where there is no busybox.
        """
        left = ""
        if self._private is not None:
            if self._private.directory.exists():
                left = f"a private engine in {self._private.directory}"
                self._private.destroy()
            self._private.start()
        else:
            found = find_traces(self.engine, self.image)
            left = found.words()
            if any(found) and any(still := remove_traces(self.engine, self.image)):
                raise EngineRefusedError(
                    f"engine {self.url}: {still.words()} of an earlier demonstration cannot be "
                    "removed"
                )
        build_image(self.url, self.image)
        return left

    def clean_up(self) -> list[str]:
        """Remove all that was made, and return in words what is left; raises nothing of ours."""
        left = []
        try:
            if self._private is not None:
                directory = self._private.directory
                self._private.destroy()
                left += [f"the folder {directory}"] if directory.exists() else []
            elif any(still := remove_traces(self.engine, self.image)):
                left.append(f"{still.words()} on {self.url}")
        except (EngineUnavailableError, EngineRefusedError) as error:
            left.append(f"what the engine does not tell ({error.message})")
        except (OSError, shutil.Error) as error:
            left.append(f"what cannot be removed ({error})")
        groups = remove_slice(self.instance)
        if os.geteuid() == 0:
            left += [f"the control group {group}" for group in groups]
        else:
            self.roots_groups = tuple(groups)
        return left


def choose_engine(wish: str | None, instance: str) -> DemoEngine:
    """Return the engine that was wished for, or one that answers, or a private one.

    Raises EngineUnavailableError if the engine that was named does not answer, or if none does
    and a private one cannot be had.
    """
    if wish is None:
        named = os.environ.get("DOCKER_HOST")
        url = engine_http.find_engine()
        if url is not None:
            why = "named by $DOCKER_HOST" if named else "it answers on this host"
            return DemoEngine(url, f"{url} ({why})", instance, None)
        if named:
            raise EngineUnavailableError(
                f"$DOCKER_HOST: expected an engine at {named}, none answers there",
                hint=f"Start it, unset the variable, or use --engine {PRIVATE}.",
            )
    elif wish != PRIVATE:
        if not engine_http.is_answering(wish):
            raise EngineUnavailableError(
                f"--engine: expected an engine at {wish}, none answers there",
                hint=f"Start it, or use --engine {PRIVATE}.",
            )
        return DemoEngine(wish, f"{wish} (as asked for)", instance, None)
    find_programs()
    folder = _cache_folder() / f"engine{instance.removeprefix(INSTANCE)}"
    why = "no other answers here" if wish is None else "as asked for"
    words = f"a private one in {_short(folder)} ({why}), removed at the end"
    private = PrivateEngine(folder)
    return DemoEngine(private.url, words, instance, private)


def _cache_folder() -> Path:
    """Return .cache in a checkout, else the user's own: XDG Base Directory Specification."""
    here = Path.cwd()
    if (here / "pyproject.toml").is_file() and (here / "plancton_tick").is_dir():
        return here / ".cache"
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(home) if home.startswith("/") else Path.home() / ".cache"
    except RuntimeError as error:
        raise HostError(f"cache: expected a home directory, found none: {error}") from error
    return base / "plancton"


def _short(path: Path) -> str:
    """Name a path from here if it is below, so that it fits in a line."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
