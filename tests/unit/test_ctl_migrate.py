"""A migrated file means what the old one meant, and says where each value came from."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plancton_tick import classic, config
from plancton_tick.config import load_config
from plancton_tick.ctl.check import check
from plancton_tick.ctl.main import main
from plancton_tick.ctl.migrate import migrate
from plancton_tick.ctl.migrate_yaml import MEANINGS
from plancton_tick.errors import ConfigError
from tests.unit import test_classic

EVERY_KEY = """\
influxdb_url: [http://db.example.org:8086#plancton, "https://u:p@db2.example.org/a#c d"]
insecure_https: yes
updateconfig: 60
image_expiration: 90
main_sleep: 30
grace_kill: 1.5
grace_spawn: 60
cpus_per_dock: 0.5
max_docks: int(ncpus / 2) + ram_bytes / max_dock_mem
docks_per_loop: 2
max_ttl: 3600
docker_image: 'reg.example.org:5000/a/b:1'
docker_cmd: ["/bin/sh", -c, "echo \\"a b\\" # c\\n\\tsleep; é", 'yes', "", "1:30", "{a: b}", "- x"]
docker_privileged: yes
max_dock_mem: 1073741824
max_dock_swap: 500000000
user_group: 1000:10
binds: ["/a b:/c", "/d#e: /f"]
devices: ["/dev/a:/dev/b:rw", {PathOnHost: /dev/c}]
capabilities: [SYS_ADMIN, +KILL, -MKNOD]
security_opts: ['apparmor:docker-cvmfs', 'seccomp={"a": 1}', 'label:type:a']
"""
EVERY_KEY = EVERY_KEY.replace("/d#e: /f", "/d#e:/f")


def samples(*, faulty: bool) -> Iterator[str]:
    """Give each file of Plancton 0.6 that test_classic.py has."""
    if not faulty:
        yield test_classic.SITE
        yield EVERY_KEY
    for test in vars(test_classic).values():
        for mark in getattr(test, "pytestmark", ()):
            if mark.name != "parametrize":
                continue
            names = mark.args[0]
            if "written" in names and ("fault" in names) is faulty:
                rows = (row if isinstance(row, str) else row[0] for row in mark.args[1])
                for row in rows:
                    # Those of max_docks are its values alone.
                    line = row if ":" in row else f"max_docks: {row}\nmax_dock_swap: 1000000000"
                    yield line if "main_sleep" in row else f"main_sleep: 5\n{line}\n"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


@pytest.fixture(params=[True, False], ids=["apparmor", "no-apparmor"])
def apparmor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    has_apparmor: bool = request.param
    monkeypatch.setattr(config, "has_apparmor", lambda: has_apparmor)
    return has_apparmor


@pytest.mark.usefixtures("apparmor")
@pytest.mark.parametrize("old", [*samples(faulty=False)])
def test_a_migrated_file_means_the_same_and_is_clean(tmp_path: Path, old: str) -> None:
    before = load_config(write(tmp_path / "old.yaml", old))
    assert before.faults == ()
    new = write(tmp_path / "new.yaml", migrate(old.encode(), "old.yaml"))
    after = load_config(new)
    assert (after.config, after.faults, after.notes) == (before.config, (), ())


def test_what_check_says_of_a_migrated_file_is_clean(tmp_path: Path) -> None:
    old = "max_docks: max(1, ncpus - 1)\nmax_dock_mem: 64000000\nmain_sleep: 5\n"
    found = check(write(tmp_path / "new.yaml", migrate(old.encode(), "old.yaml")))
    # Whether images, a journal and an engine are there is not the file's doing.
    elsewhere = ("image-missing", "log-missing", "folder-writable", "engine-elsewhere")
    warnings = [warned for warned in found.warnings if warned.name not in elsewhere]
    assert (found.faults, found.notes, warnings) == ((), (), [])


@pytest.mark.parametrize("old", [*samples(faulty=True)])
def test_a_faulty_file_is_not_migrated_and_every_fault_is_said(old: str, tmp_path: Path) -> None:
    path = write(tmp_path / "old.yaml", old)
    with pytest.raises(ConfigError) as raised:
        migrate(old.encode(), path)
    assert raised.value.faults == load_config(path).faults


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_characters="\0"),
            min_size=1,
        )
    )
)
def test_any_command_survives(words: list[str]) -> None:
    written = ", ".join(
        '"' + "".join(f"\\U{ord(char):08x}" for char in w) + '"' for w in [*words, "x"]
    )
    old = f"docker_cmd: [{written}]"
    assert "command:" in migrate(old.encode(), "old")


def test_every_value_says_where_it_came_from() -> None:
    new = migrate(test_classic.SITE.encode(), "old.yaml")
    for line in new.splitlines():
        is_opening = re.fullmatch(r" *[a-z]+:", line)
        is_always = line.strip() == "- no-new-privileges=false"
        assert "#" in line or not line or is_opening or is_always, line
    assert re.search(r"^  after: 10s +# grace_kill, line 6$", new, re.MULTILINE)
    assert re.search(r"^    memory: 2000000000 +# 0.6's default of max_dock_mem$", new, re.M)
    assert re.search(r"^      - /dev/fuse:/dev/fuse:rw +# line 17$", new, re.MULTILINE)
    assert "# Left out: main_sleep, line 8: has no counterpart: plancton.timer says" in new


def test_what_is_default_then_and_now_is_left_out() -> None:
    new = migrate(b"main_sleep: 5", "old.yaml")
    keys = re.findall(r"^ +(?:- )?([a-z_]+):", new, re.MULTILINE)
    assert keys == [
        *("max_pilots", "reserve", "cpus", "after", "action"),
        *("name", "command", "memory", "user", "security_opt"),
    ]


def test_every_difference_that_is_documented_is_said_beside_the_value() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    table = text.split("| key of 0.6 |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip(" `") for cell in row.split("|")] for row in table]
    differing = {cells[1] for cells in rows if cells[4]}
    # Another form, not another meaning.
    forms = {"devices", "capabilities"}
    needed = {"max_dock_mem"}
    said = {*MEANINGS, *(name for name, key in classic.KEYS.items() if key.change)}
    assert differing - forms - needed == said


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("host: {sample: 2s}\n", 2, "old.yaml:1: host: expected keys of Plancton 0.6 alone"),
        ("max_docks: 3\nspawn: {}\n", 2, "old.yaml:2: spawn: expected keys of Plancton 0.6 alone"),
        ("", 78, "old.yaml: expected keys of Plancton 0.6, got none"),
        ("a: 1\nb: 2\n", 78, "old.yaml: expected keys of Plancton 0.6, got a, b"),
        ("a: [", 78, "old.yaml:2: expected YAML"),
        ("- 1\n", 78, "old.yaml:1: expected keys and values, got a list"),
    ],
)
def test_what_is_no_file_of_plancton_06_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, code: int, said: str
) -> None:
    path = write(tmp_path / "old.yaml", content)
    assert main(["migrate", path]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


def test_a_file_that_cannot_be_read_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", f"{tmp_path}/none"]) == 2
    assert capsys.readouterr().err.endswith("got an error: No such file or directory\n")


def test_the_verb_prints_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", write(tmp_path / "old.yaml", test_classic.SITE)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert load_config(write(tmp_path / "new.yaml", out)).faults == ()
