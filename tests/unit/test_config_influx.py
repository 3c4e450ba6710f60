"""Where databases stand in the configuration, and that no password gets out of it."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plancton_tick.config import load_config
from plancton_tick.ctl.main import main
from plancton_tick.loaded import Loaded
from plancton_tick.model import Database

Load = Callable[[str], Loaded]
SECRET = "s3cret"
BUCKET = "{url: 'https://a', org: o, bucket: b, token_file: /t}"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(content: str) -> Loaded:
        path = tmp_path / "config.yaml"
        path.write_text(content)
        path.chmod(0o644)
        return load_config(str(path))

    return load


@pytest.mark.parametrize(
    ("written", "databases"),
    [
        ("http://a#b", (Database("http://a", "b"),)),
        ("'https://a:8086/path/#b c'", (Database("https://a:8086/path", "b c"),)),
        ("'http://[::1]:8086#b'", (Database("http://[::1]:8086", "b"),)),
        ("http://u:p%40%2F@a#b", (Database("http://a", "b", "u", "p@/"),)),
        ("http://u@a#b", (Database("http://a", "b", "u"),)),
        ("[http://a#b, http://a#b]", (Database("http://a", "b"),)),
        (BUCKET, (Database("https://a", "b", org="o", token_file="/t"),)),
        (
            f"[http://a#b, {BUCKET}]",
            (Database("http://a", "b"), Database("https://a", "b", org="o", token_file="/t")),
        ),
        ("[]", ()),
        ("", ()),
    ],
)
def test_one_database_or_several_are_written(
    load: Load, written: str, databases: tuple[Database, ...]
) -> None:
    loaded = load(f"metrics: {{influxdb: {written}}}")
    assert loaded.faults == ()
    assert loaded.config.metrics.influxdb == databases
    assert not loaded.config.metrics.insecure_https


URL = "metrics.influxdb: expected URL#database such as http://db.example.org:8086#plancton"


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("http://u:s3cret@a", f"{URL}, got one without #database"),
        ("u:s3cret@a#b", f"{URL}, got one that begins with neither http:// nor https://"),
        ("'http://u:s3cret@#b'", f"{URL}, got one without a host, or with a wrong port"),
        ("http://u:s3cret@a:port#b", f"{URL}, got one without a host"),
        ("http://u:s3cret/x@a#b", f"{URL}, got one without a host"),
        ("http://u:1/s3cret@a#b", f"{URL}, got one with blanks, or with more behind"),
        ("http://a?u=u&p=s3cret#b", f"{URL}, got one with blanks, or with more behind"),
        ("http://u:s3#cret@a#b", f"{URL}, with %23 for # and %40 for @ in a password"),
        ('"http://u:s3cret\\na@a#b"', f"{URL}, got one with control characters"),
        ("12", f"{URL}, got no text"),
        ("[[http://u:s3cret@a#b]]", "metrics.influxdb[0]: expected URL#database"),
        ("[~]", "metrics.influxdb[0]: expected URL#database"),
        ("{http://u:s3cret@a#b: x}", "metrics.influxdb.'http://…@a#b': expected one of url, org"),
        (BUCKET.replace("https://", "https://u:s3cret@"), "metrics.influxdb.url: expected a URL"),
        (BUCKET.replace("/t", "s3cret"), "metrics.influxdb.token_file: expected an absolute path"),
        (
            BUCKET.replace("_file: /t", ": s3cret"),
            "metrics.influxdb.token: expected one of url, org, bucket, token_file, got an unknown "
            "key; did you mean token_file?",
        ),
        (BUCKET.replace("org: o,", ""), "expected url, org, bucket, token_file, got no org"),
    ],
)
def test_a_fault_says_what_is_wrong_and_not_what_was_written(
    load: Load, written: str, fault: str
) -> None:
    loaded = load(f"metrics: {{influxdb: {written}}}")
    assert fault in loaded.faults[0]
    assert SECRET not in repr(loaded)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(password=st.text(min_size=1, max_size=12), spoilt=st.integers(0, 60))
def test_no_fault_and_no_config_that_is_shown_holds_the_password(
    load: Load, password: str, spoilt: int
) -> None:
    # What surrounds it has none of its characters, so that it can be looked for.
    password = "".join(chr(0x100 + ord(char) % 0x500) for char in password)
    url = f"http://u:{quote(password)}@a#b"
    good = load(f"metrics: {{influxdb: '{url}'}}")
    assert good.config.metrics.influxdb == (Database("http://a", "b", "u", password),)
    broken = url[:spoilt] + " #" + url[spoilt:]
    for shown in (repr(good), repr(load(f"metrics: {{influxdb: '{broken}'}}"))):
        assert password not in shown
        assert quote(password) not in shown


@pytest.mark.parametrize("verb", [["check"], ["plan"], ["status"], ["status", "--json"]])
def test_no_verb_shows_a_password(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: list[str],
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    for content in (
        f"metrics: {{influxdb: ['http://u:{SECRET}@a#b', 'http://u:{SECRET}@a']}}\n",
        f"metrics: {{influxdb: 'http://u:{SECRET}@a#b'}}\n",
        f"influxdb_url: http://u:{SECRET}@a#b\n",
        f"influxdb_url: [http://u:{SECRET}@a]\n",
        f"http://u:{SECRET}@a#b\n",
    ):
        path = tmp_path / "config.yaml"
        path.write_text(content)
        path.chmod(0o644)
        main(["--config", str(path), *verb])
        out, err = capsys.readouterr()
        assert out or err
        assert SECRET not in out + err
