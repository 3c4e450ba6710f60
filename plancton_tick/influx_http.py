"""Write lines to a database of InfluxDB over HTTP.

InfluxDB 1 has /write and a name and password; its databases can be created, by who may. InfluxDB 2
has /api/v2/write, organizations, buckets and tokens, and 3 takes the same. What goes wrong comes
back in words, which never hold a password or token: they end up in a log.
"""

import base64
import http.client
import json
import ssl
import string
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from plancton_tick.model import Database

# As long as 0.6 waited, for each answer.
TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_SAID = 200
MAX_TOKEN_BYTES = 4096

# What is older than the database keeps is gone whether it is sent or not; all else was taken.
_TOO_OLD = "beyond retention policy"
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


class Answer(NamedTuple):
    """What a server answered: the status, and its own words of an error."""

    status: int
    said: str

    def is_good(self) -> bool:
        """Tell whether all was done that can be."""
        return 200 <= self.status < 300 or (self.status in (400, 422) and _TOO_OLD in self.said)


class DatabaseError(Exception):
    """A database does not take what it is sent. The text may be shown to anybody."""


def write(database: Database, lines: Iterable[str], *, insecure: bool) -> None:
    """Write lines, and create a missing database of InfluxDB 1 if that is allowed.

    Raises `DatabaseError`, and nothing else.
    """
    body = "\n".join(lines).encode("utf-8", "replace")
    if database.org:
        query = {"org": database.org, "bucket": database.name, "precision": "ns"}
        path, headers = "/api/v2/write", {"Authorization": f"Token {_read_token(database)}"}
    else:
        query = {"db": database.name}
        path, headers = "/write", _basic(database)
    headers["Content-Type"] = "text/plain; charset=utf-8"

    def attempt() -> Answer:
        return _post(database, path, query, body, headers, insecure=insecure)

    answer = attempt()
    if answer.status == http.HTTPStatus.NOT_FOUND and not database.org:
        _create(database, insecure=insecure)
        answer = attempt()
    if not answer.is_good():
        raise DatabaseError(_words(answer))


def _create(database: Database, *, insecure: bool) -> None:
    name = database.name.replace("\\", "\\\\").replace('"', '\\"')
    body = urlencode({"q": f'CREATE DATABASE "{name}"'}).encode()
    headers = {**_basic(database), "Content-Type": "application/x-www-form-urlencoded"}
    answer = _post(database, "/query", {}, body, headers, insecure=insecure)
    if not answer.is_good():
        raise DatabaseError(f"there is no such database, and creating it: {_words(answer)}")


def _words(answer: Answer) -> str:
    try:
        phrase = http.HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "no status of HTTP"
    return f"answer {answer.status} {phrase}" + (f": {answer.said}" if answer.said else "")


# --- credentials ---------------------------------------------------------------------------------


def _basic(database: Database) -> dict[str, str]:
    if not database.user and not database.password:
        return {}
    both = f"{database.user}:{database.password}".encode("utf-8", "replace")
    return {"Authorization": f"Basic {base64.b64encode(both).decode('ascii')}"}


def _read_token(database: Database) -> str:
    """Read the token. Raises DatabaseError, which does not name the file.

    Who mistakes the key writes the token itself there.
    """
    try:
        with open(database.token_file, encoding="utf-8") as file:
            token = file.read(MAX_TOKEN_BYTES).strip()
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DatabaseError(f"its token_file cannot be read: {problem}") from None
    if not token or not set(token) <= _PRINTABLE:
        raise DatabaseError("its token_file holds no token: expected one word of plain characters")
    return token


# --- HTTP ----------------------------------------------------------------------------------------


def _post(
    database: Database,
    path: str,
    query: Mapping[str, str],
    body: bytes,
    headers: Mapping[str, str],
    *,
    insecure: bool,
) -> Answer:
    parts = urlsplit(database.url)
    connection = _connect(parts.hostname or "", parts.port, parts.scheme, insecure=insecure)
    target = parts.path + path + (f"?{urlencode(query)}" if query else "")
    try:
        connection.request("POST", target, body, dict(headers))
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise DatabaseError(
            f"its certificate is not trusted: {error.verify_message} "
            "(metrics.insecure_https: true takes any)"
        ) from None
    except TimeoutError:
        raise DatabaseError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DatabaseError(_show(_problem(error), headers, database)) from None
    finally:
        connection.close()
    return Answer(response.status, _show(_error_of(content), headers, database))


def _connect(
    host: str, port: int | None, scheme: str, *, insecure: bool
) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def _problem(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _error_of(content: bytes) -> str:
    """Take the error out of an answer: JSON with "error" or "message", or else its text."""
    text = content.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict):
        said = found.get("error") or found.get("message") or ""
        # InfluxDB 2 has both in one, 1 a list of results, each perhaps with an error.
        if isinstance(found.get("message"), str):
            said = found["message"]
        for result in found.get("results") or ():
            said = said or (result.get("error") if isinstance(result, dict) else "")
        return str(said or "")
    return text


def _show(text: str, headers: Mapping[str, str], database: Database) -> str:
    """Make a server's words fit for a log: one short line, without what was sent as a secret."""
    secret = headers.get("Authorization", "").rpartition(" ")[2]
    for hidden in filter(None, (secret, database.password)):
        text = text.replace(hidden, "…")
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= MAX_SAID else text[:MAX_SAID] + "…"
