"""What is read from the kernel's files: from copied trees as tables, then on this very host."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

import pytest

from plancton_tick import cgroup, host
from plancton_tick.errors import HostError
from plancton_tick.model import HostLoad

HZ = os.sysconf("SC_CLK_TCK")
SLICE = "plancton.slice"
INSTANCE = "plancton-demo.slice"
NESTED = "plancton.slice/plancton-demo.slice"

KINDS = "user nice system idle iowait irq softirq steal guest guest_nice"
Counters = tuple[int, ...]
START: Counters = (1000, 1000, 1000, 9000, 1000, 1000, 1000, 1000, 500, 500)
MEMINFO = "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 6000 kB\nSwapTotal: 2000 kB\n"


def after(**seconds: float) -> Counters:
    """Return the counters of ``START`` with this many seconds more of each kind."""
    pairs = zip(KINDS.split(), START, strict=True)
    return tuple(count + round(HZ * seconds.get(kind, 0)) for kind, count in pairs)


class Tree:
    """A folder that looks like the root of a host, and the clock that host lives by."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.now = 100.0
        self.own_seconds = 0.0
        self.slept: list[float] = []
        self.write("proc/meminfo", MEMINFO)
        self.stat({0: START, 1: START})

    def write(self, path: str, text: str) -> None:
        file = Path(self.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, path: str) -> str:
        return Path(self.root, path).read_text()

    def stat(self, cpus: Mapping[int, Counters]) -> None:
        lines = ["cpu  9 9 9 9 9 9 9 9 9 9"]
        lines += [f"cpu{cpu} {' '.join(map(str, counts))}" for cpu, counts in cpus.items()]
        lines += ["intr 123 0 0 0", "ctxt 5", "btime 6", "cpufreq 7"]
        self.write("proc/stat", "\n".join(lines) + "\n")

    def load(
        self,
        during: Callable[[], None] = lambda: None,
        *,
        slice_name: str = SLICE,
        seconds: float = 1.0,
        affinity: frozenset[int] = frozenset(range(8)),
        listing_seconds: float = 0.0,
        own_seconds: float = 0.0,
        data_root: str | None = None,
    ) -> HostLoad:
        """Open a window, let the host do ``during`` in it, and close it."""

        def sleep(rest: float) -> None:
            self.slept.append(rest)
            self.now += rest

        def clock() -> float:
            return self.now

        def own_cpu() -> float:
            return self.own_seconds

        first = host.start_sample(slice_name, self.root, clock=clock, own_cpu=own_cpu)
        self.now += listing_seconds
        self.own_seconds += own_seconds
        during()
        return host.finish_sample(
            first,
            seconds,
            data_root,
            affinity=affinity,
            sleep=sleep,
            clock=clock,
            own_cpu=own_cpu,
        )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


# --- busy cores ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "busy_cores"),
    [
        ("user", 0.5),
        ("nice", 0.5),
        ("system", 0.5),
        ("irq", 0.5),
        ("softirq", 0.5),
        ("steal", 0.5),
        ("idle", 0.0),
        ("iowait", 0.0),
        ("guest", 0.0),
        ("guest_nice", 0.0),
    ],
)
def test_time_is_busy_by_its_kind(tree: Tree, kind: str, busy_cores: float) -> None:
    load = tree.load(lambda: tree.stat({0: START, 1: after(**{kind: 0.5})}))
    assert load.busy_cores == pytest.approx(busy_cores)
    assert load.ncpus == 2


