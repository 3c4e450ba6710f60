"""Figures and finished pilots arrive in a real InfluxDB, each once, whatever is down meanwhile."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plancton_tick import influx_journal
from plancton_tick.config_influx import database_url
from plancton_tick.config_node import Faults, Kind, Place, ScalarNode
from plancton_tick.doing import Done, Verdict
from plancton_tick.influx import send
from plancton_tick.influx_http import DatabaseError, write
from plancton_tick.measures import LastTick, Measures, measure
from plancton_tick.model import (
    Config,
    Database,
    Drain,
    Ledger,
    MetricsConfig,
    Outcome,
    PilotState,
    Plan,
    Reap,
    SlotUsage,
    Veto,
)
from plancton_tick.report import Event, describe
from plancton_tick.report import Kind as EventKind
from tests.engine.influx2 import Influx2
from tests.engine.influxd import Influxd, free_port
from tests.engine.journald import Journald
from tests.unit.test_influx_lines import queries
from tests.worlds import GIB, make_config, make_host, make_observation, make_pilot, make_type

Row = dict[str, Any]
SECRET = "s3cret-0f-all"
NODE = "farm-7.example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """Return a server that lets anybody do anything, as 0.6's users most often had it."""
    server = Influxd(tmp_path_factory.mktemp("influxd") / "open")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """Return a server with TLS and users: an admin, and a writer to one database that is there."""
    server = Influxd(tmp_path_factory.mktemp("influxd") / "guarded", https=True, auth=True)
    server.query(f"CREATE USER admin WITH PASSWORD '{SECRET}@/#' WITH ALL PRIVILEGES")
    server.admin = ("admin", f"{SECRET}@/#")
    server.query("CREATE DATABASE theirs")
    server.query(f"CREATE USER writer WITH PASSWORD '{SECRET}'")
    server.query("GRANT WRITE ON theirs TO writer")
    yield server
    server.stop()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journald]:
    journal = Journald(tmp_path / "journal")
    yield journal
    journal.stop()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Return a name for a database of this test's own."""
    return re.sub(r"\W+", "-", request.node.name)


class Node:
    """A node of a farm: what it sends, and what it says."""

    def __init__(self, folder: Path, *databases: str | Database, insecure: bool = False) -> None:
        self.folder = folder
        found = tuple(each if isinstance(each, Database) else read_url(each) for each in databases)
        self.config = make_config(make_type("grid"), make_type("local"))._replace(
            metrics=MetricsConfig(influxdb=found, insecure_https=insecure)
        )
        self.said: list[Event] = []
        self.journalctl: tuple[str, ...] = ("false",)

    def send(self, measures: Measures | None = None, on_seconds: float | None = 60.5) -> list[str]:
        """Send as one run of plancton-metrics, and return the lines that were said."""
        before = len(self.said)
        measures = measures or figures(self.config)
        folder = str(self.folder)
        send(
            self.config,
            measures,
            on_seconds,
            self.said.append,
            folder=folder,
            journalctl=self.journalctl,
        )
        return [event.message for event in self.said[before:]]


@pytest.fixture
def node(tmp_path: Path, journal: Journald) -> Callable[..., Node]:
    """Return a maker of nodes that read the test's journal."""

    def make(*databases: str | Database, insecure: bool = False) -> Node:
        made = Node(tmp_path, *databases, insecure=insecure)
        made.journalctl = journal.journalctl
        return made

    return make


def read_url(url: str) -> Database:
    return database_url(ScalarNode(Place("", 0, 0), url, Kind.TEXT), "", Faults())


