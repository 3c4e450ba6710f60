"""A host that is a machine of its own, in software alone: /dev/kvm may be missing or unusable."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from plancton_tick.ctl.busybox_image import find_static_busybox, image_tar
from tests.host.machine import PILOT_IMAGE, CommandError, Found, Host
from tests.vm.channel import Channel
from tests.vm.disk import make_disk

CPUS = 2
MEMORY_MIB = 2048
# An emulated CPU is 13 to 24 times slower, and the machine that emulates it may be busy.
SLOWER = 20
KERNEL_LINE = (
    "root=/dev/nvme0n1 rootfstype=ext4 rw console=ttyS0 quiet apparmor=0 selinux=0 psi=1 "
    "mitigations=off systemd.show_status=0 panic=-1"
)


class VirtualMachine(Host):
    """The host as a virtual machine. Its disk is as new at each start, and kept over reboots."""

    def __init__(self) -> None:
        self.suite = "trixie"
        self._folder = tempfile.mkdtemp(prefix="plancton-vm-", dir="/tmp")
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self.console = Path(self._folder) / "console"
        # What pilots are on it now, in the words of who put them there.
        self.kind = ""

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    # commands

    def run(self, command: str, *, check: bool = True, seconds: float = 60.0) -> str:
        """Run a shell command as root, as ``Host.run``; ``seconds`` are those of a real machine."""
        return self._do(["sh", "-c", command], b"", check=check, seconds=seconds).strip()

    def put(self, folder: str, tar: bytes) -> None:
        """Unpack a tar on the host."""
        self._do(["tar", "-C", folder, "-xf", "-"], tar)

    def write(self, path: str, text: str) -> None:
        """Write a file on the host, with the folders above it."""
        self._do(["sh", "-c", f'mkdir -p "$(dirname {path})" && cat >{path}'], text.encode())

    def shell(self) -> int:
        """Raise NotImplementedError: the machine has no terminal."""
        raise NotImplementedError

    def wait_for(
        self, what: str, look: Callable[[], Found], *, seconds: float = 30.0, step: float = 1.0
    ) -> Found:
        """Look until there is something to see; ``seconds`` are those of a real machine."""
        return super().wait_for(what, look, seconds=seconds * SLOWER, step=step)

    def now(self) -> float:
        """Return the machine's seconds since boot, the clock of ``ticks``."""
        return float(self.run("cat /proc/uptime").split()[0])

    def reboot(self) -> None:
        """Restart the machine the way people do, and wait until it is up."""
        assert self._channel is not None
        self._channel.tell(command=["systemctl", "reboot"], seconds=60)
        self._wait_until_up()

    # pilots

    def pilots(self, state: str | None = None) -> list[str]:
        """Return the names of pilots, sorted: all, or those in a state; none without an engine."""
        return sorted(
            entry["Names"][0].removeprefix("/")
            for entry in self.containers()
            if state in (None, entry["State"])
        )

    def containers(self) -> list[dict[str, Any]]:
        """Return the pilots as the engine lists them; none without an engine."""
        assert self._channel is not None
        filters = quote(json.dumps({"label": ["io.plancton.type"]}))
        answer = self._channel.ask(get=f"/containers/json?all=1&filters={filters}")
        entries: list[dict[str, Any]] = json.loads(answer.out) if answer.code == 200 else []
        return entries

    # inside

    def _boot(self) -> None:
        disk = make_disk()
        qemu = shutil.which("qemu-system-x86_64")
        if qemu is None:
            raise RuntimeError("qemu-system-x86_64: not found; .ci/prepare test-vm installs it")
        port = Path(self._folder) / "agent"
        self._process = subprocess.Popen(
            [
                # It ends with the tests, however they end.
                *("setpriv", "--pdeathsig", "KILL", qemu),
                *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35"),
                # By name, for /dev/kvm may be there and unusable. With cx16 Linux 6.12 ends in a
                # double fault.
                *("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-cx16"),
                *("-smp", str(CPUS), "-m", str(MEMORY_MIB)),
                *("-kernel", disk.kernel, "-append", KERNEL_LINE),
                # What is written goes to a file that is gone with the process.
                *(
                    "-drive",
                    f"if=none,id=root,format=raw,file={disk.image},snapshot=on,cache=unsafe",
                ),
                *("-device", "nvme,serial=root,drive=root"),
                *("-chardev", f"socket,id=agent,path={port},server=on,wait=off"),
                *("-device", "virtio-serial-pci"),
                *("-device", "virtserialport,chardev=agent,name=test.agent"),
                *("-serial", f"file:{self.console}"),
            ],
            stdin=subprocess.DEVNULL,
        )
        while not port.exists():
            if self._process.poll() is not None:
                raise CommandError(f"{qemu}: ended with {self._process.returncode}")
            time.sleep(0.1)
        self._channel = Channel(port)
        self._wait_until_up()
        image = image_tar(find_static_busybox(), {})
        self._do(["docker", "import", "-", PILOT_IMAGE], image)

    def _wait_until_up(self) -> None:
        assert self._channel is not None
        try:
            self._channel.wait_for_boot(30.0 * SLOWER)
        except (TimeoutError, ConnectionError) as error:
            said = self.console.read_text(errors="replace")[-1500:]
            raise CommandError(f"host: {error}\n{said}") from error
        state = self.run("systemctl is-system-running --wait", check=False)
        if state != "running":
            failed = self.run("systemctl --failed --no-legend; journalctl -b -p 4", check=False)
            raise CommandError(f"host: expected a system that is running, found {state}\n{failed}")

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)

    def _do(
        self, command: list[str], data: bytes, *, check: bool = True, seconds: float = 60.0
    ) -> str:
        assert self._channel is not None
        answer = self._channel.ask(
            seconds * SLOWER, command=command, input=base64.b64encode(data).decode()
        )
        out = answer.out.decode(errors="replace")
        if check and answer.code:
            raise CommandError(
                f"host: {command} ended with {answer.code}\n{out[-1000:]}{answer.err[-2000:]}"
            )
        return out
