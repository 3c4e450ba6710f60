"""The ledger: the few facts that outlive pilots, kept as the label of an engine's volume.

The volume ``<instance>-ledger-<generation>`` carries one label, JSON with a schema number
(ledger_json.py). An engine asked to create a volume that exists keeps the one that exists, with
*its* label: so creating generation n+1 and looking what is there is a compare-and-swap on n.

The value carries the random marks of its last 32 writers. A writer has won exactly if its mark is
in the highest generation when it looks again, whoever has built on it since. Without the marks a
winner that was overtaken before it looked would believe that it lost, and write twice. A winner
removes all lower generations. One killed before that leaves them behind: the highest is the one
that counts, and any later tick removes the rest.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from plancton_tick.errors import LostRaceError, NotFoundError
from plancton_tick.ledger_json import dump, parse
from plancton_tick.model import LABEL_LEDGER, Ledger

MARKS_KEPT = 32
# A writer loses a round only when another wins it, so n writers with one write each need at most
# n rounds. Far beyond that something is broken, and a loop without end would hide it.
ROUNDS = 200


class Volume(NamedTuple):
    """A volume as the engine lists it."""

    name: str
    labels: Mapping[str, str]
    mountpoint: str


class VolumeEngine(Protocol):
    """What the ledger needs of an engine."""

    def list_volumes(self) -> tuple[Volume, ...]:
        """List the volumes whose names begin as those of the ledger do, and perhaps others."""

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Create the volume, or do nothing if it exists."""

    def remove_volume(self, name: str) -> None:
        """Remove the volume; NotFoundError if it is not there."""


class Snapshot(NamedTuple):
    """The ledger as found.

    ``generation`` is the highest number in use, 0 if there is none. ``lower`` names the ledgers
    that a winner left behind. ``foreign`` maps each volume that has our prefix and is no ledger
    to what is wrong with it: it is reported, never trusted, never removed.
    """

    generation: int
    ledger: Ledger
    marks: tuple[str, ...]
    lower: tuple[str, ...]
    foreign: Mapping[str, str]


def volume_prefix(instance: str) -> str:
    """Return how the names of an instance's ledger volumes begin."""
    return f"{instance}-ledger-"


def read_snapshot(volumes: Iterable[Volume], instance: str) -> Snapshot:
    """Find the ledger among the volumes: the readable one of the highest generation."""
    prefix = volume_prefix(instance)
    ledgers: list[tuple[int, str, Ledger, tuple[str, ...]]] = []
    foreign: dict[str, str] = {}
    highest = 0
    for volume in volumes:
        if not volume.name.startswith(prefix):
            continue
        number = volume.name[len(prefix) :]
        if not (number.isascii() and number.isdigit()) or number.startswith("0"):
            foreign[volume.name] = f"expected a generation after {prefix}, found {number!r}"
            continue
        highest = max(highest, int(number))
        try:
            ledger, marks = parse(volume.labels.get(LABEL_LEDGER))
        except ValueError as error:
            foreign[volume.name] = str(error)
        else:
            ledgers.append((int(number), volume.name, ledger, marks))
    if not ledgers:
        return Snapshot(highest, Ledger(), (), (), foreign)
    ledgers.sort(key=lambda entry: entry[0], reverse=True)
    _, _, ledger, marks = ledgers[0]
    return Snapshot(highest, ledger, marks, tuple(entry[1] for entry in ledgers[1:]), foreign)


def replace(engine: VolumeEngine, instance: str, snapshot: Snapshot, ledger: Ledger) -> Snapshot:
    """Put a new value in the place of the one in the snapshot, and return what is there now.

    Raises LostRaceError, with nothing changed, if the ledger is no longer the one in the snapshot.
    """
    mark = os.urandom(6).hex()
    marks = (*snapshot.marks, mark)[-MARKS_KEPT:]
    name = f"{volume_prefix(instance)}{snapshot.generation + 1}"
    engine.create_volume(name, {LABEL_LEDGER: dump(ledger, marks)})
    now = read_snapshot(engine.list_volumes(), instance)
    if mark not in now.marks:
        raise LostRaceError(f"the ledger has passed generation {snapshot.generation}")
    remove_lower(engine, now)
    return now


def update(engine: VolumeEngine, instance: str, change: Callable[[Ledger], Ledger]) -> Snapshot:
    """Apply a change to the ledger as it is now, however many others are changing it.

    ``change`` may be called several times, each time on a fresh value; returning that value itself
    means that nothing is to be written. Raises LostRaceError if it lost 200 rounds.
    """
    for _ in range(ROUNDS):
        snapshot = read_snapshot(engine.list_volumes(), instance)
        ledger = change(snapshot.ledger)
        if ledger == snapshot.ledger:
            return snapshot
        try:
            return replace(engine, instance, snapshot, ledger)
        except LostRaceError:
            continue
    raise LostRaceError(f"the ledger of {instance} was changed {ROUNDS} times by others")


def remove_lower(engine: VolumeEngine, snapshot: Snapshot) -> None:
    """Remove the generations that a winner left behind."""
    for name in snapshot.lower:
        try:
            engine.remove_volume(name)
        except NotFoundError:
            continue
