"""Ticks as real processes on a real engine: how to run them, and what they leave there.

The owner of the host is absent unless a test says otherwise: a tick is shown a /proc/stat that
stands still, so that it spawns however busy the machine is on which the tests run. An overload is
then made by asking for a larger ``host.reserve.cpus``.
"""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote

from plancton_tick.config import load_config
from plancton_tick.container import make_body
from plancton_tick.ledger import Snapshot, Volume, read_snapshot
from plancton_tick.ledger_json import dump
from plancton_tick.model import LABEL_EXPIRES_AT, LABEL_INSTANCE, LABEL_LEDGER, Ledger, PilotType
from tests.engine.rest import Rest, RestError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

SLEEPER = ["sleep", "1000"]
STUBBORN = ["sh", "-c", "trap '' TERM; sleep 1000"]
# Shows the command behind the first argument, which is a file, as /proc/stat.
AT_REST = 'mount --bind "$1" /proc/stat && shift && exec "$@"'
# The wall clock is the first argument ahead, the time since boot the second: where both are, time
# has passed; where only the first is, the clock was stepped.
ELSEWHEN = """\
import sys, time
wall, boot = float(sys.argv[1]), float(sys.argv[2])
del sys.argv[1:3]
true_time, true_gettime = time.time, time.clock_gettime
time.time = lambda: true_time() + wall
time.clock_gettime = lambda which: true_gettime(which) + boot
from plancton_tick.cli import main
sys.exit(main())
"""


