"""Put Plancton onto the test host: the RPM of this working copy."""

from typing import TYPE_CHECKING

from tests.host.package import ROOT, build_rpm, install_rpm

if TYPE_CHECKING:
    from tests.host.machine import Host

__all__ = ["ROOT", "install_plancton"]


def install_plancton(host: "Host") -> None:
    """Install or renew Plancton; nothing is enabled or started."""
    install_rpm(host, build_rpm(), "-U --replacepkgs")
