"""A host of the tests' own: systemd as process 1 of a container, an engine and pilots inside."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from plancton_tick.ctl.busybox_image import find_static_busybox, image_tar
from plancton_tick.ctl.engine_folder import SEARCH_PATH
from plancton_tick.ctl.private_engine import PrivateEngine
from tests.host.root import SUITE, root_tar

PILOT_IMAGE = "plancton-test:latest"
HERE = Path(__file__).resolve().parent
# All but sys_resource, which the machine itself may lack. Each by name: "all" would include it.
CAPABILITIES = """
    audit_control audit_read audit_write block_suspend chown dac_override dac_read_search fowner
    fsetid ipc_lock ipc_owner kill lease linux_immutable mac_admin mac_override mknod net_admin
    net_bind_service net_broadcast net_raw setfcap setgid setpcap setuid sys_admin sys_boot
    sys_chroot sys_module sys_nice sys_pacct sys_ptrace sys_rawio sys_time sys_tty_config syslog
    wake_alarm
""".split()  # noqa: SIM905, a list of 37 strings reads worse.
# The engine mounts control groups read-only even in a namespace of their own.
BOOT = (
    "for group in /sys/fs/cgroup /sys/fs/cgroup/*/; do "
    'mount -o remount,bind,rw "$group" || exit; done; '
    # Modules are the machine's; some releases call it a failure that they cannot be loaded.
    # The registry is the tests' to start.
    "cd /etc/systemd/system; for unit in systemd-modules-load docker-registry; do "
    'ln -sf /dev/null "$unit.service"; done; exec /lib/systemd/systemd'
)
TICKS_LOG = "/run/ticks.log"
# By which the manager's lines are known, sd-messages.h.
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"
UNIT_STOPPED = "9d1aaa27d60140bd96365438aad20286"
# Read over D-Bus, which leaves no word in the journal; systemctl would print "1h 14min 3.8s".
WATCH_TICKS = f"""\
bus=org.freedesktop.systemd1
timer=/org/freedesktop/systemd1/unit/plancton_2etimer
last=
while sleep 0.3; do
    now=$(busctl get-property $bus $timer $bus.Timer LastTriggerUSecMonotonic)
    if [ "$now" != "$last" ]; then echo "${{now#t }}"; last=$now; fi
