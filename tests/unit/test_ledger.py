"""The ledger: what is found among volumes, what is written, and many writers at once."""

import json
import string
import threading
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plancton_tick.errors import LostRaceError, NotFoundError
from plancton_tick.ledger import (
    MARKS_KEPT,
    Volume,
    read_snapshot,
    remove_lower,
    replace,
    update,
    volume_prefix,
)
from plancton_tick.ledger_json import dump, parse
from plancton_tick.model import LABEL_LEDGER, Drain, HostClock, Ledger
from tests.worlds import NOW, ledgers

INSTANCE = "plancton"


class FakeVolumes:
    """The volumes of an engine: creating one that exists keeps the one that exists."""

    def __init__(self, volumes: Mapping[str, str | None] | None = None) -> None:
        self.volumes: dict[str, dict[str, str]] = {
            name: {} if label is None else {LABEL_LEDGER: label}
            for name, label in (volumes or {}).items()
        }
        self.calls: list[str] = []

    def list_volumes(self) -> tuple[Volume, ...]:
        self.calls.append("list")
        return tuple(
            Volume(name, dict(labels), f"/data/volumes/{name}/_data")
            for name, labels in self.volumes.items()
        )

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self.calls.append(f"create {name}")
        self.volumes.setdefault(name, dict(labels))

    def remove_volume(self, name: str) -> None:
        self.calls.append(f"remove {name}")
        if self.volumes.pop(name, None) is None:
            raise NotFoundError(f"no such volume: {name}")


def counted(number: int) -> Ledger:
    return Ledger(counts={"default": {"done": number}})


def count_of(ledger: Ledger) -> int:
    return ledger.counts.get("default", {}).get("done", 0)


def increment(ledger: Ledger) -> Ledger:
    return ledger._replace(counts=counted(count_of(ledger) + 1).counts)


def text(number: int, *marks: str) -> str:
    return dump(counted(number), marks)


# --- what is found -------------------------------------------------------------------------------


def test_no_volume_is_an_empty_ledger_of_generation_0() -> None:
    snapshot = read_snapshot([], INSTANCE)
    assert (snapshot.generation, snapshot.ledger, snapshot.lower) == (0, Ledger(), ())


def test_the_highest_number_counts_and_not_the_longest_or_the_last_listed() -> None:
    engine = FakeVolumes({f"plancton-ledger-{n}": text(n) for n in (9, 10, 2)})
    snapshot = read_snapshot(engine.list_volumes(), INSTANCE)
    assert (snapshot.generation, count_of(snapshot.ledger)) == (10, 10)
    assert snapshot.lower == ("plancton-ledger-9", "plancton-ledger-2")
    assert snapshot.foreign == {}


@pytest.mark.parametrize(
    "name",
    ["007", "0", "", "-1", "+5", "5 ", "1e3", "five", "5-old", "²", "٣", "1_0"],
)
def test_a_volume_whose_number_is_none_is_foreign(name: str) -> None:
    volume = Volume(f"plancton-ledger-{name}", {LABEL_LEDGER: text(5)}, "")
    snapshot = read_snapshot([volume], INSTANCE)
    assert (snapshot.generation, snapshot.ledger) == (0, Ledger())
    assert set(snapshot.foreign) == {volume.name}


@pytest.mark.parametrize(
    "name", ["plancton-data", "xplancton-ledger-5", "plancton", "plancton-demo-ledger-5"]
)
def test_a_volume_without_our_prefix_is_nothing_of_ours(name: str) -> None:
    snapshot = read_snapshot([Volume(name, {LABEL_LEDGER: text(5)}, "")], INSTANCE)
    assert (snapshot.generation, snapshot.foreign) == (0, {})


