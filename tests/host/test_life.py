"""A host with pilots, and what happens to it: owners, a restarted engine, operators."""

import os
from collections.abc import Iterator

import pytest

from tests.host.conftest import PILOTS
from tests.host.machine import Host
from tests.host.test_journal import events, more_ticks, start


@pytest.fixture
def alive(quick: Host) -> Iterator[Host]:
    """Return a host full of pilots; whatever a test does to it, the timer stays on."""
    start(quick)
    yield quick
    quick.set_owner(0)
    assert quick.show("plancton.timer", "ActiveState") == "active"


def test_the_owner_comes_and_pilots_are_paused_and_goes_and_they_go_on(alive: Host) -> None:
    born = alive.run("docker ps -q | sort")
    since = alive.cursor()
    # Half the machine: with the pilots' four fifths that is three tenths too many, two pilots'.
    # What the host itself uses, tests included, may make it a third one's.
    alive.set_owner(len(os.sched_getaffinity(0)) / 2)
    paused = alive.wait_for("paused pilots", lambda: alive.pilots("paused"))
    assert 2 <= len(paused) < PILOTS
    alive.set_owner(0)
    alive.wait_for("all pilots again", lambda: len(alive.pilots("running")) == PILOTS)
    names = events(alive.journal(since, "-u", "plancton"))
    assert set(names) <= {"paused", "resumed", "held", "held-ended"}
    assert names.count("paused") == names.count("resumed") >= len(paused)
    assert alive.run("docker ps -q | sort") == born


def test_an_engine_that_is_restarted_gets_its_pilots_again(alive: Host) -> None:
    alive.run("systemctl restart docker")
    alive.wait_for("pilots", lambda: len(alive.pilots("running")) == PILOTS)
    more_ticks(alive, 2)
    assert len(alive.pilots()) == PILOTS


def test_an_engine_that_is_killed_gets_its_pilots_again(alive: Host) -> None:
    alive.run("systemctl kill --kill-who=main -s KILL docker")
    alive.wait_for("the engine", lambda: alive.run("docker info -f up", check=False) == "up")
    alive.wait_for("pilots", lambda: len(alive.pilots("running")) == PILOTS)
    more_ticks(alive, 2)
    assert len(alive.pilots()) == PILOTS


def test_a_stopped_timer_leaves_pilots_alone_and_a_started_one_finds_them(quick: Host) -> None:
    start(quick)
    born = quick.run("docker ps -q | sort")
    quick.run("systemctl stop plancton.timer")
    quick.wait_for(
        "the last tick", lambda: quick.show("plancton.service", "ActiveState") == "inactive"
    )
    count = len(quick.ticks())
    quick.run("sleep 3")
    assert len(quick.ticks()) == count
    assert quick.run("docker ps -q | sort") == born
    quick.run("systemctl start plancton.timer")
    more_ticks(quick, 2)
    assert quick.run("docker ps -q | sort") == born


def test_a_manager_that_reloads_and_reexecutes_keeps_firing(alive: Host) -> None:
    since = alive.cursor()
    alive.run("systemctl daemon-reload && systemctl daemon-reexec")
    more_ticks(alive, 3)
    assert len(alive.pilots("running")) == PILOTS
    assert events(alive.journal(since, "-u", "plancton")) == []


def test_a_pilot_that_dies_is_replaced(alive: Host) -> None:
    first = alive.run("docker inspect -f '{{.Id}}' plancton-0")
    alive.run("docker rm -f plancton-0")
    alive.wait_for("another pilot", lambda: len(alive.pilots("running")) == PILOTS)
    assert alive.run("docker inspect -f '{{.Id}}' plancton-0") != first