@pytest.mark.parametrize(
    ("before", "then", "affinity", "ncpus", "busy_cores"),
    [
        pytest.param(
            {0: START, 1: START},
            {0: after(user=0.25), 1: after(user=0.5)},
            {0, 1},
            2,
            0.75,
            id="the busy cores of all CPUs are added",
        ),
        pytest.param(
            {0: START, 1: START, 2: START},
            {0: after(user=0.25), 2: START},
            {0, 1, 2},
            2,
            0.25,
            id="a CPU that goes offline in the window counts for nothing",
        ),
        pytest.param(
            {0: START},
            {0: after(user=0.25), 1: after(user=500)},
            {0, 1},
            1,
            0.25,
            id="a CPU that comes online in the window counts from the next one",
        ),
        pytest.param(
            {0: START, 1: START},
            {0: START, 1: after(user=900)},
            {0, 1},
            2,
            1.0,
            id="a CPU whose counter jumps is one busy core and no more",
        ),
        pytest.param(
            {0: START, 2: START, 3: START},
            {0: after(user=0.25), 2: after(user=0.5), 3: START},
            {2, 3, 7},
            2,
            0.5,
            id="only CPUs that we may use count",
        ),
        pytest.param(
            {0: after(idle=5, iowait=5), 1: START},
            {0: after(user=0.25), 1: START},
            {0, 1},
            2,
            0.25,
            id="idle counters that go backwards change nothing",
        ),
        pytest.param(
            {0: after(softirq=5), 1: START},
            {0: after(user=0.25), 1: after(user=0.5)},
            {0, 1},
            2,
            0.75,
            id="a busy counter that goes backwards hides nothing else",
        ),
        pytest.param(
            {0: START, 1: START},
            {0: after(user=0.5, steal=0.5), 1: after(steal=0.25)},
            {0, 1},
            2,
            1.25,
            id="stolen time is the owner's",
        ),
        pytest.param(
            dict.fromkeys(range(4), START),
            dict.fromkeys(range(4), after(user=1.02)),
            {0, 1, 2, 3},
            4,
            4.0,
            id="never more busy cores than CPUs",
        ),
    ],
)
def test_busy_cores(
    tree: Tree,
    before: Mapping[int, Counters],
    then: Mapping[int, Counters],
    affinity: set[int],
    ncpus: int,
    busy_cores: float,
) -> None:
    tree.stat(before)
    load = tree.load(lambda: tree.stat(then), affinity=frozenset(affinity))
    assert load.ncpus == ncpus
    assert load.busy_cores == pytest.approx(busy_cores)


def test_own_cpu_time_is_not_owner_load(tree: Tree) -> None:
    load = tree.load(lambda: tree.stat({0: after(user=0.5), 1: START}), own_seconds=0.125)
    assert load.busy_cores == pytest.approx(0.375)


def test_own_cpu_time_never_makes_the_load_negative(tree: Tree) -> None:
    assert tree.load(own_seconds=0.125).busy_cores == 0.0


@pytest.mark.parametrize(
    ("listing_seconds", "slept", "window_seconds"),
    [
        pytest.param(0.25, [0.75], 1.0, id="only the rest of the window is slept"),
        pytest.param(1.0, [], 1.0, id="nothing is slept when the window is over"),
        pytest.param(4.0, [], 4.0, id="a longer window counts as long as it was"),
    ],
)
def test_window(
    tree: Tree, listing_seconds: float, slept: list[float], window_seconds: float
) -> None:
    tree.write(f"sys/fs/cgroup/{SLICE}/cpu.stat", "usage_usec 0\n")

    def during() -> None:
        tree.stat({0: after(user=0.5), 1: START})
        tree.write(f"sys/fs/cgroup/{SLICE}/cpu.stat", "usage_usec 250000\n")

    load = tree.load(during, listing_seconds=listing_seconds)
    assert tree.slept == slept
    assert load.window_seconds == window_seconds
    assert load.busy_cores == pytest.approx(0.5 / window_seconds)
    assert load.pilots_cores == pytest.approx(0.25 / window_seconds)


def test_a_window_of_no_length_is_an_error(tree: Tree) -> None:
    with pytest.raises(HostError, match="expected to advance"):
        tree.load(seconds=0.0)


def test_a_host_of_thousands_of_cpus_is_read_whole(tree: Tree) -> None:
    tree.stat(dict.fromkeys(range(4000), START))
    then = dict.fromkeys(range(4000), after(user=0.5))
    load = tree.load(lambda: tree.stat(then), affinity=frozenset(range(4000)))
    assert load.ncpus == 4000
    assert load.busy_cores == pytest.approx(2000.0)