@pytest.mark.parametrize(
    "label",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        "5",
        "{}",
        '{"schema":0,"marks":[]}',
        '{"schema":"1","marks":[]}',
        '{"schema":true,"marks":[]}',
        '{"schema":1}',
        '{"schema":1,"marks":[1]}',
        '{"schema":1,"marks":[],"overload_since":"now"}',
        '{"schema":1,"marks":[],"overload_since":NaN}',
        '{"schema":1,"marks":[],"overload_since":1' + 400 * "0" + "}",
        '{"schema":1,"marks":[],"counts":{"default":{"done":-1}}}',
        '{"schema":1,"marks":[],"counts":{"default":{"done":true}}}',
        '{"schema":1,"marks":[],"ending":{"a":{"outcome":"done","since":1}}}',
        '{"schema":1,"marks":[],"strangers":{"x":{"container_id":"f","seen_at":1}}}',
        '{"schema":1,"marks":[],"drain":{"by":1,"at":1,"why":""}}',
        100_000 * "[",
    ],
)
def test_a_volume_that_is_no_ledger_is_told_not_trusted_not_removed_and_built_upon(
    label: str | None,
) -> None:
    engine = FakeVolumes({"plancton-ledger-4": text(4), "plancton-ledger-5": label})
    snapshot = read_snapshot(engine.list_volumes(), INSTANCE)
    assert (snapshot.generation, count_of(snapshot.ledger)) == (4, 4)
    assert set(snapshot.foreign) == {"plancton-ledger-5"}
    assert len(snapshot.foreign["plancton-ledger-5"]) < 300
    now = replace(engine, INSTANCE, snapshot, counted(6))
    assert (now.generation, count_of(now.ledger)) == (6, 6)
    assert set(engine.volumes) == {"plancton-ledger-5", "plancton-ledger-6"}


def test_a_ledger_whose_label_is_not_there_yet_is_not_passed_over() -> None:
    engine = FakeVolumes({"plancton-ledger-4": text(4)})
    # An engine lists a volume that is being created before it knows the label.
    being_created = Volume("plancton-ledger-5", {}, "")
    stale = read_snapshot([*engine.list_volumes(), being_created], INSTANCE)
    replace(engine, INSTANCE, read_snapshot(engine.list_volumes(), INSTANCE), counted(5))
    with pytest.raises(LostRaceError):
        replace(engine, INSTANCE, stale, counted(50))
    assert count_of(read_snapshot(engine.list_volumes(), INSTANCE).ledger) == 5


def test_what_a_newer_version_wrote_is_kept_when_it_is_written_again() -> None:
    newer = {
        "schema": 7,
        "marks": ["a"],
        "counts": {"default": {"done": 2, "teleported": 5}},
        "moon": {"phase": [1, None, "full"]},
    }
    engine = FakeVolumes({"plancton-ledger-3": json.dumps(newer)})
    snapshot = update(engine, INSTANCE, increment)
    facts = json.loads(engine.volumes["plancton-ledger-4"][LABEL_LEDGER])
    assert facts["schema"] == 7
    assert facts["moon"] == newer["moon"]
    assert facts["counts"]["default"]["done"] == 3
    assert count_of(snapshot.ledger) == 3


# --- what is written -----------------------------------------------------------------------------


def test_a_write_is_create_look_and_remove_what_is_below() -> None:
    engine = FakeVolumes({"plancton-ledger-1": text(1), "plancton-ledger-2": text(2)})
    snapshot = read_snapshot(engine.list_volumes(), INSTANCE)
    engine.calls.clear()
    now = replace(engine, INSTANCE, snapshot, counted(3))
    assert engine.calls[:2] == ["create plancton-ledger-3", "list"]
    assert sorted(engine.calls[2:]) == ["remove plancton-ledger-1", "remove plancton-ledger-2"]
    assert set(engine.volumes) == {"plancton-ledger-3"}
    assert now.generation == 3


def test_a_writer_whose_generation_was_taken_loses_and_changes_nothing() -> None:
    engine = FakeVolumes({"plancton-ledger-1": text(1)})
    stale = read_snapshot(engine.list_volumes(), INSTANCE)
    replace(engine, INSTANCE, stale, counted(10))
    with pytest.raises(LostRaceError):
        replace(engine, INSTANCE, stale, counted(20))
    assert count_of(read_snapshot(engine.list_volumes(), INSTANCE).ledger) == 10


