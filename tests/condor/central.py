"""A central manager and schedd of HTCondor, the full Debian package, in a container.

Its root is made by debootstrap once and kept below .cache/condor. It listens on the bridge's own
address, on the host's network, so that pilots see what they see at a site: an address and a port.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.engine.ticks import wait_until

CACHE = Path(__file__).resolve().parent.parent.parent / ".cache" / "condor"
IMAGE = "plancton-condor-central:test"
# debootstrap does not see that another package provides what python3-cryptography asks for.
PACKAGES = "condor,python3-cffi-backend"
LEFT_OUT = (
    *("./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./usr/share/locale/*"),
    *("./usr/share/doc/*", "./usr/share/man/*", "./dev/*", "./run/*", "./tmp/*"),
)
CONFIG = """\
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD
CONDOR_HOST = {address}
COLLECTOR_HOST = {address}:{port}
COLLECTOR_PORT = {port}
SHARED_PORT_PORT = {port}
COLLECTOR_NAME = test
NETWORK_INTERFACE = {address}
NETWORK_HOSTNAME = central
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
TRUST_DOMAIN = plancton
UID_DOMAIN = plancton
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS
ALLOW_READ = *
ALLOW_WRITE = *@plancton, execute-side@matchsession
ALLOW_DAEMON = condor@plancton, root@plancton, execute-side@matchsession
ALLOW_NEGOTIATOR = condor@plancton, root@plancton
ALLOW_ADMINISTRATOR = condor@plancton, root@plancton
ALLOW_ADVERTISE_STARTD = pilot@plancton
CLASSAD_LIFETIME = 60
NEGOTIATOR_INTERVAL = 5
NEGOTIATOR_MIN_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 2
SCHEDD_INTERVAL = 5
JOB_START_COUNT = 20
JOB_START_DELAY = 0
"""
START = """\
set -e
echo joe:x:1000: >>/etc/group
echo joe:x:1000:1000::/home/joe:/bin/sh >>/etc/passwd
install -d -o 1000 -g 1000 /home/joe
install -d -m 700 /etc/condor/passwords.d
install -d -o condor -g condor /var/log/condor /run/condor /run/lock/condor
head -c 64 /dev/urandom >/etc/condor/passwords.d/POOL
chmod 600 /etc/condor/passwords.d/POOL
exec condor_master -f
"""


def root_tar() -> Path:
    """Return the tar of the root, made now if it is not there. Raises RuntimeError."""
    tar = CACHE / "central.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        work = CACHE / f"root.{os.getpid()}"
        try:
            _build(work, tar)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return tar


def _build(root: Path, tar: Path) -> None:
    log = CACHE / "debootstrap.log"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", str(root)]
    environment = {**os.environ, "DPKG_FORCE": "unsafe-io"}
    environment["PATH"] += ":/usr/sbin:/sbin"
    with log.open("wb") as output:
        made = subprocess.run(command, stdout=output, stderr=output, env=environment, check=False)
    if made.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise RuntimeError(f"debootstrap failed; {log} ends with:\n{tail}")
    fresh = tar.with_suffix(f".{os.getpid()}")
    excludes = [f"--exclude={pattern}" for pattern in LEFT_OUT]
    subprocess.run(["tar", "-C", root, *excludes, "-cf", fresh, "."], check=True)
    fresh.rename(tar)


class Central:
    """The pool: its manager, its queue and a user who submits jobs."""

    def __init__(self, url: str, name: str, address: str, port: int, folder: Path) -> None:
        self.address = f"{address}:{port}"
        self._url = url
        self._name = name
        config, start = folder / "config", folder / "start"
        config.write_text(CONFIG.format(address=address, port=port))
        start.write_text(START)
        self.docker(
            *("run", "-d", "--name", name, "--network", "host", "--init"),
            *("-v", f"{config}:/etc/condor/config.d/99-test:ro", "-v", f"{start}:/start:ro"),
            *(IMAGE, "sh", "/start"),
        )
        wait_until(lambda: self.run("condor_status -collector -af Name").startswith("test"), 120)

    def docker(self, *words: str, given: str = "") -> str:
        """Ask the engine by its client; return what it printed, and its complaints."""
        done = subprocess.run(
            ["docker", *words],
            env={**os.environ, "DOCKER_HOST": self._url},
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def run(self, script: str, user: str = "root", given: str = "") -> str:
        """Run a line of shell there."""
        words = ("exec", "-i", "-u", user, "-w", "/home/joe" if user == "joe" else "/")
        return self.docker(*words, self._name, "sh", "-c", script, given=given)

    def make_token(self, folder: Path) -> Path:
        """Put a pilot's token into a new folder, as a site would."""
        token = self.run(
            "condor_token_create -identity pilot@plancton -key POOL "
            "-authz READ -authz ADVERTISE_STARTD -authz ADVERTISE_MASTER"
        )
        assert token.startswith("ey"), token
        tokens = folder / "tokens"
        tokens.mkdir()
        (tokens / "pilot").write_text(token)
        (tokens / "pilot").chmod(0o400)
        for each in (tokens / "pilot", tokens):
            os.chown(each, 1000, 1000)
        return tokens

    def submit(
        self, count: int, seconds: float, lease_seconds: int = 2400, input_size: str = "0"
    ) -> None:
        """Submit jobs that take so long each and print the square of their number.

        The lease is how long a job is shown as running on a machine that says nothing; 2400 is
        what HTCondor takes where nobody says.
        """
        self.run(f"truncate -s {input_size} input", "joe")
        lines = (
            "executable = /bin/sh",
            f"arguments = \"-c 'sleep {seconds}; expr $(Process) \\* $(Process)'\"",
            "transfer_executable = false",
            "should_transfer_files = YES",
            "transfer_input_files = input",
            "when_to_transfer_output = ON_EXIT",
            "output = out.$(Cluster).$(Process)",
            "log = log",
            "request_memory = 50",
            "request_disk = 1",
            f"job_lease_duration = {lease_seconds}",
            f"queue {count}",
        )
        told = self.run("cat >jobs && condor_submit jobs", "joe", "\n".join(lines) + "\n")
        assert f"{count} job(s) submitted" in told, told

    def wait_for_shadow(self) -> None:
        """Wait until a job is on its way to a pilot: shown as running, and not begun there."""
        told = self.run(
            "timeout 90 sh -c "
            "'until grep -qs \"Initializing a\" /var/log/condor/ShadowLog; do sleep 0.02; done'"
            " && echo yes"
        )
        assert told == "yes\n", told

    def count(self, status: int) -> int:
        """Count the jobs in the queue with this status: 1 idle, 2 running, 5 held."""
        told = self.run(f"condor_q -allusers -constraint 'JobStatus == {status}' -af ProcId")
        return len(told.split())

    def is_empty(self) -> bool:
        """Say whether no job is left in the queue."""
        return self.run("condor_q -allusers -af ProcId || echo down").strip() == ""

    def answers(self) -> list[int]:
        """Return what the jobs have printed, in order."""
        return sorted(int(word) for word in self.run("cat out.* 2>/dev/null", "joe").split())

    def count_events(self, code: str) -> int:
        """Count events of a kind in the user's log.

        001 executing, 004 evicted, 005 terminated, 022 disconnected: its pilot went without a word.
        """
        return int(self.run(f"cat log | grep -c '^{code} '", "joe"))

    def close(self) -> None:
        """Remove the container."""
        self.docker("rm", "-f", self._name)


def load(url: str) -> str:
    """Load the image into an engine, and return its name."""
    subprocess.run(
        ["docker", "import", root_tar(), IMAGE],
        env={**os.environ, "DOCKER_HOST": url},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return IMAGE