def figures(config: Config, ledger: Ledger | None = None, at: float | None = None) -> Measures:
    """Return figures of a host of 8 cores: 2 the owner's, 3 those of 4 pilots, one more paused."""
    host = make_host(ncpus=8, owner=2.0, pilots_cores=3.0, pilots_memory=2 * GIB)
    pilots = [make_pilot(slot, type="grid") for slot in range(4)]
    paused = make_pilot(4, type="local", state=PilotState.PAUSED)
    observation = make_observation(*pilots, paused, host=host, ledger=ledger)
    vetoes = (Veto("cpus", None, "no room", None), Veto("backoff", "local", "waits", 9.0))
    plan = Plan((), vetoes, observation.ledger)
    return Measures(
        taken_at=time.time() if at is None else at,
        node=NODE,
        is_engine_up=True,
        config_faults=0,
        world=measure(config, observation, plan, 1234.5),
        last_tick=LastTick(time.time() - 3, 1.1, 0),
    )


def tell_ended(
    journal: Journald,
    number: int,
    outcome: Outcome | None = Outcome.DONE,
    *,
    ran: float | None = 60.0,
    name: str = "",
) -> None:
    """Tell the journal of a pilot's end with the very fields that a tick would give it."""
    pilot = make_pilot(number, id=f"{number:064x}", type="grid", code=0, ran=ran)
    if name:
        pilot = pilot._replace(name=name)
    if pilot.exit is not None:
        used = SlotUsage(cpu_seconds=number + 0.25, peak_bytes=number * 1024)
        pilot = pilot._replace(exit=pilot.exit._replace(used=used), image="busybox:1")
    if ran is None:
        pilot = pilot._replace(exit=None)
    done = Done(Reap(pilot, outcome, "exited with 0"), Verdict.DONE, digest="sha256:1")
    event = describe(done, make_observation()._replace(node=NODE))
    assert event is not None
    journal.tell(entry_of(event))


def entry_of(event: Event) -> dict[str, str]:
    name = event.kind.name.lower().replace("_", "-")
    fields = {"MESSAGE_ID": event.kind.value, "PLANCTON_EVENT": name, "PRIORITY": "5"}
    return {"MESSAGE": event.message, **fields, **event.fields}


def arrived(server: Influxd, database: str) -> list[Row]:
    return server.rows('SELECT * FROM "container"', database)


# --- what arrives --------------------------------------------------------------------------------


