"""Inside the tick's sandbox: try what a tick needs and what it must not be able to do, as JSON."""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
IMAGE = "plancton-test:latest"


def call(function: Callable[..., int], *arguments: object) -> None:
    """Call a function of the C library; raise what errno says if it fails."""
    if function(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def list_pilots() -> None:
    """Ask the engine for its containers, as a quiet tick does."""
    from plancton_tick.engine import Engine

    Engine("unix:///run/docker.sock", 5.0, "plancton").list_pilots()


def create() -> None:
    """Create, start and remove a container, with threads, as a tick that spawns does."""
    from concurrent.futures import ThreadPoolExecutor

    from plancton_tick.engine import Engine

    engine = Engine("unix:///run/docker.sock", 5.0, "plancton")
    engine.prepare_changes()
    with ThreadPoolExecutor(2) as pool:
        body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        container = pool.submit(engine.create, "probe", body).result()
        pool.submit(engine.start, container).result()
        pool.submit(engine.remove, container).result()


def journal() -> None:
    """Send an event with fields, as a tick does."""
    from plancton_tick.report import NOTICE, Event, Kind, emit

    emit(Event(Kind.OPERATOR, NOTICE, "probed", {"PLANCTON_REASON": "probe"}))


def read_host() -> None:
    """Read the host's load, memory and the pilots' slice."""
    from plancton_tick import host

    load = host.finish_sample(host.start_sample("plancton.slice"), 0.1, "/")
    if load.pilots_cores is None:
        raise RuntimeError("the slice's usage is not to be seen")


def ask_for_pull() -> None:
    """Leave a request, as the tick does."""
    from plancton_tick.asking import write_request

    write_request(os.environ["RUNTIME_DIRECTORY"], "probed:latest")


def ask_for_stop() -> None:
    """Leave the other request, and take it back."""
    path = os.path.join(os.environ["RUNTIME_DIRECTORY"], "stop-probe")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    os.unlink(path)


def keep_config() -> None:
    """Write beside the requests, where the checked configuration is kept."""
    path = os.path.join(os.environ["RUNTIME_DIRECTORY"], "probe")
    with open(path, "w") as file:
        file.write("kept")
    os.rename(path, f"{path}.json")


def execute_written_memory() -> None:
    """Map memory that can be written and executed."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def become_root_by_setuid_program() -> None:
    """Run a program whose file makes its user root."""
    os.execv("/run/setuid-id", ["id", "-u"])


def setuid_file() -> None:
    """Leave a file behind that would make its user us."""
    path = "/run/plancton/setuid"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


MUST_WORK: dict[str, Callable[[], object]] = {
    "list": list_pilots,
    "create": create,
    "journal": journal,
    "read the host": read_host,
    "ask for a pull": ask_for_pull,
    "ask for a stop": ask_for_stop,
    "keep the configuration": keep_config,
    "read the configuration": lambda: open("/etc/plancton/config.yaml").close(),
}
MUST_FAIL: dict[str, Callable[[], object]] = {
    "write below /etc": lambda: open("/etc/plancton/probe", "w").close(),
    "write the package": lambda: open("/usr/bin/plancton-tick", "a").close(),
    "read a secret of root": lambda: open("/etc/shadow").close(),
    "open AF_INET": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "open AF_INET6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "open AF_NETLINK": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "open AF_PACKET": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "become root": lambda: os.setuid(0),
    "change groups": lambda: os.setgroups([0]),
    "leave a setuid file": setuid_file,
    "unshare users": lambda: call(LIBC.unshare, CLONE_NEWUSER),
    "unshare mounts": lambda: call(LIBC.unshare, CLONE_NEWNS),
    "mount": lambda: call(LIBC.mount, b"none", b"/tmp", b"tmpfs", 0, None),
    "change root": lambda: os.chroot("/tmp"),
    "set the host's name": lambda: call(LIBC.sethostname, b"probe", 5),
    "execute written memory": execute_written_memory,
    "run in real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "raise a limit": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
    "make a device": lambda: os.mknod("/run/plancton/probe-device", 0o20600, os.makedev(1, 1)),
    "trace the manager": lambda: call(LIBC.ptrace, 16, 1, 0, 0),
    "load a module": lambda: call(LIBC.syscall, 175, b"", 0, b""),
    "personality": lambda: call(LIBC.personality, 0x0008),
}


def read(path: str) -> str:
    """Return what a file holds."""
    with open(path) as file:
        return file.read()


def attempt(action: Callable[[], object]) -> str:
    """Say how it went: "ok", or the name of the error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    except Exception as error:
        return repr(error)
    return "ok"


def main() -> None:
    """Print what came of everything."""
    # Where the package has its code.
    sys.path.insert(0, "/usr/lib/plancton/current")
    status = dict(
        line.split(":\t", 1) for line in read("/proc/self/status").split("\n") if ":\t" in line
    )
    setuid = os.popen("/run/setuid-id -u").read().strip()
    result = {
        "works": {name: attempt(action) for name, action in MUST_WORK.items()},
        "fails": {name: attempt(action) for name, action in MUST_FAIL.items()},
        "status": {key: status[key] for key in ("NoNewPrivs", "CapBnd", "CapPrm", "Seccomp")},
        "setuid": setuid,
        "uid": str(os.getuid()),
        "mounts": os.readlink("/proc/self/ns/mnt"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
