"""The promise to the owner, kept by the kernel alone: no tick takes part in it."""

import json
from statistics import median

from tests.vm.conftest import fill
from tests.vm.disk import GUEST
from tests.vm.machine import CPUS, VirtualMachine

ROUNDS, SECONDS = 8, 4
SPIN = ("sh", "-c", "while :; do :; done")
Round = dict[str, float]


def speed(told: Round) -> float:
    """Return the owner's CPU time as a share of all that neither engine nor system took.

    Not what the emulated CPUs get done in that time: that follows the load of the machine that
    emulates them. And not all of the wall time: what the system's services take is theirs in both
    kinds of rounds, and differs by chance. The kernel's books of control groups are made by its
    clock, not by its timer ticks, some of which an emulated CPU loses.
    """
    others = told["all"] - told["cpu"] - told["pilots"]
    return told["cpu"] / (CPUS * told["wall"] - others)


def test_an_owner_of_all_cpus_loses_less_than_3_percent_to_a_machine_full_of_spinning_pilots(
    machine: VirtualMachine,
) -> None:
    fill(machine, SPIN)
    machine.run("systemctl stop plancton.timer plancton.service")
    machine.write("/run/share.py", (GUEST / "share.py").read_text())
    rounds: list[Round] = json.loads(
        machine.run(
            "systemd-run --quiet --pipe --wait --unit=owner --slice=user.slice "
            f"python3 -I /run/share.py {ROUNDS} {SECONDS}",
            seconds=120,
        )
    )
    alone = [each for each in rounds if each["is_alone"]]
    beside = [each for each in rounds if not each["is_alone"]]
    # They did want the CPUs.
    assert all(each["pilots"] > 0 for each in beside)
    assert all(each["pilots"] == 0 for each in alone)
    kept = median(map(speed, beside)) / median(map(speed, alone))
    print(
        f"kept {kept:.4f}; alone {sorted(map(speed, alone))}, beside {sorted(map(speed, beside))}"
    )
    assert kept >= 0.97
