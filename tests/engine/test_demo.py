"""The demonstration on a real engine: it keeps its promises, and leaves nothing however it ends."""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import pytest

from plancton_tick.ctl import demo
from plancton_tick.ctl.demo_engine import INSTANCE
from plancton_tick.ctl.private_engine import PrivateEngine
from tests.engine.rest import Rest

ROOT = Path(__file__).parents[2]
# A host that is busy makes the demonstration wait for its first pilot, one minute at most.
PATIENCE_SECONDS = 150.0


class Demo:
    """A demonstration as its own process; its output is read as it comes."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "plancton_tick.ctl.demo", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> None:
        """Wait until a line says this."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not re.search(pattern, self.output):
            if self.process.poll() is not None or time.monotonic() > end:
                self._reader.join(5.0)
                if not re.search(pattern, self.output):
                    pytest.fail(f"the demonstration never said {pattern!r}:\n{self.output}")
            time.sleep(0.02)

    def wait(self) -> int:
        """Wait for the end, return the exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(5.0)
        return code

    def stop(self, number: int) -> int:
        """Send a signal, and again while it cleans up; return the exit code."""
        self.process.send_signal(number)
        time.sleep(0.3)
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output += line


@pytest.fixture
def name(rest: Rest) -> Iterator[str]:
    """Return a name for the demonstration, and remove what a failed one left."""
    name = f"{INSTANCE}-t{secrets.token_hex(3)}"
    yield name
    for container in rest.get("/containers/json", all=1, filters={"name": [name]}):
        rest.delete(f"/containers/{container['Id']}", force=1, v=1)
    for volume in rest.get("/volumes", filters={"name": [name]})["Volumes"] or []:
        rest.delete(f"/volumes/{volume['Name']}")


def traces(rest: Rest, name: str) -> list[str]:
    """List all that bears the name: on the engine, in the kernel, in the folder of temporaries."""
    containers = rest.get("/containers/json", all=1, filters={"name": [name]})
    volumes = rest.get("/volumes", filters={"name": [name]})["Volumes"] or []
    images = rest.get("/images/json", filters={"reference": [f"{name}:*"]})
    return [
        *(container["Names"][0] for container in containers),
        *(volume["Name"] for volume in volumes),
        *(image["Id"] for image in images),
        *glob(f"/sys/fs/cgroup/{name}.slice"),
        *glob(f"/sys/fs/cgroup/*/{name}.slice"),
        *glob(f"/tmp/{name}-config-*"),
    ]


def test_a_short_demo_keeps_its_promises_and_leaves_nothing(
    private_engine: PrivateEngine, rest: Rest, pilot_image: str, name: str
) -> None:
    stranger = rest.run(pilot_image, f"{name}-0", ["sleep", "600"])
    demo = Demo(
        "--engine", private_engine.url, "--instance", name, "--seconds", "27", "--cadence", "1.5"
    )
    code = demo.wait()
    assert code == 0, demo.output
    said = demo.output
    assert f"  engine  {private_engine.url} (as asked for)\n" in said
    assert re.search(r"\+ spawned (long|short) in slot 1: room ", said)
    assert re.search(r"\n  idle CPU harvested  [0-9]+% after the first fill, [0-9]+% over", said)
    seconds = re.search(r"\n  give back +([0-9.]+) s after the owner came back, [1-9]", said)
    assert seconds is not None
    assert 2.25 < float(seconds[1]) < 15
    assert re.search(r"\n  owner +got [0-9]+% of the cores", said)
    assert re.search(r"\n  pilots +[1-9][0-9]* spawned: ", said)
    assert re.search(r"\n  reclaims +[1-9][0-9]* paused, ", said)
    assert "Everything it made is removed" in said
    assert all(line.isprintable() and len(line) < 80 for line in said.splitlines())
    assert traces(rest, name) == [f"/{name}-0"]
    assert rest.get(f"/containers/{stranger}/json")["State"]["Running"]


def test_ctrl_c_while_pilots_are_paused_cleans_up_and_so_does_a_second_one(
    private_engine: PrivateEngine, rest: Rest, name: str
) -> None:
    demo = Demo("--engine", private_engine.url, "--instance", name, "--cadence", "1")
    demo.wait_for("paused")
    demo.wait_for(r"too many for")
    assert len(traces(rest, name)) > 3
    assert demo.stop(signal.SIGINT) == 130
    assert "Everything it made is removed" in demo.output
    assert traces(rest, name) == []


def test_sigterm_before_the_first_tick_cleans_up(
    private_engine: PrivateEngine, rest: Rest, name: str
) -> None:
    demo = Demo("--engine", private_engine.url, "--instance", name)
    demo.wait_for("engine")
    assert demo.stop(signal.SIGTERM) == 143
    assert traces(rest, name) == []


def test_a_reader_who_goes_away_makes_it_clean_up(
    private_engine: PrivateEngine, rest: Rest, name: str
) -> None:
    command = f"{sys.executable} -m plancton_tick.ctl.demo --engine {private_engine.url} "
    command += f"--instance {name} | head -n 9; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (ran.returncode, ran.stderr) == (141, "")
    assert traces(rest, name) == []


def test_what_a_killed_demo_left_is_removed_by_the_next_one(
    private_engine: PrivateEngine, rest: Rest, name: str
) -> None:
    arguments = ("--engine", private_engine.url, "--instance", name)
    killed = Demo(*arguments)
    killed.wait_for(r"\+ spawned")
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    left = traces(rest, name)
    assert any(f"{name}-ledger-" in each for each in left)
    demo = Demo(*arguments)
    demo.wait_for(r"An earlier demonstration was killed and left [1-9] pilots?, 1 ledger, 1 image")
    assert demo.stop(signal.SIGINT) == 130
    assert traces(rest, name) == []


def test_a_private_engine_goes_with_the_demo_even_if_that_is_killed(tmp_path: Path) -> None:
    name = f"{INSTANCE}-t{secrets.token_hex(3)}"
    folder = ROOT / ".cache" / f"engine{name.removeprefix(INSTANCE)}"
    killed = Demo("--engine", "private", "--instance", name)
    killed.wait_for(r"a private one in \.cache/")
    killed.wait_for(r"run paused")
    killed.stop(signal.SIGKILL)
    assert folder.exists()
    demo_again = Demo("--engine", "private", "--instance", name)
    demo_again.wait_for("An earlier demonstration was killed and left a private engine")
    demo_again.wait_for(r"run paused")
    assert demo_again.stop(signal.SIGINT) == 130
    assert not folder.exists()
    assert glob(f"/sys/fs/cgroup/*/{name}.slice") == []


def test_two_demos_of_one_name_do_not_meet(
    private_engine: PrivateEngine, rest: Rest, name: str
) -> None:
    arguments = ("--engine", private_engine.url, "--instance", name)
    first = Demo(*arguments)
    first.wait_for("engine")
    second = Demo(*arguments)
    assert second.wait() == 69
    assert second.output == (
        "demo: another demonstration is at work on this host. Wait for it to end.\n"
    )
    assert first.stop(signal.SIGINT) == 130


def test_a_named_engine_that_does_not_answer_is_an_error_not_a_reason_for_another_one() -> None:
    demo = Demo(environment={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert demo.wait() == 69
    assert demo.output == (
        "demo: $DOCKER_HOST: expected an engine at unix:///nowhere.sock, none answers there. "
        "Start it, unset the variable, or use --engine private.\n"
    )


def test_without_engine_and_without_root_it_says_so_in_one_line() -> None:
    # The user is changed after the imports: the files may be root's alone.
    script = (
        "import os, sys; from plancton_tick.ctl import demo; os.setuid(65534); "
        "sys.exit(demo.main(['--engine', 'private', '--instance', 'plancton-demo-nobody']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 69
    assert ran.stdout == ""
    assert re.fullmatch(r"demo: .*root.*\n", ran.stderr)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--instance", "plancton"), "--instance"),
        (("--instance", "plancton-demo-"), "--instance"),
        (("--seconds", "10"), "--seconds"),
        (("--seconds", "nan"), "--seconds"),
        (("--cadence", "0"), "--cadence"),
        (("--owner-for", "3"), "--owner-for"),
        (("--owner-from", "0"), "--owner-from"),
    ],
)
def test_what_could_not_show_anything_or_could_touch_others_is_wrong_usage(
    arguments: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        demo.main(arguments)
    assert stopped.value.code == 2
    assert f"error: {word}: expected" in capsys.readouterr().err