def test_a_late_writer_of_a_generation_long_removed_loses() -> None:
    engine = FakeVolumes({"plancton-ledger-1": text(1)})
    stale = read_snapshot(engine.list_volumes(), INSTANCE)
    for _ in range(3):
        update(engine, INSTANCE, increment)
    with pytest.raises(LostRaceError):
        replace(engine, INSTANCE, stale, counted(99))
    assert count_of(update(engine, INSTANCE, increment).ledger) == 5
    assert len(engine.volumes) == 1


def test_a_change_that_changes_nothing_writes_nothing() -> None:
    engine = FakeVolumes({"plancton-ledger-1": text(1)})
    snapshot = update(engine, INSTANCE, lambda ledger: ledger._replace(overload_since=None))
    assert engine.calls == ["list"]
    assert snapshot.generation == 1


def test_a_value_carries_the_marks_of_its_last_writers_and_not_more() -> None:
    engine = FakeVolumes()
    for number in range(1, MARKS_KEPT + 8):
        snapshot = update(engine, INSTANCE, increment)
        assert len(snapshot.marks) == min(number, MARKS_KEPT)
    assert len(set(snapshot.marks)) == MARKS_KEPT


def test_a_volume_that_somebody_else_removed_first_is_no_error() -> None:
    engine = FakeVolumes({"plancton-ledger-1": text(1), "plancton-ledger-2": text(2)})
    snapshot = read_snapshot(engine.list_volumes(), INSTANCE)
    engine.remove_volume("plancton-ledger-1")
    remove_lower(engine, snapshot)
    assert set(engine.volumes) == {"plancton-ledger-2"}


def test_two_instances_on_one_engine_do_not_see_each_other() -> None:
    engine = FakeVolumes()
    for _ in range(3):
        update(engine, "plancton", increment)
    update(engine, "plancton-demo", increment)
    assert set(engine.volumes) == {"plancton-ledger-3", "plancton-demo-ledger-1"}
    assert volume_prefix("a") == "a-ledger-"


# --- many writers --------------------------------------------------------------------------------


class Stopped(BaseException):
    """A writer is killed where it stands."""


class Writer(threading.Thread):
    """A writer that does one call of the engine each time it is given the baton."""

    def __init__(self, engine: FakeVolumes, work: Callable[["Writer"], None]) -> None:
        super().__init__(daemon=True)
        self.engine = engine
        self.work = work
        self.wins = 0
        self.is_over = False
        self.is_stopped = False
        self._go = threading.Semaphore(0)
        self._done = threading.Semaphore(0)

    def run(self) -> None:
        self._go.acquire()
        try:
            if not self.is_stopped:
                self.work(self)
        except Stopped:
            pass
        self.is_over = True
        self._done.release()

    def step(self) -> None:
        """Let the writer go on to just before its next call."""
        self._go.release()
        self._done.acquire()

    def stop(self) -> None:
        self.is_stopped = True
        self.step()

    def _wait(self) -> None:
        self._done.release()
        self._go.acquire()
        if self.is_stopped:
            raise Stopped

    def list_volumes(self) -> tuple[Volume, ...]:
        self._wait()
        return self.engine.list_volumes()

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._wait()
        self.engine.create_volume(name, labels)

    def remove_volume(self, name: str) -> None:
        self._wait()
        self.engine.remove_volume(name)


def make_writer(engine: FakeVolumes, times: int) -> Writer:
    def work(writer: Writer) -> None:
        for _ in range(times):
            update(writer, INSTANCE, increment)
            writer.wins += 1

    return Writer(engine, work)


