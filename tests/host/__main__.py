"""Boot the test host with Plancton installed, and open a shell in it: ``make host``."""

import sys

from tests.host.conftest import configure
from tests.host.install import install_plancton
from tests.host.machine import Host

WELCOME = """\
A host of your own: systemd, an engine, Plancton, and a configuration of sleeping pilots.
    systemctl enable --now plancton.timer
    journalctl -fu plancton
    docker ps
It is gone when you leave this shell."""


def main() -> int:
    """Run the host for as long as the shell, and return the shell's exit code."""
    with Host() as host:
        install_plancton(host)
        configure(host)
        print(WELCOME, flush=True)
        return host.shell()


if __name__ == "__main__":
    sys.exit(main())