class Ticked(NamedTuple):
    """What a tick said and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """The lines on stderr."""
        return self.err.splitlines()

    def has_done(self, count: int, pattern: str) -> bool:
        """Say whether it ended well and so many lines on stderr, all of them, match."""
        matching = [line for line in self.lines if re.search(pattern, line)]
        return self.code == 0 and len(matching) == len(self.lines) == count


class Node:
    """One instance of Plancton on one engine: its configuration, its ticks and its containers."""

    def __init__(self, rest: Rest, image: str, instance: str, directory: Path) -> None:
        self.rest = rest
        self.image = image
        self.instance = instance
        self.directory = directory
        self.config = directory / "config.yaml"
        self.url = f"unix://{rest.socket}"
        directory.mkdir(exist_ok=True)
        self.still = directory / "stat"
        self.still.write_bytes(Path("/proc/stat").read_bytes())
        self.configure()

    # configuration

    def configure(
        self,
        *pilots: Mapping[str, object],
        host: Mapping[str, object] | None = None,
        spawn: Mapping[str, object] | None = None,
        reclaim: Mapping[str, object] | None = None,
        engine: Mapping[str, object] | None = None,
    ) -> None:
        """Write a configuration: cheap pilots, nothing reserved, and what the test says."""
        cheap = {
            "name": "pilot",
            "image": self.image,
            "command": SLEEPER,
            "cpus": 0.01,
            "memory": "8M",
            "fizzle": 0,
            "network": "none",
        }
        nothing = {"cpus": 0, "memory": 0, "disk": 0}
        document = {
            "host": {"max_pilots": 2, "reserve": nothing, "sample": "50ms", **(host or {})},
            "spawn": {"per_tick": 16, "cooldown": 0, **(spawn or {})},
            "reclaim": {"tolerance": 0, "after": 0, **(reclaim or {})},
            "engine": {"instance": self.instance, "timeout": "30s", **(engine or {})},
            "pilots": [{**cheap, **pilot} for pilot in pilots or ({},)],
        }
        # JSON is YAML. Renamed into place, for ticks may be reading.
        fresh = self.config.with_suffix(".new")
        fresh.write_text(json.dumps(document, indent=1))
        fresh.rename(self.config)

    def set_timeout(self, seconds: float) -> None:
        """Change how long ticks wait for the engine, and nothing else."""
        document = json.loads(self.config.read_text())
        document["engine"]["timeout"] = seconds
        self.config.write_text(json.dumps(document, indent=1))

    def room_for(self, pilots: int, **settings: object) -> dict[str, object]:
        """Return a ``host`` section that reserves all but the cores of so many cheap pilots."""
        cpus = len(os.sched_getaffinity(0)) - 0.0101 * pilots
        return {"reserve": {"cpus": cpus, "memory": 0, "disk": 0}, **settings}

    def types(self) -> dict[str, PilotType]:
        """Return the pilot types of the configuration."""
        return {each.name: each for each in load_config(str(self.config)).config.pilots}

    # ticks

    def start(
        self,
        *words: str,
        url: str | None = None,
        at_rest: bool = True,
        later: float = 0.0,
        jump: float = 0.0,
        prefix: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[str]":
        """Start a tick ``later`` seconds from now, with the clock stepped by ``jump``."""
        command = [*prefix, sys.executable, "-I"]
        if later or jump:
            command += ["-c", ELSEWHEN, str(later + jump), str(later)]
        else:
            command += ["-m", "plancton_tick"]
        command += ["--config", str(self.config), *words]
        if at_rest:
            still = str(self.still)
            command = ["unshare", "--mount", "sh", "-c", AT_REST, "sh", still, *command]
        clean = {
            key: value
            for key, value in os.environ.items()
            if key not in ("RUNTIME_DIRECTORY", "JOURNAL_STREAM")
        }
        return subprocess.Popen(
            command,
            env={**clean, "DOCKER_HOST": url or self.url, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tick(self, *words: str, **settings: Any) -> Ticked:
        """Run a tick to its end. ``settings`` are those of ``start``."""
        return finish(self.start(*words, **settings))

    # what is there

    def containers(self) -> list[dict[str, Any]]:
        """List the containers with this instance's label."""
        labelled = {"label": [f"{LABEL_INSTANCE}={self.instance}"]}
        listed: list[dict[str, Any]] = self.rest.get("/containers/json", all=1, filters=labelled)
        return listed

    def states(self) -> dict[str, str]:
        """Return the state of each container by name."""
        return {each["Names"][0].lstrip("/"): each["State"] for each in self.containers()}

    def live(self) -> list[str]:
        """Return the ids of the containers that have not exited."""
        live = ("created", "running", "paused")
        return [each["Id"] for each in self.containers() if each["State"] in live]

    def volumes(self) -> list[str]:
        """Return the names of the volumes named as ledgers of this instance."""
        return sorted(volume.name for volume in self._volumes())

    def snapshot(self) -> Snapshot:
        """Read the ledger."""
        return read_snapshot(self._volumes(), self.instance)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many pilots of each type ended in which way."""
        return {name: dict(of) for name, of in self.snapshot().ledger.counts.items()}

    def counted(self) -> int:
        """Return how many pilots were counted in all."""
        return sum(sum(of_type.values()) for of_type in self.counts().values())

    def _volumes(self) -> list[Volume]:
        prefix = f"{self.instance}-ledger-"
        listed = self.rest.get("/volumes", filters={"name": [prefix]})["Volumes"] or []
        return [
            Volume(each["Name"], each["Labels"] or {}, each["Mountpoint"])
            for each in listed
            if each["Name"].startswith(prefix)
        ]

    # arranging

    def make(
        self,
        slot: int,
        command: list[str] | None = None,
        *,
        of_type: str | None = None,
        age: float = 10.0,
        labels: Mapping[str, str] | None = None,
        start: bool = True,
        image: str | None = None,
    ) -> str:
        """Make a pilot as an earlier tick would have, and return its id."""
        types = self.types()
        body: dict[str, Any] = make_body(
            types[of_type] if of_type else next(iter(types.values())),
            slot=slot,
            now=time.time() - age,
            node="node",
            instance=self.instance,
            cgroup_driver="cgroupfs",
            has_journald=False,
        )
        body["Labels"] |= dict(labels or {})
        if command is not None:
            body["Cmd"] = command
        if image is not None:
            body["Image"] = image
        name = f"{self.instance}-{slot}"
        made: str = self.rest.post("/containers/create", body, name=name)["Id"]
        if start:
            self.rest.post(f"/containers/{made}/start")
            if command is STUBBORN:
                self.wait_until_up(made)
        return made

    def wait_until_up(self, container_id: str) -> None:
        """Wait until a container's ``sleep`` runs: a signal that comes sooner can be lost."""

        def is_up() -> bool:
            with contextlib.suppress(RestError):
                processes = self.rest.get(f"/containers/{container_id}/top")["Processes"]
                return any(process[-1].startswith("sleep") for process in processes)
            return False

        wait_until(is_up)

    def make_expired(self, slot: int, command: list[str] | None = None) -> str:
        """Make a pilot that runs and is past its lifetime."""
        return self.make(slot, command, labels={LABEL_EXPIRES_AT: f"{time.time() - 1:.3f}"})

    def make_exited(self, slot: int, code: int, **settings: Any) -> str:
        """Make a pilot that has exited with this code."""
        made = self.make(slot, ["sh", "-c", f"exit {code}"], **settings)
        self.rest.post(f"/containers/{made}/wait")
        return made

    def write_ledger(self, ledger: Ledger, generation: int = 1) -> None:
        """Put a ledger there as an earlier tick would have."""
        self.make_volume(str(generation), {LABEL_LEDGER: dump(ledger, ())})

    def make_volume(self, suffix: str, labels: Mapping[str, str]) -> str:
        """Make a volume named as a ledger, and return its name."""
        name = f"{self.instance}-ledger-{suffix}"
        self.rest.post("/volumes/create", {"Name": name, "Labels": dict(labels)})
        return name

    def pause(self, container_id: str) -> None:
        """Freeze a container. The kernel may be too busy to do so at once."""

        def is_frozen() -> bool:
            with contextlib.suppress(RestError):
                self.rest.pause(container_id)
                return True
            return False

        wait_until(is_frozen)

    def wait_until_exited(self, container_id: str) -> None:
        """Wait until a container has exited."""
        self.rest.post(f"/containers/{container_id}/wait")

    def clean(self) -> None:
        """Remove all that carries this instance's label or name, its group included."""
        named = {"name": [f"^/{re.escape(self.instance)}-[0-9]+$"]}
        listed = self.rest.get("/containers/json", all=1, filters=named)
        ids = {each["Id"] for each in [*listed, *self.containers()]}
        in_parallel(lambda each: self._remove(f"/containers/{each}?force=1&v=1"), ids)
        for name in self.volumes():
            self._remove(f"/volumes/{name}")
        remove_slice(self.instance)

    def _remove(self, path: str) -> None:
        try:
            self.rest.delete(path)
        except RestError as error:
            if error.status not in (404, 409):
                raise