# --- the pilots' slice ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slice_name", "path", "first", "last"),
    [
        pytest.param(SLICE, f"{SLICE}/cpu.stat", 2_000_000, 2_750_000, id="v2"),
        pytest.param(INSTANCE, f"{NESTED}/cpu.stat", 0, 750_000, id="v2, systemd driver"),
        pytest.param(INSTANCE, f"{INSTANCE}/cpu.stat", 0, 750_000, id="v2, cgroupfs driver"),
        pytest.param(SLICE, f"cpuacct/{SLICE}/cpuacct.usage", 5, 750_000_005, id="v1"),
        pytest.param(SLICE, f"cpu,cpuacct/{SLICE}/cpuacct.usage", 0, 750_000_000, id="v1 joined"),
        pytest.param(SLICE, f"cpuacct,cpu/{SLICE}/cpuacct.usage", 0, 750_000_000, id="v1 turned"),
        pytest.param(
            INSTANCE, f"cpuacct/{NESTED}/cpuacct.usage", 0, 750_000_000, id="v1, systemd driver"
        ),
        pytest.param(
            INSTANCE, f"cpuacct/{INSTANCE}/cpuacct.usage", 0, 750_000_000, id="v1, cgroupfs driver"
        ),
        pytest.param(
            SLICE, f"unified/{SLICE}/cpu.stat", 0, 750_000, id="hybrid without v1 accounting"
        ),
    ],
)
def test_the_slice_is_read_wherever_it_is(
    tree: Tree, slice_name: str, path: str, first: int, last: int
) -> None:
    def usage(value: int) -> None:
        prefix = "usage_usec " if path.endswith("cpu.stat") else ""
        tree.write(f"sys/fs/cgroup/{path}", f"{prefix}{value}\n")

    usage(first)
    load = tree.load(lambda: usage(last), slice_name=slice_name)
    assert load.pilots_cores == pytest.approx(0.75)


def test_a_pilot_in_both_trees_of_a_hybrid_host_counts_once(tree: Tree) -> None:
    v1, v2 = f"cpuacct/{SLICE}/cpuacct.usage", f"unified/{SLICE}/cpu.stat"
    tree.write(f"sys/fs/cgroup/{v1}", "0\n")
    tree.write(f"sys/fs/cgroup/{v2}", "usage_usec 0\n")

    def during() -> None:
        tree.write(f"sys/fs/cgroup/{v1}", "500000000\n")
        tree.write(f"sys/fs/cgroup/{v2}", "usage_usec 500000\n")

    assert tree.load(during).pilots_cores == pytest.approx(0.5)


def test_an_empty_nested_slice_does_not_hide_pilots_in_the_flat_one(tree: Tree) -> None:
    tree.write(f"sys/fs/cgroup/{NESTED}/cpu.stat", "usage_usec 0\n")
    tree.write(f"sys/fs/cgroup/{INSTANCE}/cpu.stat", "usage_usec 0\n")

    def during() -> None:
        tree.write(f"sys/fs/cgroup/{INSTANCE}/cpu.stat", "usage_usec 500000\n")

    assert tree.load(during, slice_name=INSTANCE).pilots_cores == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("before", "then"),
    [
        pytest.param(None, None, id="no slice"),
        pytest.param(None, "usage_usec 700000\n", id="a slice that comes in the window"),
        pytest.param("usage_usec 5\n", None, id="a slice that goes in the window"),
        pytest.param("usage_usec 900\n", "usage_usec 0\n", id="a slice made anew in the window"),
        pytest.param("usage_usec 0\n", "usage_usec lots\n", id="a usage that is no number"),
        pytest.param("usage_usec 0\n", "user_usec 5\n", id="a file without the usage"),
        pytest.param("", "", id="an empty file"),
    ],
)
def test_usage_of_the_slice_is_unknown_with(
    tree: Tree, before: str | None, then: str | None
) -> None:
    path = f"sys/fs/cgroup/{SLICE}/cpu.stat"

    def usage(text: str | None) -> None:
        if text is None:
            Path(tree.root, path).unlink(missing_ok=True)
        else:
            tree.write(path, text)

    usage(before)
    assert tree.load(lambda: usage(then)).pilots_cores is None


# --- memory, disk, clock -------------------------------------------------------------------------


