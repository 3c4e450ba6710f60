"""An upgrade of the package with pilots at work."""

from plancton_tick import __version__
from tests.host.package import build_other_rpm, build_rpm, install_rpm
from tests.host.test_journal import more_ticks
from tests.host.test_package import LATER, born, complaints, counters, replace_pilot
from tests.vm.machine import VirtualMachine


def test_an_upgrade_and_a_downgrade_leave_pilots_and_counters_alone(full: VirtualMachine) -> None:
    since = full.cursor()
    assert replace_pilot(full) == __version__
    for package, version in ((build_other_rpm(LATER), LATER), (build_rpm(), __version__)):
        pilots, counted = born(full), counters(full)
        assert counted
        install_rpm(full, package)
        more_ticks(full, 2)
        assert born(full) == pilots
        assert counters(full) == counted
        assert full.run("plancton-tick --version") == f"plancton {version}"
    # The one pilot that the test has killed counts as failed, and is told as that.
    assert [text for text in complaints(full, since) if "killed, not by us" not in str(text)] == []
