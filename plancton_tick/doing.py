"""What carrying out an action needs, and what can become of it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from plancton_tick.engine import EngineInfo, Holder
from plancton_tick.errors import PlanctonError
from plancton_tick.ledger import VolumeEngine
from plancton_tick.model import Action

# The engine itself does not create more than this many containers at once any faster.
PARALLEL = 16

ActionT = TypeVar("ActionT", bound=Action)


class ActingEngine(VolumeEngine, Protocol):
    """What acting needs of an engine, besides volumes."""

    instance: str

    @property
    def is_local(self) -> bool:
        """Tell whether the engine runs on this host."""

    def prepare_changes(self) -> None:
        """Connect what several threads are about to share."""

    def read_info(self) -> EngineInfo:
        """Say what the engine is."""

    def read_holder(self, name: str) -> Holder:
        """Say who holds a container name."""

    def create(self, name: str, body: dict[str, object]) -> str:
        """Create a container, return its id."""

    def start(self, container_id: str) -> None:
        """Start a created container."""

    def pause(self, container_id: str) -> None:
        """Freeze a container."""

    def resume(self, container_id: str) -> None:
        """Thaw a container."""

    def put(self, container_id: str, folder: str, tar: bytes) -> None:
        """Unpack a tar in a folder of a container, running or not."""

    def signal(self, container_id: str, signal: str) -> None:
        """Send a signal to a container."""

    def remove(self, container_id: str) -> None:
        """Remove a container, killing it if it runs."""

    def read_digest(self, image: str) -> str | None:
        """Tell the digest of an image, by its name or id; None if it is not here."""


class Verdict(StrEnum):
    """What became of an action."""

    DONE = "done"
    OVERTAKEN = "overtaken"
    STRANGER = "stranger"
    FAILED = "failed"


class Done(NamedTuple):
    """What became of an action; ``container_id`` and ``name`` are set for a spawn that worked.

    Overtaken means that another tick, or the pilot itself, was first: nobody's fault. ``holder``
    is the stranger's container that holds the name of the slot, ``digest`` that of the image of a
    pilot that has ended.
    """

    action: Action
    verdict: Verdict
    container_id: str = ""
    holder: str = ""
    error: PlanctonError | None = None
    name: str = ""
    digest: str = ""


def in_parallel(do: Callable[[ActionT], Done], actions: Sequence[ActionT]) -> list[Done]:
    """Do each, at once as far as that helps, and return what became of them in their order."""
    if len(actions) < 2:
        return [do(action) for action in actions]
    with ThreadPoolExecutor(min(PARALLEL, len(actions))) as pool:
        return list(pool.map(do, actions))
