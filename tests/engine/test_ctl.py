"""planctonctl on a real engine, where no systemd runs: as ticks do, it has no other truth."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plancton_tick.stopping import REQUEST_NAME
from tests.engine.rest import Rest
from tests.engine.ticks import AT_REST, SLEEPER, STUBBORN, Node, Ticked

DOCUMENT = Path(__file__).parents[2] / "docs" / "status-json.md"
NOBODY = 65534
# Becomes somebody without rights once all is imported: the sources may be in a folder of root's.
WITHOUT_RIGHTS = f"""\
import os, sys
import docker, grp, pystemd
from plancton_tick import config, manager
from plancton_tick.ctl import drain, main, plan, screen, status, status_screen
config.load_config(sys.argv[-1])
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.exit(main.main())
"""


class Ctl:
    """planctonctl for one instance, with an owner that is absent."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.runtime = node.directory / "run"
        self.runtime.mkdir()

    def command(self, *words: str) -> list[str]:
        """Return the command line of a verb."""
        python = [sys.executable, "-I", "-m", "plancton_tick.ctl.main"]
        still = str(self.node.still)
        config = ["--config", str(self.node.config)]
        return ["unshare", "--mount", "sh", "-c", AT_REST, "sh", still, *python, *words, *config]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment it runs in."""
        return {
            **os.environ,
            "DOCKER_HOST": self.node.url,
            "RUNTIME_DIRECTORY": str(self.runtime),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "100",
            **more,
        }

    def __call__(self, *words: str, code: int = 0, **more: str) -> Ticked:
        """Run a verb to its end, which is to be ``code``."""
        begin = time.monotonic()
        done = subprocess.run(
            self.command(*words),
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return Ticked(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)

    def status(self, **more: str) -> dict[str, Any]:
        """Return the document of status."""
        told: dict[str, Any] = json.loads(self("status", "--json", code=0, **more).out)
        return told

    def piped(self, words: str, into: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb into a pipe, in a shell."""
        command = f"{shlex.join(self.command(*words.split()))} | {into}"
        environment = self.environment()
        return subprocess.run(
            ["sh", "-c", command], env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def ctl(node: Node) -> Ctl:
    """Return planctonctl for this test's instance."""
    return Ctl(node)


def fill(node: Node) -> None:
    """Let a tick spawn all pilots."""
    assert node.tick().code == 0
    assert len(node.live()) == 2


def test_a_drain_starts_no_more_and_resume_starts_again(ctl: Ctl, node: Node) -> None:
    said = ctl("drain", "--reason", "new\nkernel").out
    assert said.startswith("No new pilots from now on. Reason: new kernel. No pilot is live.")
    assert node.tick().lines == []
    assert node.live() == []
    drain = node.snapshot().ledger.drain
    assert drain is not None
    assert (drain.by, drain.why, drain.ends_pilots) == ("root", "new kernel", False)
    assert ctl("resume").out.startswith("The drain by root: new kernel has ended.")
    fill(node)


def test_pilots_of_a_drain_are_left_to_finish(ctl: Ctl, node: Node) -> None:
    fill(node)
    assert "2 pilots left to finish" in ctl("drain").out
    assert node.tick().has_done(2, "announced to .* drained by root")
    assert node.tick().lines == []
    assert len(node.live()) == 2


def test_every_verb_can_be_said_twice(ctl: Ctl, node: Node) -> None:
    for verb in (("resume",), ("drain",), ("drain", "--stop"), ("force-stop",), ("resume",)):
        ctl(*verb)
        before = node.snapshot()
        ctl(*verb)
        assert node.snapshot() == before, verb


def test_a_drain_gets_stronger_and_only_resume_ends_it(ctl: Ctl, node: Node) -> None:
    ctl("drain", "--reason", "why", SUDO_USER="ann")
    ctl("drain", "--stop", SUDO_USER="bob")
    ctl("drain", SUDO_USER="carl")
    drain = node.snapshot().ledger.drain
    assert drain is not None
    assert (drain.by, drain.why, drain.stops_timer) == ("ann", "why", True)


def test_the_timer_is_asked_to_stop_once_the_last_pilot_has_gone(ctl: Ctl, node: Node) -> None:
    fill(node)
    ctl("drain", "--stop")
    request = ctl.runtime / REQUEST_NAME
    inside = {"RUNTIME_DIRECTORY": str(ctl.runtime)}
    node.tick(environment=inside)
    assert not request.exists()
    for container in node.live():
        node.rest.post(f"/containers/{container}/kill")
    node.tick(environment=inside)
    assert request.exists()
    os.utime(request, (1, 1))
    ledger = node.volumes()
    assert node.tick(environment=inside).lines == []
    assert (request.stat().st_mtime, node.volumes()) == (1, ledger)
    ctl("resume")
    assert not request.exists()


def test_force_stop_gives_grace_and_leaves_nothing(ctl: Ctl, node: Node) -> None:
    node.configure({"stop_grace": "1s"}, host={"max_pilots": 3})
    node.make(0, SLEEPER)
    node.make(1, STUBBORN)
    node.make_exited(2, 0)
    done = ctl("force-stop")
    assert done.out.splitlines()[0].endswith("2 pilots to be ended, with 1 s of grace at most.")
    assert done.out.splitlines()[-1].startswith("No pilot is left.")
    assert node.containers() == []
    assert node.counts() == {"pilot": {"drained": 2, "done": 1}}
    assert node.tick().lines == []
    assert node.live() == []


def test_force_stop_now_removes_at_once_what_runs_or_is_paused(ctl: Ctl, node: Node) -> None:
    node.configure({"stop_grace": "1h"})
    node.make(0, STUBBORN)
    node.rest.pause(node.make(1, SLEEPER))
    done = ctl("force-stop", "--now")
    assert "2 pilots to be removed at once" in done.out
    assert node.containers() == []
    assert node.counts() == {"pilot": {"drained": 2}}
    assert ctl("force-stop", "--now").out.splitlines()[0].endswith("No pilot is live.")


def test_force_stop_leaves_strangers_alone(ctl: Ctl, node: Node, rest: Rest) -> None:
    stranger = rest.run(node.image, f"{node.instance}-1", SLEEPER)
    ctl("force-stop", "--now")
    assert rest.get(f"/containers/{stranger}/json")["State"]["Running"]


def test_status_tells_each_pilot_its_caps_and_what_it_uses(ctl: Ctl, node: Node) -> None:
    # A cap of a tenth is ten milliseconds in each hundred: only a long look surely sees some.
    busy = {"command": ["sh", "-c", "while :; do :; done"], "cpus": 0.1}
    node.configure(busy, host={"sample": "1s"})
    fill(node)
    told = ctl.status()
    assert (told["schema"], told["live"], told["max_pilots"]) == (1, 2, 2)
    for slot, pilot in enumerate(told["pilots"]):
        assert (pilot["slot"], pilot["name"]) == (slot, f"{node.instance}-{slot}")
        assert (pilot["state"], pilot["type"], pilot["is_current"]) == ("running", "pilot", True)
        assert (pilot["cpus"], pilot["memory_bytes"]) == (0.1, 8 * 2**20)
        assert 0 < pilot["cpu_cores"] < 0.5
        assert 0 < pilot["memory_used_bytes"] < 8 * 2**20
        assert pilot["image"] == node.image
        assert 0 < pilot["age_seconds"] < 60 < pilot["left_seconds"]
    assert {veto["veto"] for veto in told["vetoes"]} == {"cap"}
    assert told["timer"]["error"] == "no systemd runs here"
    (of_type,) = told["types"]
    assert (of_type["live"], of_type["share_wanted"], of_type["share_had"]) == (2, 1, 1)


def test_a_pilot_of_an_older_configuration_is_told(ctl: Ctl, node: Node) -> None:
    fill(node)
    node.configure({"lifetime": "1h"})
    assert [pilot["is_current"] for pilot in ctl.status()["pilots"]] == [False, False]
    assert " old " in ctl("status").out
    node.configure({"name": "other"})
    assert [pilot["is_current"] for pilot in ctl.status()["pilots"]] == [None, None]


def test_status_counts_outcomes_and_tells_backoff_and_drain(ctl: Ctl, node: Node) -> None:
    node.make_exited(0, 75)
    node.tick()
    ctl("drain", "--reason", "why")
    told = ctl.status()
    of_type = told["types"][0]
    assert of_type["outcomes"] == {"no-work": 1}
    assert of_type["backoff"]["why"] == "no-work"
    assert (told["drain"]["by"], told["drain"]["why"]) == ("root", "why")
    assert {"draining", "backoff"} <= {veto["veto"] for veto in told["vetoes"]}
    text = ctl("status").out
    assert re.search(r"by root \d+ s ago \(why\): no pilot is left", text)
    assert "1 no-work" in text


def test_plan_is_the_dry_run_of_a_tick(ctl: Ctl, node: Node) -> None:
    mine = json.loads(ctl("plan", "--json").out)
    tick = json.loads(node.tick("--dry-run", "--json").out)
    assert mine.keys() == tick.keys()
    assert mine["observation"].keys() == tick["observation"].keys()
    assert mine["vetoes"] == tick["vetoes"]
    said = [(each["action"], each["slot"]) for each in mine["actions"]]
    assert said == [(each["action"], each["slot"]) for each in tick["actions"]]
    assert "would spawn pilot in slot 0" in ctl("plan").out
    assert node.containers() == []


def test_without_systemd_stop_has_nothing_to_do_and_start_says_so(ctl: Ctl) -> None:
    assert "no systemd runs here" in ctl("stop").out
    done = ctl("start", code=69)
    assert done.err.splitlines() == [
        "planctonctl: no systemd runs here",
        "planctonctl: fire ticks yourself: plancton-tick, every few seconds",
    ]


def test_a_bad_configuration_does_not_keep_anybody_from_draining(ctl: Ctl, node: Node) -> None:
    node.configure({"cpus": "many"})
    done = ctl("drain", code=78)
    assert "pilots[pilot].cpus: expected a number" in done.err
    assert done.out.startswith("No new pilots from now on.")
    assert node.snapshot().ledger.drain is not None
    assert "1 fault, so no pilot is started" in ctl("status", code=78).out


def test_status_says_what_it_knows_while_the_engine_is_down(ctl: Ctl, tmp_path: Path) -> None:
    done = ctl("status", code=69, DOCKER_HOST=f"unix://{tmp_path}/none")
    assert "no such socket" in done.out
    assert "no systemd runs here" in done.out


@pytest.fixture
def shut_socket(ctl: Ctl, rest: Rest, tmp_path: Path) -> Iterator[Path]:
    """Return a socket that only group daemon may use, as an engine's is."""
    import socket

    ctl.node.directory.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chown(path, 0, 1)
        path.chmod(0o660)
        yield path


@pytest.mark.parametrize("verb", ["status", "plan", "drain"])
def test_who_has_no_rights_is_told_the_group_to_join(
    ctl: Ctl, node: Node, shut_socket: Path, verb: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, verb, "--config", str(node.config)],
        env=ctl.environment(DOCKER_HOST=f"unix://{shut_socket}"),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 69, said
    assert "permission denied" in said
    assert "with sudo, or join group daemon (sudo usermod -aG daemon" in " ".join(said.split())


def test_a_pipe_gets_no_control_characters(ctl: Ctl, node: Node, rest: Rest) -> None:
    fill(node)
    evil = {
        "io.plancton.type": "evil\x1b[31m\r",
        "io.plancton.instance": node.instance,
    }
    rest.run(node.image, f"{node.instance}-by-hand", SLEEPER, Labels=evil)
    for words in (("status",), ("plan",)):
        text = ctl(*words, FORCE_COLOR="1").out
        assert all(c.isprintable() for c in text.replace("\n", "")), repr(text)
    assert ctl("status", LC_ALL="C").out.isascii()


def test_head_and_jq_may_read_it(ctl: Ctl, node: Node) -> None:
    fill(node)
    head = ctl.piped("status", "head -n 1")
    assert head.stdout.startswith(f"{node.instance} on ")
    assert head.stderr == ""
    assert ctl.piped("status --json", "jq .live").stdout == "2\n"
    watched = ctl.piped("status --json --watch 0.2", "head -n 2 | jq -c .live")
    assert (watched.stdout, watched.stderr) == ("2\n2\n", "")
    assert ctl.piped("status --watch 0.2", "grep -m 2 on").stderr == ""


def test_status_does_not_wait_for_the_configured_sample(ctl: Ctl, node: Node) -> None:
    node.configure(host={"sample": "10s"})
    assert ctl("status").seconds < 8
