"""What a pilot used: the slot's counters at its end less those at its birth."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton_tick.accounting import parent_of, read_slot, used_by
from plancton_tick.labels import make_labels, read_pilots
from plancton_tick.model import Pilot, SlotUsage
from tests.worlds import NOW, make_pilot, make_type

SLOT = "sys/fs/cgroup/{tree}plancton.slice/plancton-slot3.slice"


def pilot_with(before: SlotUsage, cpus: float = 1.0) -> Pilot:
    return make_pilot(cpus=cpus)._replace(used_before=before)


@pytest.mark.parametrize(
    ("tree", "cpu", "peak"),
    [
        pytest.param("", ("cpu.stat", "usage_usec 2500000\n"), ("memory.peak", "7000\n"), id="v2"),
        pytest.param(
            "",
            ("cpu.stat", "usage_usec 2500000\n"),
            ("memory.current", "7000\n"),
            id="v2 before Linux 5.19: no peak",
        ),
    ],
)
def test_a_slot_is_read_from_its_group(
    tmp_path: Path, tree: str, cpu: tuple[str, str], peak: tuple[str, str]
) -> None:
    group = tmp_path / SLOT.format(tree=tree)
    group.mkdir(parents=True)
    for name, text in (cpu, peak):
        (group / name).write_text(text)
    found = read_slot("plancton", 3, str(tmp_path))
    assert found == SlotUsage(2.5, 7000 if peak[0] == "memory.peak" else 0)


def test_each_v1_controller_has_a_tree_of_its_own(tmp_path: Path) -> None:
    for tree, name, text in (
        ("cpuacct/", "cpuacct.usage", "1500000000\n"),
        ("memory/", "memory.max_usage_in_bytes", "9000\n"),
    ):
        group = tmp_path / SLOT.format(tree=tree)
        group.mkdir(parents=True)
        (group / name).write_text(text)
    assert read_slot("plancton", 3, str(tmp_path)) == SlotUsage(1.5, 9000)


def test_a_slot_without_a_group_has_used_nothing_yet(tmp_path: Path) -> None:
    assert read_slot("plancton", 3, str(tmp_path)) == SlotUsage(0.0, 0)


def test_a_group_below_a_flat_slice_with_a_hyphen_is_found(tmp_path: Path) -> None:
    parent = parent_of("plancton-demo", 3, is_systemd=False)
    group = tmp_path / f"sys/fs/cgroup{parent}"
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 1000000\n")
    assert read_slot("plancton-demo", 3, str(tmp_path)).cpu_seconds == 1.0


def test_labels_carry_what_was_used_before_to_the_end_of_the_pilot() -> None:
    labels = make_labels(make_type(), 3, NOW, "plancton", "hash", SlotUsage(12.25, 4096))
    entry = {"Id": "ab" * 32, "Names": ["/plancton-3"], "Labels": labels, "State": "exited"}
    (pilot,) = read_pilots([entry], "plancton")
    assert pilot.used_before == SlotUsage(12.25, 4096)
    used = used_by(pilot, 10.0, SlotUsage(20.25, 4097))
    assert used == SlotUsage(8.0, 4097)


def test_a_pilot_of_an_older_version_has_no_figures() -> None:
    assert used_by(pilot_with(SlotUsage()), 10.0, SlotUsage(5.0, 5)) == SlotUsage()


def test_a_peak_below_that_of_an_earlier_pilot_is_not_told() -> None:
    used = used_by(pilot_with(SlotUsage(0.0, 5000)), 10.0, SlotUsage(1.0, 5000))
    assert used == SlotUsage(1.0, None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(50.0, 3.0, id="made anew: less than before"),
        pytest.param(0.0, 100.0, id="another group: more than the quota lets through"),
        pytest.param(5.0, 5.0, id="not counted at all"),
    ],
)
def test_counters_that_cannot_be_the_pilots_are_not_told(before: float, after: float) -> None:
    used = used_by(pilot_with(SlotUsage(before, None)), 10.0, SlotUsage(after, None))
    assert used.cpu_seconds is None


@given(st.floats(0, 1e6), st.floats(0.001, 1e5), st.floats(0.1, 64), st.floats(0.001, 1.0))
def test_whatever_the_quota_allows_is_told(
    before: float, ran: float, cpus: float, share: float
) -> None:
    used = ran * cpus * share
    found = used_by(
        pilot_with(SlotUsage(before, None), cpus), ran, SlotUsage(before + used, None)
    ).cpu_seconds
    assert found is None or found == pytest.approx(used, abs=1e-6)
    assert (found is None) == (before + used == before)