def test_the_series_of_06_arrive_with_their_tags_fields_and_units(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    farm = node(server.url(database))
    tell_ended(journal, 1, ran=61.5)
    tell_ended(journal, 2, Outcome.EXPIRED, ran=43200.0)
    tell_ended(journal, 3, None, ran=None)
    journal.wait()
    assert farm.send() == []
    # As dashboards of 0.6 ask for them.
    by_host = 'WHERE time > now() - 1h GROUP BY "hostname"'
    (row,) = server.rows(f'SELECT mean("cpu_eff") FROM "measurement" {by_host}', database)
    assert (row["hostname"], row["mean"]) == ("farm-7", pytest.approx(100 * 5 / 8))
    (row,) = server.rows(
        f'SELECT last("containers") AS "containers", last("uptime") AS "uptime", '
        f'last("status") AS "status" FROM "daemon" {by_host}',
        database,
    )
    assert (row["containers"], row["uptime"], row["status"]) == (5, 60.5, "active")
    rows = server.rows('SELECT "uptime" FROM "container" GROUP BY *', database)
    found = {(r["hostname"], r["started"], r["killed"], r["uptime"]) for r in rows}
    short = socket.gethostname().partition(".")[0]
    assert found == {
        (short, "True", "False", 61.5),
        (short, "True", "True", 43200.0),
        (short, "False", "False", 0.0),
    }


def test_a_database_that_06_filled_takes_what_comes_now(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    server.query(f'CREATE DATABASE "{database}"')
    # Its own lines, of which the database has made types for ever.
    lines = [
        "daemon,hostname=farm-7 uptime=12.5 1490000000000000000",
        'daemon,hostname=farm-7 status="active",containers=3 1490000000000000000',
        "measurement,hostname=farm-7 cpu_eff=12.5 1490000000000000000",
        "container,started=False,killed=False,hostname=farm-7 uptime=0 1490000000000000000",
    ]
    write(read_url(server.url(database)), lines, insecure=False)
    tell_ended(journal, 1)
    journal.wait()
    assert node(server.url(database)).send() == []
    fields = {"daemon": "containers", "measurement": "cpu_eff", "container": "uptime"}
    for series, field in fields.items():
        (row,) = server.rows(f'SELECT count("{field}") FROM "{series}"', database)
        assert row["count"] == 2, series


def test_a_drain_and_a_host_that_cannot_be_seen_are_told_in_the_words_of_06(
    server: Influxd, database: str, node: Callable[..., Node]
) -> None:
    farm = node(server.url(database))
    drained = Ledger(drain=Drain(by="root", at=0.0, why=""))
    farm.send(figures(farm.config, drained))
    farm.send(figures(farm.config)._replace(world=None, is_engine_up=False))
    farm.send(on_seconds=0.0)
    rows = server.rows('SELECT "status" FROM "daemon"', database)
    assert [row["status"] for row in rows] == ["draining", "waiting", "stopped"]


def test_what_each_pilot_used_arrives_beside(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    tell_ended(journal, 7, Outcome.RECLAIMED)
    journal.wait()
    node(server.url(database)).send()
    (row,) = arrived(server, database)
    told = {name: row[name] for name in ("type", "outcome", "cpu_seconds", "memory_peak_bytes")}
    assert told == {
        "type": "grid",
        "outcome": "reclaimed",
        "cpu_seconds": 7.25,
        "memory_peak_bytes": 7168,
    }
    assert (row["exit_status"], row["oom"], row["image"]) == (0, 0, "busybox:1")
    assert row["pilot"].startswith("farm-7-grid-7-")


def test_every_query_of_the_dashboard_has_an_answer(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    farm = node(server.url(database))
    tell_ended(journal, 1)
    tell_ended(journal, 2, Outcome.FAILED)
    journal.wait()
    farm.send(figures(farm.config)._replace(node=socket.gethostname()))
    host = re.escape(socket.gethostname().partition(".")[0])
    for title, query in queries():
        asked = query.replace("$timeFilter", "time > now() - 1h").replace("$__interval", "1m")
        assert server.rows(asked.replace("$hostname", host), database), title


@pytest.mark.parametrize("is_right", [True, False], ids=["password", "wrong-password"])
def test_the_command_sends_what_it_sees_of_an_engine_and_shows_no_password(
    guarded: Influxd, database: str, engine_socket: Path, tmp_path: Path, is_right: bool
) -> None:
    password = f"{SECRET}%40%2F%23" if is_right else SECRET
    path = tmp_path / "config.yaml"
    path.write_text(
        f"influxdb_url: {guarded.url(database, f'admin:{password}@')}\ninsecure_https: true\n"
    )
    path.chmod(0o600)
    run = subprocess.run(
        [sys.executable, "-m", "plancton_tick.metrics", "--config", str(path)],
        env={"DOCKER_HOST": f"unix://{engine_socket}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (0, "")
    assert SECRET not in run.stderr
    if is_right:
        assert run.stderr == ""
        (row,) = guarded.rows('SELECT * FROM "daemon"', database)
        assert (row["status"], row["containers"]) == ("active", 0)
        assert guarded.rows('SELECT * FROM "pilots"', database)[0]["type"] == "default"
    else:
        url = f"https://localhost:{guarded.port}#{database}"
        refusal = "takes no figures: answer 401 Unauthorized: authorization failed"
        assert run.stderr == f"plancton-metrics: {url} {refusal}\n"


# --- each finished pilot once --------------------------------------------------------------------


def test_pilots_that_finish_while_the_database_is_down_arrive_later_each_once(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    farm = node(server.url(database))
    tell_ended(journal, 1)
    journal.wait()
    assert farm.send() == []
    server.stop()
    lines = []
    for number in range(2, 6):
        tell_ended(journal, number)
        journal.wait()
        lines += farm.send()
    server.start()
    lines += farm.send()
    lines += farm.send()
    # A line when it begins, and one when it ends.
    name = f"http://localhost:{server.port}#{database}"
    assert lines[0] == f"{name} takes no figures: Connection refused"
    assert re.fullmatch(rf"{re.escape(name)} takes figures again, after \d+ s", lines[1])
    assert lines[2:] == []
    rows = arrived(server, database)
    assert sorted(row["cpu_seconds"] for row in rows) == [1.25, 2.25, 3.25, 4.25, 5.25]
    kinds = [event.kind for event in farm.said]
    assert kinds == [EventKind.DATABASE_DOWN, EventKind.DATABASE_BACK]


def test_a_run_sends_so_many_and_the_next_goes_on_there(
    server: Influxd,
    database: str,
    node: Callable[..., Node],
    journal: Journald,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(influx_journal, "BATCH", 2)
    farm = node(server.url(database))
    seen = []
    for number in range(1, 6):
        tell_ended(journal, number)
        # What lies between is not ours, and the last entry of all is none of ours either.
        journal.tell({"MESSAGE": "other"})
    journal.wait()
    for _ in range(4):
        farm.send()
        seen.append(sorted(row["cpu_seconds"] for row in arrived(server, database)))
    assert seen[0] == [1.25, 2.25]
    assert seen[1] == [1.25, 2.25, 3.25, 4.25]
    assert seen[2] == seen[3] == [1.25, 2.25, 3.25, 4.25, 5.25]
    # The first that follows is not left out.
    tell_ended(journal, 6)
    journal.wait()
    farm.send()
    assert len(arrived(server, database)) == 6


def test_none_is_left_out_where_the_journal_no_longer_has_the_last_that_was_sent(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    farm = node(server.url(database))
    tell_ended(journal, 1)
    journal.wait()
    farm.send()
    journal.forget()
    journal.tell({"MESSAGE": "other"})
    tell_ended(journal, 2)
    tell_ended(journal, 3)
    journal.wait()
    farm.send()
    assert sorted(row["cpu_seconds"] for row in arrived(server, database)) == [1.25, 2.25, 3.25]


def test_what_was_sent_before_replaces_itself_if_the_notes_are_lost(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    farm = node(server.url(database))
    for number in range(1, 4):
        tell_ended(journal, number)
    journal.wait()
    farm.send()
    (farm.folder / "influxdb.json").write_text("{")
    farm.send()
    assert len(arrived(server, database)) == 3


def test_only_the_entries_of_ticks_and_of_this_instance_count(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    tell_ended(journal, 1)
    tell_ended(journal, 2, name="other-2")
    code = (
        "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "os.setuid(65534); s.sendto("
        f"b'MESSAGE=forged\\nMESSAGE_ID={EventKind.ENDED.value}\\nCONTAINER_NAME=plancton-3\\n"
        "PLANCTON_OUTCOME=done\\nPLANCTON_PILOT=forged\\n', 'socket')"
    )
    # The way to the socket is closed to others, but not the folder this process starts in.
    subprocess.run([sys.executable, "-c", code], cwd=journal.socket.parent, check=True)
    tell_ended(journal, 4)
    journal.wait()
    node(server.url(database)).send()
    assert sorted(row["cpu_seconds"] for row in arrived(server, database)) == [1.25, 4.25]


def test_without_a_folder_for_notes_no_finished_pilot_is_sent(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    farm = node(server.url(database))
    tell_ended(journal, 1)
    journal.wait()
    send(farm.config, figures(farm.config), 1.0, farm.said.append, journalctl=journal.journalctl)
    assert farm.said == []
    assert len(server.rows('SELECT * FROM "daemon"', database)) == 1
    assert arrived(server, database) == []


def test_a_journal_that_cannot_be_read_is_told_once_and_figures_arrive(
    server: Influxd, database: str, node: Callable[..., Node]
) -> None:
    farm = node(server.url(database))
    farm.journalctl = ("journalctl", "--directory=/nonexistent")
    said = [farm.send(), farm.send()]
    assert "finished pilots cannot be read: journalctl: Failed to open" in said[0][0]
    assert said[1] == []
    assert len(server.rows('SELECT * FROM "daemon"', database)) == 2


# --- one database and the others -----------------------------------------------------------------


def test_a_database_that_never_answers_delays_no_other(
    server: Influxd, database: str, node: Callable[..., Node]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        farm = node(f"http://127.0.0.1:{port}#a", server.url(database))
        thread = threading.Thread(target=farm.send)
        thread.start()
        client, _ = silent.accept()
        with client:
            while thread.is_alive() and not server.query("SHOW MEASUREMENTS", database):
                time.sleep(0.02)
            # It has its figures while the other is still waited for.
            assert thread.is_alive()
            assert server.rows('SELECT * FROM "daemon"', database)
            thread.join()
    (line,) = [event.message for event in farm.said]
    assert line == f"http://127.0.0.1:{port}#a takes no figures: no answer within 5 s"


def test_each_database_is_as_far_as_it_is(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald, tmp_path: Path
) -> None:
    late = Influxd(tmp_path / "late")
    try:
        late.stop()
        farm = node(server.url(database), late.url(database))
        for number in range(1, 4):
            tell_ended(journal, number)
            journal.wait()
            farm.send()
        assert len(arrived(server, database)) == 3
        late.start()
        farm.send()
        assert len(arrived(late, database)) == len(arrived(server, database)) == 3
    finally:
        late.stop()


# --- rights, certificates and passwords ----------------------------------------------------------


def words_of(lines: list[str]) -> str:
    """Return the one line, without the database's name."""
    (line,) = lines
    return line.partition(" takes no figures: ")[2]


def test_who_may_create_the_database_does(
    guarded: Influxd, database: str, node: Callable[..., Node]
) -> None:
    url = guarded.url(database, f"admin:{SECRET}%40%2F%23@")
    assert node(url, insecure=True).send() == []
    assert len(guarded.rows('SELECT * FROM "daemon"', database)) == 1


def test_who_may_only_write_writes_to_the_database_that_is_there(
    guarded: Influxd, node: Callable[..., Node], journal: Journald
) -> None:
    tell_ended(journal, 1)
    journal.wait()
    url = guarded.url("theirs", f"writer:{SECRET}@")
    assert node(url, insecure=True).send() == []
    assert len(arrived(guarded, "theirs")) == 1


@pytest.mark.parametrize(
    ("name", "credentials", "words"),
    [
        ("absent", f"writer:{SECRET}@", "there is no such database, and creating it: answer 403 "),
        ("theirs", f"writer:{SECRET}-not@", "answer 401 Unauthorized: authorization failed"),
        ("theirs", f"nobody:{SECRET}@", "answer 401 Unauthorized: authorization failed"),
        ("theirs", "", "answer 401 Unauthorized: unable to parse authentication credentials"),
    ],
    ids=["no-right-to-create", "wrong-password", "unknown-user", "no-password"],
)
def test_who_may_not_is_told_so_once_and_without_the_password(
    guarded: Influxd, node: Callable[..., Node], name: str, credentials: str, words: str
) -> None:
    farm = node(guarded.url(name, credentials), insecure=True)
    said = [farm.send(), farm.send()]
    assert re.match(words, words_of(said[0]))
    assert said[1] == []
    everything = repr(farm.said) + repr(farm.config) + str(farm.config.metrics.influxdb)
    assert SECRET not in everything
    assert SECRET not in (farm.folder / "influxdb.json").read_text()


def test_a_certificate_that_is_not_trusted_is_refused_unless_any_is_taken(
    guarded: Influxd, node: Callable[..., Node]
) -> None:
    url = guarded.url("theirs", f"writer:{SECRET}@")
    assert words_of(node(url).send()) == (
        "its certificate is not trusted: self-signed certificate "
        "(metrics.insecure_https: true takes any)"
    )
    (line,) = node(url, insecure=True).send()
    assert "takes figures again" in line


# --- what a database drops -----------------------------------------------------------------------


def test_what_is_older_than_a_database_keeps_is_not_sent_for_ever(
    server: Influxd, database: str
) -> None:
    server.query(f'CREATE DATABASE "{database}" WITH DURATION 1h')
    old = f"container,hostname=a uptime=1.0 {time.time_ns() - 2 * 3600 * 10**9}"
    new = f"container,hostname=a uptime=2.0 {time.time_ns()}"
    write(read_url(server.url(database)), [old, new], insecure=False)
    assert [row["uptime"] for row in arrived(server, database)] == [2.0]


def test_what_a_database_does_not_take_for_its_type_is_told_and_sent_again(
    server: Influxd, database: str, node: Callable[..., Node], journal: Journald
) -> None:
    server.query(f'CREATE DATABASE "{database}"')
    write(
        read_url(server.url(database)),
        [f"container,hostname=a uptime=1i {time.time_ns()}"],
        insecure=False,
    )
    farm = node(server.url(database))
    tell_ended(journal, 1)
    journal.wait()
    assert "field type conflict" in words_of(farm.send())
    server.query('DROP MEASUREMENT "container"', database)
    assert "takes figures again" in farm.send()[0]
    assert len(arrived(server, database)) == 1


# --- InfluxDB 2 ----------------------------------------------------------------------------------


@pytest.fixture
def second() -> Iterator[Influx2]:
    server = Influx2("a farm", "plancton/1", SECRET)
    yield server
    server.stop()


@pytest.fixture
def bucket(second: Influx2, tmp_path: Path) -> Database:
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    return Database(second.url, "plancton/1", org="a farm", token_file=str(token))


def test_a_bucket_of_influxdb_2_gets_the_same_points(
    second: Influx2, bucket: Database, node: Callable[..., Node], journal: Journald
) -> None:
    tell_ended(journal, 1)
    journal.wait()
    assert node(bucket).send() == []
    now, ended = second.taken
    series = {point.series for point in now.points}
    assert series == {"daemon", "measurement", "pilots", "veto"}
    (point,) = ended.points
    assert point.series == "container"
    assert point.tags["outcome"] == "done"
    assert point.fields["uptime"] == 60.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "absent"}, 'answer 404 Not Found: bucket "absent" not found'),
        ({"org": "absent"}, 'answer 404 Not Found: organization name "absent" not found'),
        ({"token_file": "/none"}, "its token_file cannot be read: No such file or directory"),
        ({"token_file": "/etc/passwd"}, "its token_file holds no token: expected one word of"),
    ],
    ids=["bucket", "organization", "no-token-file", "no-token"],
)
def test_what_influxdb_2_does_not_take_is_told_without_the_token(
    second: Influx2,
    bucket: Database,
    node: Callable[..., Node],
    change: dict[str, str],
    words: str,
) -> None:
    farm = node(bucket._replace(**change))
    assert words_of(farm.send()).startswith(words)
    assert SECRET not in repr(farm.said)
    assert second.taken == []


def test_a_server_that_echoes_the_token_does_not_get_it_into_the_log(
    bucket: Database, tmp_path: Path
) -> None:
    echoing = Influx2(SECRET, SECRET, "another")
    wrong = bucket._replace(url=echoing.url, org=f"org {SECRET}")
    (tmp_path / "token").write_text("another")
    try:
        with pytest.raises(DatabaseError) as raised:
            write(wrong._replace(password=SECRET), ["a b=1.0 1490000000000000000"], insecure=False)
        assert SECRET not in str(raised.value)
        assert "not found" in str(raised.value)
    finally:
        echoing.stop()


def test_a_port_where_nobody_speaks_http_is_told(node: Callable[..., Node]) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as babbling:

        def babble() -> None:
            client, _ = babbling.accept()
            with client:
                client.recv(65536)
                client.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert "220 mail.example.org" in words_of(node(f"http://127.0.0.1:{port}#a").send())
        thread.join()
