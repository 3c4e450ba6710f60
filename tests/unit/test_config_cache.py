"""The cached configuration is used while nothing has changed, and never otherwise."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from plancton_tick import config_cache
from plancton_tick.config import load_config
from plancton_tick.config_cache import CACHE_NAME, read_config
from plancton_tick.loaded import Loaded

FULL = """\
host: {max_pilots: "min(ncpus, 4) - 1", reserve: {cpus: 0.5}}
reclaim: {action: stop, pause_at_most: infinity}
engine: {instance: second}
metrics:
  influxdb: ["http://u:p@a#b", {url: "http://c", org: o, bucket: b, token_file: /t}]
  insecure_https: true
pilots:
- {name: a, image: x, command: [b, "c d"], max: 3, lifetime: infinity, user: "1:2", env: {A: 1},
   mounts: ["/a:/b:rw"], devices: [/dev/fuse], cap_add: [KILL], cap_drop: [ALL],
   security_opt: [label=disable], labels: {x: y}, exit_codes: {no_work: [1, 2]}, share: 0.5}
- {name: b}
"""


class Site:
    """A configuration and a cache folder, with files that look old enough to be cached."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.yaml"
        self.drop_ins = folder / "config.d"
        self.run = folder / "run"
        self.cache = self.run / CACHE_NAME
        self.run.mkdir(mode=0o755)

    def write(self, path: Path, content: str) -> None:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)

    def read(self) -> Loaded:
        return read_config(str(self.path), str(self.run))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    # Change times cannot be set, so that instead of ageing files the limit is lowered.
    monkeypatch.setattr(config_cache, "SETTLED_SECONDS", -3600.0)
    site = Site(tmp_path)
    site.write(site.path, FULL)
    return site


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record each time that the configuration itself is loaded."""
    seen: list[str] = []

    def load(path: str, *, host: tuple[int, int] | None = None) -> Loaded:
        seen.append(path)
        return load_config(path, host=host)

    monkeypatch.setattr("plancton_tick.config.load_config", load)
    return seen


def test_a_cached_configuration_equals_the_loaded_one(site: Site, loads: list[str]) -> None:
    loaded = load_config(str(site.path))
    assert loaded.faults == ()
    assert site.read() == loaded
    assert site.read() == loaded
    assert len(loads) == 1
    again = site.read().config
    assert [type(value) for value in again.pilots[0]] == [
        type(value) for value in loaded.config.pilots[0]
    ]
    assert type(again.reclaim.action) is type(loaded.config.reclaim.action)


def test_notes_are_cached_too(site: Site, loads: list[str]) -> None:
    site.write(site.path, "main_sleep: 5")
    assert site.read().notes
    assert site.read().notes == load_config(str(site.path)).notes
    assert len(loads) == 1


Change = Callable[[Site], object]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.write(s.path, "host: {sample: 2s}"), id="other content"),
        pytest.param(lambda s: s.write(s.path, FULL), id="same content written again"),
        pytest.param(lambda s: s.path.touch(), id="touched"),
        pytest.param(lambda s: s.path.chmod(0o664), id="writable by others"),
        pytest.param(lambda s: s.write(s.drop_ins / "a.yaml", ""), id="first drop-in"),
        pytest.param(lambda s: s.path.unlink(), id="removed"),
        pytest.param(lambda s: s.cache.unlink(), id="cache deleted"),
        pytest.param(lambda s: s.cache.write_text(""), id="cache empty"),
        pytest.param(lambda s: s.cache.write_bytes(b"\xff" * 99), id="cache of garbage"),
        pytest.param(lambda s: s.cache.write_text("1\n[[], [], []]"), id="cache of another shape"),
        pytest.param(
            lambda s: s.cache.write_bytes(s.cache.read_bytes()[:-9]), id="cache cut short"
        ),
        pytest.param(
            lambda s: s.cache.write_text(s.cache.read_text().replace("1.0", "9.0")),
            id="cache with another number",
        ),
        pytest.param(lambda s: s.cache.chmod(0o666), id="cache writable by others"),
        pytest.param(lambda s: swap_for_link(s.cache), id="cache is a link"),
    ],
)
def test_any_change_loads_again(site: Site, loads: list[str], change: Change) -> None:
    site.read()
    change(site)
    assert site.read() == load_config(str(site.path))
    assert len(loads) == 2


def swap_for_link(cache: Path) -> None:
    cache.rename(cache.with_suffix(".real"))
    cache.symlink_to(cache.with_suffix(".real"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.write(s.drop_ins / "b.yaml", "spawn: {per_tick: 2}"), id="added"),
        pytest.param(lambda s: (s.drop_ins / "a.yaml").unlink(), id="removed"),
        pytest.param(lambda s: (s.drop_ins / "a.yaml").rename(s.drop_ins / "c.yaml"), id="renamed"),
        pytest.param(lambda s: s.write(s.drop_ins / "a.yaml", "host: {sample: 3s}"), id="edited"),
        pytest.param(lambda s: s.drop_ins.chmod(0o777), id="open to others"),
    ],
)
def test_a_change_of_drop_ins_loads_again(site: Site, loads: list[str], change: Change) -> None:
    site.write(site.drop_ins / "a.yaml", "host: {sample: 2s}")
    site.read()
    site.read()
    assert len(loads) == 1
    change(site)
    assert site.read() == load_config(str(site.path))
    assert len(loads) == 2


def test_a_file_that_changed_just_now_is_not_cached(
    site: Site, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_cache, "SETTLED_SECONDS", 2.0)
    site.read()
    assert not site.cache.exists()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10)
    site.read()
    assert site.cache.exists()


def test_a_file_from_the_future_is_not_cached(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_cache, "SETTLED_SECONDS", 2.0)
    os.utime(site.path, (4e9, 4e9))
    site.read()
    assert not site.cache.exists()


def test_a_faulty_configuration_is_not_cached(site: Site) -> None:
    site.write(site.path, "host: 3")
    assert site.read().faults
    assert not site.cache.exists()


def test_a_file_changed_while_it_is_read_is_not_cached(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: str, *, host: tuple[int, int] | None = None) -> Loaded:
        loaded = load_config(path, host=host)
        site.write(site.path, "host: {sample: 2s}")
        return loaded

    monkeypatch.setattr("plancton_tick.config.load_config", load)
    site.read()
    assert not site.cache.exists()


def test_another_version_or_host_loads_again(
    site: Site, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.read()
    monkeypatch.setattr(config_cache, "__version__", "0.0.0")
    site.read()
    read_config(str(site.path), str(site.run), host=(8, 2**34))
    read_config(str(site.path), str(site.run), host=(8, 2**34))
    read_config(str(site.path), str(site.run), host=(4, 2**34))
    assert len(loads) == 4


def test_a_cache_of_another_file_is_not_used(site: Site, loads: list[str]) -> None:
    site.read()
    other = site.path.with_name("other.yaml")
    site.write(other, "host: {sample: 2s}")
    found = read_config(str(other), str(site.run))
    assert found.config.host.sample_seconds == 2.0
    assert len(loads) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_cache_of_another_user_is_ignored_and_replaced(site: Site, loads: list[str]) -> None:
    site.read()
    os.chown(site.cache, 12345, -1)
    site.read()
    assert site.cache.stat().st_uid == 0
    site.read()
    assert len(loads) == 2


@pytest.mark.parametrize("folder", ["none", "config.yaml", "config.yaml/x", "a\0b"])
def test_a_folder_that_takes_no_cache_does_no_harm(site: Site, folder: str) -> None:
    cache_dir = str(site.run.parent / folder)
    assert read_config(str(site.path), cache_dir) == load_config(str(site.path))


def test_without_a_folder_nothing_is_written(site: Site) -> None:
    before = sorted(site.path.parent.rglob("*"))
    assert read_config(str(site.path), None) == load_config(str(site.path))
    assert sorted(site.path.parent.rglob("*")) == before


def test_the_cache_is_private_and_leaves_nothing_beside_it(site: Site) -> None:
    site.read()
    assert [path.name for path in site.run.iterdir()] == [CACHE_NAME]
    assert site.cache.stat().st_mode & 0o777 == 0o600


def test_a_cached_configuration_needs_no_yaml(site: Site) -> None:
    script = f"""
import json, sys
import plancton_tick.model
before = set(sys.modules)
from plancton_tick import config_cache
config_cache.SETTLED_SECONDS = -3600.0
config_cache.read_config({str(site.path)!r}, {str(site.run)!r})
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
        for _ in range(2)
    ]
    first, second = (set(json.loads(run.stdout)) for run in runs)
    assert "yaml" in first
    assert second == {"plancton_tick.config_cache", "plancton_tick.loaded"}
