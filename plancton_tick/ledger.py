"""The ledger: the few facts that outlive pilots, kept as the label of an engine's volume.

The volume ``<instance>-ledger-<generation>`` carries one label, JSON with a schema number
(ledger_json.py). An engine asked to create a volume that exists keeps the one that exists, with
*its* label: so creating generation n+1 and looking what is there is a compare-and-swap on n.

The value carries the random marks of its last 32 writers. A writer has won exactly if its mark is
in the highest generation when it looks again, whoever has built on it since. Without the marks a
winner that was overtaken before it looked would believe that it lost, and write twice. A winner
removes all lower generations, the lowest first. One killed before that leaves them behind: the
highest is the one that counts, and any later tick removes the rest.

An engine lists the names of volumes first and looks up each then, so in a list of a busy ledger
the newest volume may be missing, or without its label yet. Two things follow. A writer so late
that its generation had come and gone, and was made anew by it, could take itself for the winner:
it is sure where the one it built on is still there, for that goes before its own; else it looks
again. And a generation without a readable label is a stranger's only if it is so after we tried to
create it, which waits until whoever is creating it is done: only then it is passed over.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

from plancton_tick.errors import EngineRefusedError, LostRaceError
from plancton_tick.ledger_json import dump, parse
from plancton_tick.model import LABEL_LEDGER, Ledger

MARKS_KEPT = 32
# A writer loses a round only when another wins it, so n writers with one write each need at most
# n rounds. Far beyond that something is broken, and a loop without end would hide it.
ROUNDS = 200
# Each look is wrong only if somebody else wins and tidies while it is taken.
LOOKS = 3


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

    ``generation`` is that of the ledger, 0 if there is none. ``lower`` names the ledgers
    that a winner left behind. ``foreign`` maps each volume that has our prefix and is no ledger
    to what is wrong with it: it is reported, never trusted, never removed. ``marks_of`` has the
    marks of every readable generation.
    """

    generation: int
    ledger: Ledger
    marks: tuple[str, ...]
    lower: tuple[str, ...]
    foreign: Mapping[str, str]
    marks_of: Mapping[int, tuple[str, ...]] = {}


def volume_prefix(instance: str) -> str:
    """Return how the names of an instance's ledger volumes begin."""
    return f"{instance}-ledger-"


def read_snapshot(volumes: Iterable[Volume], instance: str) -> Snapshot:
    """Find the ledger among the volumes: the readable one of the highest generation."""
    prefix = volume_prefix(instance)
    ledgers: list[tuple[int, str, Ledger, tuple[str, ...]]] = []
    foreign: dict[str, str] = {}
    for volume in volumes:
        if not volume.name.startswith(prefix):
            continue
        number = volume.name[len(prefix) :]
        if not (number.isascii() and number.isdigit()) or number.startswith("0"):
            foreign[volume.name] = f"expected a generation after {prefix}, found {number!r}"
            continue
        try:
            ledger, marks = parse(volume.labels.get(LABEL_LEDGER))
        except ValueError as error:
            foreign[volume.name] = str(error)
        else:
            ledgers.append((int(number), volume.name, ledger, marks))
    if not ledgers:
        return Snapshot(0, Ledger(), (), (), foreign)
    ledgers.sort(key=lambda entry: entry[0], reverse=True)
    generation, _, ledger, marks = ledgers[0]
    lower = tuple(entry[1] for entry in ledgers[1:])
    marks_of = {entry[0]: entry[3] for entry in ledgers}
    return Snapshot(generation, ledger, marks, lower, foreign, marks_of)


def replace(engine: VolumeEngine, instance: str, snapshot: Snapshot, ledger: Ledger) -> Snapshot:
    """Put a new value in the place of the one in the snapshot, and return what is there now.

    Raises LostRaceError, with nothing changed, if the ledger is no longer the one in the snapshot.
    """
    mark = os.urandom(6).hex()
    label = dump(ledger, (*snapshot.marks, mark)[-MARKS_KEPT:])
    generation = snapshot.generation
    while True:
        generation += 1
        name = f"{volume_prefix(instance)}{generation}"
        engine.create_volume(name, {LABEL_LEDGER: label})
        now = read_snapshot(engine.list_volumes(), instance)
        if name not in now.foreign or now.marks != snapshot.marks:
            break
    for look in range(LOOKS):
        if look:
            now = read_snapshot(engine.list_volumes(), instance)
        if mark not in now.marks:
            raise LostRaceError(f"the ledger has passed generation {snapshot.generation}")
        if snapshot.generation and now.marks_of.get(snapshot.generation) == snapshot.marks:
            break
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
    """Remove the generations that a winner left behind, as far as the engine lets go of them.

    One that a stranger's container has mounted stays until a later tick: that is no reason to do
    nothing else.
    """
    for name in reversed(snapshot.lower):
        with suppress(EngineRefusedError):
            engine.remove_volume(name)