done >{TICKS_LOG}
"""

Found = TypeVar("Found")
Entry = dict[str, Any]


class CommandError(AssertionError):
    """A command on the host failed; as an assertion, pytest shows it as it is."""


class Host:
    """The host. A context manager: it boots, and leaves nothing behind."""

    def __init__(self, suite: str = SUITE) -> None:
        self.suite = suite
        self._folder = tempfile.mkdtemp(prefix="plancton-host-", dir="/tmp")
        self._engine = PrivateEngine(self._folder)
        self.container = "plancton-host"

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self._engine.destroy()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.destroy()

    # commands

    def run(self, command: str, *, check: bool = True, seconds: float = 60.0) -> str:
        """Run a shell command as root on the host and return what it printed, without the end.

        Raises CommandError with all it said if it fails, unless ``check`` is off.
        """
        done = subprocess.run(
            [*self._docker(), "exec", self.container, "sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise CommandError(
                f"host: {command!r} ended with {done.returncode}\n"
                f"{done.stdout[-1000:]}{done.stderr[-2000:]}"
            )
        return done.stdout.strip()

    def put(self, folder: str, tar: bytes) -> None:
        """Unpack a tar on the host."""
        self._feed(["tar", "-C", folder, "-xf", "-"], tar)

    def write(self, path: str, text: str) -> None:
        """Write a file on the host, with the folders above it."""
        self._feed(["sh", "-c", f'mkdir -p "$(dirname {path})" && cat >{path}'], text.encode())

    def shell(self) -> int:
        """Open a shell on the host for whoever sits at the terminal; return its exit code."""
        return subprocess.run([*self._docker(), "exec", "-it", self.container, "bash"]).returncode

    def wait_for(
        self, what: str, look: Callable[[], Found], *, seconds: float = 120.0, step: float = 0.25
    ) -> Found:
        """Look until there is something to see, and return it; fail with ``what`` and the last."""
        end = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > end:
                said = self.run("journalctl --no-pager -n 400 | grep -v mount: | tail -n 25")
                raise AssertionError(f"{what}: not within {seconds:g} s, last {found!r}\n{said}")
            time.sleep(step)
        return found

    # systemd

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.run(f"systemctl show -P {name} {unit}")

    def drop_in(self, unit: str, text: str | None) -> None:
        """Write the tests' drop-in of a unit, or remove it, and let the manager know."""
        path = f"/run/systemd/system/{unit}.d/test.conf"
        if text is None:
            self.run(f"rm -f {path}")
        else:
            self.write(path, text)
        self.run("systemctl daemon-reload")

    def cursor(self) -> str:
        """Return the place where the journal ends now: an instant, for ``journalctl --since``.

        Not a cursor of its own: with matches, --after-cursor of systemd 252 skips the first entry
        that matches, unless that is the cursor's.
        """
        return self.run("journalctl --sync && date +@%s.%6N")

    def journal(self, since: str, *matches: str) -> list[Entry]:
        """Return the entries since a ``cursor``, for arguments such as ``-u plancton``."""
        self.run("journalctl --sync")
        quoted = " ".join(f"'{match}'" for match in matches)
        text = self.run(f"journalctl -o json --since={since} {quoted}")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def ticks(self) -> list[float]:
        """Return when the timer fired, in seconds since boot, since the host started."""
        lines = self.run(f"cat {TICKS_LOG}").split()
        return [int(line) / 1e6 for line in lines if line.isdigit() and line != "0"]

    def now(self) -> float:
        """Return the host's seconds since boot, the clock of ``ticks``."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def timer_periods(self) -> list[tuple[float, float]]:
        """Return from when to when the timer was on, in seconds since boot; the last may last."""
        periods: list[tuple[float, float]] = []
        started = None
        for entry in self.journal("@0", "UNIT=plancton.timer"):
            at = int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
            if entry.get("MESSAGE_ID") == UNIT_STARTED:
                started = at
            elif entry.get("MESSAGE_ID") == UNIT_STOPPED and started is not None:
                periods.append((started, at))
                started = None
        return periods if started is None else [*periods, (started, self.now())]

    def set_owner(self, cores: float) -> None:
        """Have the host's owner use so many cores from now on: own_stat.py."""
        self.run(f"echo {cores:g} >/run/owner-cores")

    # pilots

    def pilots(self, state: str | None = None) -> list[str]:
        """Return the names of pilots, sorted: all, or those in a state of the engine."""
        wanted = f" --filter status={state}" if state else ""
        text = self.run(
            f"docker ps -a --filter label=io.plancton.type{wanted} --format '{{{{.Names}}}}'"
        )
        return sorted(text.split())

    def remove_all(self) -> None:
        """Stop the timer, and remove pilots and ledger."""
        self.run("systemctl stop plancton.timer plancton.service; rm -f /run/plancton/stop")
        self.run(
            "systemctl start docker; docker ps -aq --filter label=io.plancton.type "
            "| xargs -r docker rm -fv; "
            "docker volume ls -q --filter label=io.plancton.ledger | xargs -r docker volume rm"
        )

    # inside

    def _boot(self) -> None:
        tar = root_tar(self.suite)
        self._engine.start()
        self._client("import", str(tar), "plancton-host:latest")
        self._client("run", *self._run_arguments(), "plancton-host:latest", "sh", "-c", BOOT)
        booted = "until [ -S /run/systemd/private ]; do sleep 0.1; done; "
        state = self.run(f"{booted}systemctl is-system-running --wait", check=False)
        if state != "running":
            failed = self.run("systemctl --failed --no-legend; journalctl -p 4", check=False)
            raise CommandError(f"host: expected a system that is running, found {state}\n{failed}")
        self._start("own-stat", "--property=Type=notify --property=NotifyAccess=all", "own_stat.py")
        self.write("/run/watch-ticks.sh", WATCH_TICKS)
        self.run("systemd-run --quiet --unit=watch-ticks sh /run/watch-ticks.sh")
        image = image_tar(find_static_busybox(), {})
        self._feed(["docker", "import", "-", PILOT_IMAGE], image)

    def _start(self, unit: str, options: str, script: str) -> None:
        self.write(f"/run/{script}", (HERE / script).read_text())
        self.run(f"systemd-run --quiet --unit={unit} {options} python3 -I /run/{script}")

    def _run_arguments(self) -> Iterable[str]:
        yield from ("--detach", f"--name={self.container}", "--hostname=host", "--network=none")
        yield from (f"--cap-add={name}" for name in CAPABILITIES)
        for option in ("seccomp=unconfined", "systempaths=unconfined", "apparmor=unconfined"):
            yield from ("--security-opt", option)
        yield from ("--cgroupns=private", "--stop-signal=SIGRTMIN+3", "--env=container=docker")
        yield from ("--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec")
        yield "--volume=/var/lib/docker"

    def _docker(self) -> list[str]:
        return ["docker", "--host", self._engine.url]

    def _client(self, *arguments: str) -> None:
        done = subprocess.run(
            [*self._docker(), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": SEARCH_PATH},
            check=False,
        )
        if done.returncode:
            raise CommandError(f"docker {arguments[0]}: {done.stderr.strip()}")

    def _feed(self, command: list[str], data: bytes) -> None:
        done = subprocess.run(
            [*self._docker(), "exec", "-i", self.container, *command],
            input=data,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"host: {command}: {done.stderr.decode(errors='replace')}")