def finish(process: "subprocess.Popen[str]", patience: float = 120.0) -> Ticked:
    """Wait for a tick's end. One that does not end is killed, and that is a failure."""
    begin = time.monotonic()
    with process:
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ticked(process.returncode, out, err, time.monotonic() - begin)


def remove_slice(instance: str) -> None:
    """Remove the control groups of an instance, which an engine leaves when the pilots go."""
    top = Path("/sys/fs/cgroup")

    def is_gone() -> bool:
        slices = [*top.glob(f"{instance}.slice"), *top.glob(f"*/{instance}.slice")]
        folders = [*(slot for each in slices for slot in each.glob("*-slot*.slice")), *slices]
        for folder in folders:
            # The kernel takes a moment to see that nobody is left in it.
            with contextlib.suppress(OSError):
                folder.rmdir()
        return not folders

    wait_until(is_gone)


def wait_until(condition: Callable[[], object], patience: float = 30.0) -> None:
    """Wait until a condition is true; that it does not come true is a failure."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.05)


def in_parallel(
    do: Callable[[ItemT], ResultT], items: Iterable[ItemT], workers: int = 8
) -> list[ResultT]:
    """Do it with all items, several at a time, and return the results in order."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(do, items))


def together(*makes: Callable[[], ResultT]) -> list[ResultT]:
    """Do different things at once, and return the results in order."""
    with ThreadPoolExecutor(len(makes)) as pool:
        return [each.result() for each in [pool.submit(make) for make in makes]]


class Event(NamedTuple):
    """What the engine tells of a container: ``create``, ``kill``, ``die``, ``destroy`` …"""

    action: str
    container_id: str
    at: float
    signal: str


class Events:
    """All that the engine tells of the containers of one instance, as it happens."""

    def __init__(self, rest: Rest, instance: str) -> None:
        self._socket_path = rest.socket
        filters = {"type": ["container"], "label": [f"{LABEL_INSTANCE}={instance}"]}
        self._path = f"/events?filters={quote(json.dumps(filters))}"
        self._events: list[Event] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._connection = rest_connection(self._socket_path)
        self._connection.request("GET", self._path)
        self._answer = self._connection.getresponse()
        self._socket = self._connection.sock
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(2)
        self._thread.join()
        self._answer.close()
        self._connection.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._answer.readline():
                told = json.loads(line)
                attributes = told["Actor"]["Attributes"]
                self._events.append(
                    Event(
                        told["Action"],
                        told["Actor"]["ID"],
                        told["timeNano"] / 1e9,
                        attributes.get("signal", ""),
                    )
                )

    def so_far(self) -> list[Event]:
        """Return the events so far, in the order in which they were told."""
        return list(self._events)

    def of_all(self) -> list[Event]:
        """Return all events, once every container that was made is gone."""

        def is_over() -> bool:
            told = Counter((event.action, event.container_id) for event in self.so_far())
            made = {each for action, each in told if action == "create"}
            return made == {each for action, each in told if action == "destroy"}

        wait_until(is_over)
        return self.so_far()


def rest_connection(socket_path: Path) -> http.client.HTTPConnection:
    """Open a connection to an engine's unix socket, for an answer without end."""
    from tests.engine.rest import _UnixConnection

    return _UnixConnection(socket_path, timeout=600.0)


def most_live(events: Iterable[Event]) -> int:
    """Return how many containers were live at once, at most."""
    live: set[str] = set()
    most = 0
    for event in events:
        if event.action == "create":
            live.add(event.container_id)
        elif event.action in ("die", "destroy"):
            live.discard(event.container_id)
        most = max(most, len(live))
    return most


def killed_unwarned(events: Iterable[Event]) -> list[str]:
    """Return the containers that got a SIGKILL and no SIGTERM before."""
    warned: set[str] = set()
    unwarned = []
    for event in events:
        if event.action == "kill" and event.signal == "15":
            warned.add(event.container_id)
        elif event.action == "kill" and event.signal == "9" and event.container_id not in warned:
            unwarned.append(event.container_id)
    return unwarned


@contextlib.contextmanager
def another(node: Node, name: str) -> Iterator[Node]:
    """Give a second instance beside a node, and remove it afterwards."""
    instance = f"{node.instance}-{name}"
    second = Node(node.rest, node.image, instance, node.directory / name)
    try:
        yield second
    finally:
        second.clean()