def test_memory_of_the_host_is_in_bytes(tree: Tree) -> None:
    load = tree.load()
    assert load.memory_total_bytes == 8000 * 1024
    assert load.memory_available_bytes == 6000 * 1024
    assert load.swap_total_bytes == 2000 * 1024


@pytest.mark.parametrize(
    ("slice_name", "files", "held_bytes"),
    [
        pytest.param(SLICE, {}, None, id="no slice: unknown"),
        pytest.param(
            SLICE,
            {f"{SLICE}/memory.current": "9000\n", f"{SLICE}/memory.stat": "file 7\n"},
            None,
            id="no inactive cache in the file: unknown",
        ),
        pytest.param(
            SLICE,
            {f"{SLICE}/memory.current": "9000\n"},
            None,
            id="no memory.stat: unknown",
        ),
        pytest.param(
            SLICE,
            {
                f"{SLICE}/memory.current": "9000\n",
                f"{SLICE}/memory.stat": "anon 1\ninactive_file 4000\nactive_file 5\n",
            },
            5000,
            id="v2: less the inactive cache",
        ),
        pytest.param(
            SLICE,
            {
                f"{SLICE}/memory.current": "3000\n",
                f"{SLICE}/memory.stat": "inactive_file 4000\n",
            },
            0,
            id="v2: never negative, though the files are not read at one instant",
        ),
        pytest.param(
            SLICE,
            {
                f"memory/{SLICE}/memory.usage_in_bytes": "9000\n",
                f"memory/{SLICE}/memory.stat": "inactive_file 1\ntotal_inactive_file 4000\n",
            },
            5000,
            id="v1: less the inactive cache of all below",
        ),
        pytest.param(
            INSTANCE,
            {
                f"{NESTED}/memory.current": "9000\n",
                f"{NESTED}/memory.stat": "inactive_file 2000\n",
            },
            7000,
            id="v2, systemd driver",
        ),
    ],
)
def test_memory_of_the_slice(
    tree: Tree, slice_name: str, files: Mapping[str, str], held_bytes: int | None
) -> None:
    for path, text in files.items():
        tree.write(f"sys/fs/cgroup/{path}", text)
    assert tree.load(slice_name=slice_name).pilots_memory_bytes == held_bytes


def test_free_disk_is_what_an_ordinary_user_may_write(tree: Tree) -> None:
    tree.write("var/lib/docker/x", "")
    disk = os.statvfs(tree.root)
    free_bytes = tree.load(data_root="/var/lib/docker").disk_free_bytes
    assert free_bytes == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)


@pytest.mark.parametrize("data_root", [None, "/not/there"])
def test_free_disk_is_unknown_where_the_data_cannot_be_seen(
    tree: Tree, data_root: str | None
) -> None:
    assert tree.load(data_root=data_root).disk_free_bytes is None


def test_clock_shows_the_boot_and_when_it_was(tree: Tree) -> None:
    tree.write("proc/sys/kernel/random/boot_id", "01234567-89ab\n")
    clock = host.read_clock(tree.root)
    assert clock.boot_id == "01234567-89ab"
    booted_at = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    assert clock.offset_seconds == pytest.approx(booted_at, abs=1.0)


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_a_host_without_boot_id_is_an_error(tree: Tree, text: str | None) -> None:
    if text is not None:
        tree.write("proc/sys/kernel/random/boot_id", text)
    with pytest.raises(HostError, match="boot_id: expected"):
        host.read_clock(tree.root)


