"""What an entry of ``metrics.influxdb`` may be.

It may hold a password, and faults are logged: nothing here says what was written, only what is
wrong with it.
"""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from plancton_tick.config_check import REQUIRED, Key, Wrong, check_section
from plancton_tick.config_forms import list_of
from plancton_tick.config_node import (
    Faults,
    Kind,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    describe,
    is_null,
)
from plancton_tick.model import Database

DATABASES = "URL#database, or a list of them"
_URL = "URL#database such as http://db.example.org:8086#plancton"
_BUCKET_URL = "a URL such as https://db.example.org:8086"


def databases(node: Node, path: str, faults: Faults) -> tuple[Database, ...]:
    """Accept one database, a list of them, or nothing. Each counts once."""
    if is_null(node):
        return ()
    if isinstance(node, ListNode):
        found = list_of(_database, DATABASES)(node, path, faults)
    else:
        found = (_database(node, path, faults),)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def database_url(node: Node, path: str, faults: Faults) -> Database:
    """Accept ``URL#database``, with ``user:password@`` before the host if need be."""
    url, mark, name = _read_text(node, _URL).partition("#")
    if not mark or not name:
        raise Wrong(_URL, "one without #database")
    # More likely the rest of a password than the name of a database.
    if "#" in name or "@" in name:
        raise Wrong(f"{_URL}, with %23 for # and %40 for @ in a password", "one with both twice")
    parts = _split(url, _URL)
    return Database(
        url=_address(parts, parts.netloc.rpartition("@")[2]),
        name=name,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def _database(node: Node, path: str, faults: Faults) -> Database | None:
    if not isinstance(node, MapNode):
        return database_url(node, path, faults)
    before = len(faults)
    values = check_section(BUCKET, node, path, faults).values
    return Database(**values) if len(faults) == before else None


def _bucket_url(node: Node, path: str, faults: Faults) -> str:
    parts = _split(_read_text(node, _BUCKET_URL), _BUCKET_URL)
    if "@" in parts.netloc:
        raise Wrong(f"{_BUCKET_URL} without credentials", "one with")
    return _address(parts, parts.netloc)


def _hidden(pattern: str, expected: str) -> Any:
    """Accept a text that matches; one that does not is not shown, for it may be the token."""
    compiled = re.compile(pattern)

    def check(node: Node, path: str, faults: Faults) -> str:
        written = _read_text(node, expected)
        if not compiled.fullmatch(written):
            raise Wrong(expected, "another text")
        return written

    return check


def _read_text(node: Node, expected: str) -> str:
    if not isinstance(node, ScalarNode):
        raise Wrong(expected, describe(node))
    if node.kind is not Kind.TEXT:
        raise Wrong(expected, "nothing" if node.kind is Kind.NULL else "no text")
    if not node.text.isprintable():
        raise Wrong(expected, "one with control characters")
    return node.text


def _split(url: str, expected: str) -> SplitResult:
    if not re.match("https?://", url):
        raise Wrong(expected, "one that begins with neither http:// nor https://")
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise Wrong(expected, "one without a host, or with a wrong port")
    if parts.query or parts.fragment or "@" in parts.path or re.search(r"\s", url):
        raise Wrong(expected, "one with blanks, or with more behind the host than a path")
    return parts


def _address(parts: SplitResult, host: str) -> str:
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


_NAME = r"\S(.*\S)?"
BUCKET = (
    Key("url", "url", _bucket_url, REQUIRED, REQUIRED),
    Key("org", "org", _hidden(_NAME, "the name of an organization"), REQUIRED, REQUIRED),
    Key("bucket", "name", _hidden(_NAME, "the name of a bucket"), REQUIRED, REQUIRED),
    Key("token_file", "token_file", _hidden("/.+", "an absolute path"), REQUIRED, REQUIRED),
)
