"""Inside the virtual machine: write down when the timer fired, in microseconds since boot.

One process that stays: starting busctl every time would be the machine's heaviest load.
"""

import os
import time

from pystemd.dbuslib import DBus

LOG = "/run/ticks.log"
BUS = "/run/dbus/system_bus_socket"
TIMER = (
    b"org.freedesktop.systemd1",
    b"/org/freedesktop/systemd1/unit/plancton_2etimer",
    b"org.freedesktop.systemd1.Timer",
    b"LastTriggerUSecMonotonic",
    b"t",
)
STEP_SECONDS = 1.0


def main() -> None:
    """Look for as long as the machine runs."""
    while not os.path.exists(BUS):
        time.sleep(STEP_SECONDS)
    last = 0
    with open(LOG, "a", buffering=1) as log, DBus() as bus:
        while True:
            time.sleep(STEP_SECONDS)
            try:
                now = bus.get_property(*TIMER)
            except Exception:
                continue  # The manager is starting anew.
            if now != last:
                print(now, file=log)
                last = now


if __name__ == "__main__":
    main()