# --- files that make no sense --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        pytest.param("proc/stat", None, "found No such file", id="stat missing"),
        pytest.param("proc/stat", "", "found none", id="stat empty"),
        pytest.param(
            "proc/stat", "cpu 1 2 3 4 5 6 7 8\n", "found none", id="stat has only the sum"
        ),
        pytest.param("proc/stat", "cpu0 1 2 3 4\n", "found 'cpu0 1 2 3 4'", id="stat too short"),
        pytest.param("proc/stat", "cpu0 1 2 3 4 5 6 7 x\n", "7 x'", id="stat with a word"),
        pytest.param("proc/stat", "cpu0 1 2 3 -4 5 6 7 8\n", "-4 5", id="stat negative"),
        pytest.param("proc/stat", "cpux 1 2 3 4 5 6 7 8\n", "'cpux", id="stat without CPU number"),
        pytest.param("proc/stat", "\x00\ufffd\n" * 9, "found none", id="stat garbage"),
        pytest.param("proc/stat", "cpu9 1 2 3 4 5 6 7 8\n", "found 9", id="stat of other CPUs"),
        pytest.param("proc/meminfo", None, "found No such file", id="meminfo missing"),
        pytest.param("proc/meminfo", "", "'MemTotal: N kB', found none", id="meminfo empty"),
        pytest.param(
            "proc/meminfo", "MemTotal: 5 kB\n", "'MemAvailable: N kB'", id="meminfo of Linux 3.13"
        ),
        pytest.param(
            "proc/meminfo", MEMINFO.replace("6000", "six"), "Available: six", id="meminfo word"
        ),
        pytest.param(
            "proc/meminfo", MEMINFO.replace("8000", "0"), "expected some memory", id="meminfo zero"
        ),
    ],
)
def test_error_names_file_expected_and_found(
    tree: Tree, path: str, text: str | None, message: str
) -> None:
    if text is None:
        Path(tree.root, path).unlink()
    else:
        tree.write(path, text)
    with pytest.raises(HostError) as caught:
        tree.load()
    error = caught.value.message
    assert error.startswith(f"{tree.root}/{path}: expected")
    assert message in error
    assert "\n" not in error


# --- the slice's weight --------------------------------------------------------------------------

V2 = {"cgroup.controllers": "cpuset cpu io memory\n", "cgroup.subtree_control": "cpu io\n"}
V1 = {"cpu/cpu.shares": "1024\n", "blkio/tasks": ""}