@settings(max_examples=60)
@given(
    writers=st.integers(2, 4),
    times=st.integers(1, 4),
    order=st.lists(st.integers(0, 3), max_size=150),
    stops=st.dictionaries(st.integers(0, 150), st.integers(0, 3), max_size=2),
)
def test_however_writers_interleave_and_wherever_they_stop_nothing_is_lost_or_counted_twice(
    writers: int, times: int, order: list[int], stops: dict[int, int]
) -> None:
    engine = FakeVolumes()
    at_work = [make_writer(engine, times) for _ in range(writers)]
    for writer in at_work:
        writer.start()
    before, moves = 0, 0

    def look() -> None:
        nonlocal before
        now = count_of(read_snapshot(engine.list_volumes(), INSTANCE).ledger)
        assert now >= before, "a generation that counted was gone"
        assert sum(writer.wins for writer in at_work) <= now
        before = now

    try:
        while any(not writer.is_over for writer in at_work):
            # Once the drawn order is used up they take turns.
            turn = order[moves] if moves < len(order) else moves
            writer = at_work[turn % writers]
            if not writer.is_over:
                writer.step()
            victim = at_work[stops.get(moves, 0) % writers]
            if moves in stops and not victim.is_over:
                victim.stop()
            moves += 1
            look()
    finally:
        for writer in at_work:
            if not writer.is_over:
                writer.stop()
    unsure = sum(writer.is_stopped for writer in at_work)
    wins = sum(writer.wins for writer in at_work)
    assert wins <= before <= wins + unsure
    assert all(writer.wins == times for writer in at_work if not writer.is_stopped)
    final = update(engine, INSTANCE, increment)
    assert count_of(final.ledger) == before + 1
    assert set(engine.volumes) == {f"plancton-ledger-{final.generation}"}


def test_a_writer_that_is_overtaken_before_it_looks_knows_that_it_won() -> None:
    engine = FakeVolumes()
    slow = make_writer(engine, 1)
    slow.start()
    while not any(call.startswith("create") for call in engine.calls):
        slow.step()
    for _ in range(5):
        update(engine, INSTANCE, increment)
    while not slow.is_over:
        slow.step()
    assert count_of(read_snapshot(engine.list_volumes(), INSTANCE).ledger) == 6


# --- JSON ----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
MARKS = st.lists(st.text(string.hexdigits, min_size=1, max_size=12), max_size=3).map(tuple)
UNKNOWN = st.dictionaries(
    st.text(string.ascii_uppercase, min_size=1, max_size=5),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    max_size=2,
)


@settings(max_examples=100)
@given(
    ledgers(),
    MARKS,
    UNKNOWN,
    st.integers(1, 3),
    st.none() | st.just(HostClock("b00t", NOW - 5.25)),
    st.none() | st.builds(Drain, st.text(max_size=5), st.just(NOW), st.text(max_size=5)),
)
def test_a_ledger_read_back_is_the_one_written(
    ledger: Ledger,
    marks: tuple[str, ...],
    unknown: dict[str, object],
    schema: int,
    clock: HostClock | None,
    drain: Drain | None,
) -> None:
    kept = {"schema": schema, **unknown} if unknown or schema > 1 else {}
    ledger = ledger._replace(clock=clock, drain=drain, unknown=kept)
    written = dump(ledger, marks)
    assert parse(written) == (ledger, marks)
    assert dump(*parse(written)) == written
    assert "\n" not in written
    assert written.isascii()


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(("schema", "marks", *Ledger._fields)), JSON, max_size=4),
    st.booleans(),
)
def test_arbitrary_json_is_a_ledger_or_a_value_error(facts: dict[str, object], sound: bool) -> None:
    if sound:
        facts = {**facts, "schema": 1, "marks": []}
    try:
        ledger, marks = parse(json.dumps(facts))
    except ValueError:
        return
    assert isinstance(marks, tuple)
    parse(dump(ledger, marks))


@settings(max_examples=100)
@given(st.text() | st.none() | JSON.map(json.dumps))
def test_arbitrary_text_is_a_ledger_or_a_value_error(found: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(found)