@pytest.mark.parametrize(
    ("slice_name", "files", "is_lowest", "then"),
    [
        pytest.param(
            SLICE,
            {**V2, f"{SLICE}/cpu.weight": "100\n", f"{SLICE}/cpu.idle": "0\n"},
            True,
            {f"{SLICE}/cpu.idle": "1", f"{SLICE}/cpu.weight": "100\n"},
            id="v2: idle",
        ),
        pytest.param(
            SLICE,
            {**V2, f"{SLICE}/cpu.weight": "100\n"},
            True,
            {f"{SLICE}/cpu.weight": "1"},
            id="v2 without cpu.idle: weight 1",
        ),
        pytest.param(
            SLICE,
            {
                **V2,
                f"{SLICE}/cpu.weight": "0\n",
                f"{SLICE}/cpu.idle": "1\n",
                f"{SLICE}/io.weight": "default 100\n8:0 200\n",
                f"{SLICE}/io.bfq.weight": "default 100\n",
            },
            True,
            {
                f"{SLICE}/cpu.idle": "1\n",
                f"{SLICE}/io.weight": "default 1",
                f"{SLICE}/io.bfq.weight": "default 1",
            },
            id="v2: lowest I/O weight",
        ),
        pytest.param(
            INSTANCE,
            {**V2, f"{NESTED}/cpu.weight": "100\n", f"{NESTED}/cpu.idle": "0\n"},
            True,
            {f"{NESTED}/cpu.idle": "1"},
            id="v2: where the slice is nested",
        ),
        pytest.param(
            SLICE,
            {"cgroup.controllers": "cpu memory\n", "cgroup.subtree_control": ""},
            False,
            {"cgroup.subtree_control": "+cpu"},
            id="v2: the controllers the slice needs are enabled",
        ),
        pytest.param(
            SLICE,
            {"cgroup.controllers": "memory\n", "cgroup.subtree_control": ""},
            False,
            {"cgroup.subtree_control": ""},
            id="v2 without a cpu controller: nothing to weigh",
        ),
        pytest.param(
            SLICE,
            {**V1, f"cpu/{SLICE}/cpu.shares": "1024\n"},
            True,
            {f"cpu/{SLICE}/cpu.shares": "2"},
            id="v1: 2 shares",
        ),
        pytest.param(
            SLICE,
            {"cpu,cpuacct/cpu.shares": "1024\n", f"cpu,cpuacct/{SLICE}/cpu.shares": "1024\n"},
            True,
            {f"cpu,cpuacct/{SLICE}/cpu.shares": "2"},
            id="v1 joined: 2 shares",
        ),
        pytest.param(
            SLICE,
            {**V1, f"cpu/{SLICE}/cpu.shares": "3\n", f"cpu/{SLICE}/cpu.idle": "1\n"},
            True,
            {f"cpu/{SLICE}/cpu.shares": "3\n"},
            id="v1: a slice made idle by hand is left as it is",
        ),
        pytest.param(
            SLICE,
            {
                **V1,
                f"cpu/{SLICE}/cpu.shares": "2\n",
                f"blkio/{SLICE}/blkio.weight": "500\n",
                f"blkio/{SLICE}/blkio.bfq.weight": "100\n",
            },
            True,
            {f"blkio/{SLICE}/blkio.weight": "10", f"blkio/{SLICE}/blkio.bfq.weight": "1"},
            id="v1: lowest I/O weight",
        ),
        pytest.param(
            SLICE,
            {
                **{f"unified/{path}": text for path, text in V2.items()},
                f"unified/{SLICE}/cpu.weight": "100\n",
                "memory/tasks": "",
            },
            True,
            {f"unified/{SLICE}/cpu.weight": "1"},
            id="hybrid with the cpu controller in v2",
        ),
        pytest.param(SLICE, {}, False, {}, id="no cgroups at all"),
    ],
)
def test_slice_is_weighed(
    tree: Tree,
    slice_name: str,
    files: Mapping[str, str],
    is_lowest: bool,
    then: Mapping[str, str],
) -> None:
    for path, text in files.items():
        tree.write(f"sys/fs/cgroup/{path}", text)
    assert cgroup.weigh_slice(slice_name, tree.root) is is_lowest
    assert {path: tree.read(f"sys/fs/cgroup/{path}") for path in then} == then


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {
                **V2,
                f"{SLICE}/cpu.weight": "0\n",
                f"{SLICE}/cpu.idle": "1\n",
                f"{SLICE}/io.weight": "default 1\n",
            },
            id="v2",
        ),
        pytest.param(
            {
                **V1,
                f"cpu/{SLICE}/cpu.shares": "2\n",
                f"blkio/{SLICE}/blkio.weight": "10\n",
            },
            id="v1",
        ),
    ],
)
def test_weights_that_are_right_are_not_written_again(tree: Tree, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        tree.write(f"sys/fs/cgroup/{path}", text)
        os.utime(Path(tree.root, "sys/fs/cgroup", path), (1, 1))
    assert cgroup.weigh_slice(SLICE, tree.root)
    written = [
        path for path in files if Path(tree.root, "sys/fs/cgroup", path).stat().st_mtime != 1
    ]
    assert written == []


@pytest.mark.parametrize(
    ("files", "is_lowest"),
    [
        pytest.param({**V2, f"{SLICE}/cpu.idle": "0\n", f"{SLICE}/cpu.weight": "100\n"}, False),
        pytest.param({**V2, f"{SLICE}/cpu.idle": "1\n", f"{SLICE}/cpu.weight": "0\n"}, True),
        pytest.param({**V2, f"{SLICE}/cpu.idle": "0\n", f"{SLICE}/cpu.weight": "1\n"}, True),
        pytest.param({**V1, f"cpu/{SLICE}/cpu.shares": "1024\n"}, False),
        pytest.param({**V1, f"cpu/{SLICE}/cpu.shares": "2\n"}, True),
        pytest.param(V1, False),
        pytest.param(V2, False),
    ],
)
def test_where_systemd_runs_the_weights_are_only_looked_at(
    tree: Tree, files: Mapping[str, str], is_lowest: bool
) -> None:
    tree.write("run/systemd/system/x", "")
    for path, text in files.items():
        tree.write(f"sys/fs/cgroup/{path}", text)
    before = sorted(Path(tree.root).rglob("*"))
    assert cgroup.weigh_slice(SLICE, tree.root) is is_lowest
    assert sorted(Path(tree.root).rglob("*")) == before
    assert {path: tree.read(f"sys/fs/cgroup/{path}") for path in files} == files


def test_a_weight_that_may_not_be_written_is_told_not_raised(tree: Tree) -> None:
    tree.write("sys/fs/cgroup/cpu/cpu.shares", "1024\n")
    tree.write(f"sys/fs/cgroup/cpu/{SLICE}", "a file where the folder should be")
    assert not cgroup.weigh_slice(SLICE, tree.root)
    Path(tree.root, f"sys/fs/cgroup/cpu/{SLICE}").unlink()
    tree.write(f"sys/fs/cgroup/cpu/{SLICE}/cpu.shares/x", "a folder where the file should be")
    assert not cgroup.weigh_slice(SLICE, tree.root)


# --- this very host ------------------------------------------------------------------------------

CGROUP = Path("/sys/fs/cgroup")
SPIN = "while True: pass"
CPUS = len(os.sched_getaffinity(0))


@pytest.fixture
def spin() -> Iterator[Callable[[], int]]:
    """Start processes that use a whole core each; end them, and only them, afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        started.append(subprocess.Popen([sys.executable, "-I", "-c", SPIN]))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def real_slice() -> Iterator[str]:
    """Name a slice that nothing else uses, and remove what was made of it."""
    name = f"plancton_test_{os.getpid()}.slice"
    yield name
    for folder in (*CGROUP.glob(f"*/{name}"), CGROUP / name):
        for _ in range(50):
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError:  # The kernel is still burying the last member.
                time.sleep(0.1)
            else:
                break
        assert not folder.exists()


def put_in_slice(folder: Path, pid: int) -> None:
    try:
        folder.mkdir()
        (folder / "cgroup.procs").write_text(str(pid))
    except PermissionError:
        pytest.skip(f"may not create {folder}: run as root on a host with writable cgroups")


def measure(slice_name: str = SLICE, root: str = "/", affinity: Set[int] | None = None) -> HostLoad:
    return host.finish_sample(host.start_sample(slice_name, root), 0.5, "/", affinity=affinity)


def owner_cores(load: HostLoad) -> float:
    return load.busy_cores - (load.pilots_cores or 0.0)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def test_this_host_can_be_read() -> None:
    load = measure()
    assert load.ncpus == CPUS
    assert 0 <= load.busy_cores <= load.ncpus
    assert 0 < load.memory_available_bytes <= load.memory_total_bytes
    assert load.disk_free_bytes is not None
    assert load.window_seconds == pytest.approx(0.5, abs=0.3)


def test_the_offset_of_the_clock_is_steady() -> None:
    first, last = host.read_clock(), host.read_clock()
    assert first.boot_id == last.boot_id
    assert first.offset_seconds == pytest.approx(last.offset_seconds, abs=0.05)


def test_a_spinning_process_is_one_busy_core_of_its_cpu(spin: Callable[[], int]) -> None:
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(spin(), {cpu})
    time.sleep(0.2)
    load = measure(affinity={cpu})
    assert load.ncpus == 1
    assert load.busy_cores > 0.85


def test_a_spinning_process_raises_busy_by_about_one_core(spin: Callable[[], int]) -> None:
    """Others use this machine too: one good moment in six is enough."""
    pid = spin()
    seen = []
    for _ in range(6):
        os.kill(pid, signal.SIGSTOP)
        before = measure().busy_cores
        os.kill(pid, signal.SIGCONT)
        during = measure().busy_cores
        seen.append((before, during))
        if before < CPUS - 0.6 and abs(during - min(CPUS, before + 1.0)) < 0.35:
            return
    if all(before > CPUS - 0.6 for before, _ in seen):
        pytest.skip(f"others use all of this machine: {seen}")
    pytest.fail(f"never about one core more (cores before, with a spinning process): {seen}")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_spinning_process_of_the_slice_is_the_pilots_and_not_the_owners(
    version: str, tmp_path: Path, real_slice: str, spin: Callable[[], int]
) -> None:
    places: tuple[str, ...]
    if version == "v1":
        places, file = ("cpuacct", "cpu,cpuacct", "cpuacct,cpu"), "cpuacct.usage"
    else:
        places, file = (".", "unified"), "cgroup.controllers"
    trees = [CGROUP / place for place in places if (CGROUP / place / file).exists()]
    if not trees:
        pytest.skip(f"this host has no cgroup {version} tree that accounts for CPU time")
    # A root that has this version only.
    target = tmp_path / "sys/fs/cgroup" / ("cpuacct" if version == "v1" else "")
    target.parent.mkdir(parents=True)
    target.symlink_to(trees[0])
    (tmp_path / "proc").symlink_to("/proc")
    root = str(tmp_path)
    pid = spin()
    put_in_slice(trees[0] / real_slice, pid)
    seen = []
    for _ in range(6):
        os.kill(pid, signal.SIGSTOP)
        without = measure(real_slice, root)
        os.kill(pid, signal.SIGCONT)
        started = cpu_seconds(pid)
        during = measure(real_slice, root)
        used_cores = (cpu_seconds(pid) - started) / during.window_seconds
        assert without.pilots_cores == pytest.approx(0.0, abs=0.05)
        assert during.pilots_cores is not None
        assert during.pilots_cores == pytest.approx(used_cores, abs=0.15)
        seen.append((owner_cores(without), owner_cores(during), during.pilots_cores))
        if during.pilots_cores > 0.2 and owner_cores(during) < owner_cores(without) + 0.3:
            return
    pytest.fail(f"always the owner's too (owner without, owner with, pilots): {seen}")


def test_memory_of_a_real_slice_is_seen(real_slice: str) -> None:
    tree = CGROUP / "memory" if (CGROUP / "memory").is_dir() else CGROUP
    hog = "import time; held = bytearray(64 << 20); print(1, flush=True); time.sleep(60)"
    command = f'echo $$ > {tree / real_slice}/cgroup.procs && exec {sys.executable} -c "{hog}"'
    try:
        (tree / real_slice).mkdir()
    except PermissionError:
        pytest.skip(f"may not write below {tree}: run as root on a host with writable cgroups")
    if not (tree / real_slice / "memory.stat").exists():
        pytest.skip(f"{tree} has no memory controller")
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            held_bytes = measure(real_slice).pilots_memory_bytes
        finally:
            process.kill()
    assert held_bytes is not None
    assert 64 << 20 <= held_bytes < 256 << 20


def test_the_ticks_own_time_is_not_busy() -> None:
    """A tick that burns CPU in its window does not count itself."""
    cpu = min(os.sched_getaffinity(0))
    seen = []
    for _ in range(6):
        idle = measure(affinity={cpu}).busy_cores
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        try:
            first = host.start_sample(SLICE)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                pass
            busy = host.finish_sample(first, 0.5, None).busy_cores
        finally:
            os.sched_setaffinity(0, allowed)
        seen.append((idle, busy))
        if idle < 0.6 and busy < idle + 0.3:
            return
    if all(idle > 0.6 for idle, _ in seen):
        pytest.skip(f"others use all of this CPU: {seen}")
    pytest.fail(f"always counted itself (cores when asleep, when burning): {seen}")


def test_the_weight_of_a_real_slice_is_set(tmp_path: Path, real_slice: str) -> None:
    # A root without /run/systemd/system: as on a host where nobody else sets the weight.
    (tmp_path / "sys").symlink_to("/sys")
    if not os.access(CGROUP / "cpu", os.W_OK) and not os.access(CGROUP / "cgroup.procs", os.W_OK):
        pytest.skip("may not create cgroups: run as root on a host with writable cgroups")
    assert cgroup.weigh_slice(real_slice, str(tmp_path))
    folders = [*CGROUP.glob(f"cpu*/{real_slice}"), *CGROUP.glob(real_slice)]
    weights = {
        (name, (folder / name).read_text().strip())
        for folder in folders
        for name in ("cpu.idle", "cpu.shares", "cpu.weight")
        if (folder / name).exists()
    }
    assert weights & {("cpu.idle", "1"), ("cpu.shares", "2"), ("cpu.weight", "1")}
    assert cgroup.weigh_slice(real_slice, str(tmp_path))
