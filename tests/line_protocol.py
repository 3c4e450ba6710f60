"""The line protocol read by a parser of the tests' own, strict where InfluxDB is lenient."""

import re
from typing import NamedTuple

_NAME = r"(?:[^,= \\\n]|\\[,= ])+"
_STRING = r'"(?:[^"\\\n]|\\["\\])*"'
_FLOAT = r"-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"
_LINE = re.compile(
    rf"(?P<series>{_NAME})(?P<tags>(?:,{_NAME}={_NAME})*) "
    rf"(?P<fields>{_NAME}=(?:{_STRING}|{_FLOAT})(?:,{_NAME}=(?:{_STRING}|{_FLOAT}))*) "
    r"(?P<at>[0-9]{19})"
)
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf"(?:^|,)({_NAME})=(?:({_STRING})|({_FLOAT}))")


class Point(NamedTuple):
    """One line, with nothing escaped."""

    series: str
    tags: dict[str, str]
    fields: dict[str, float | str]
    at_ns: int


def parse(line: str) -> Point:
    """Read a line. Raises ValueError."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"expected a line of line protocol, got {line!r}")
    tags = {_plain(key): _plain(value) for key, value in _TAG.findall(found["tags"])}
    fields: dict[str, float | str] = {}
    for key, text, number in _FIELD.findall(found["fields"]):
        fields[_plain(key)] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text else float(number)
    return Point(_plain(found["series"]), tags, fields, int(found["at"]))


def _plain(name: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", name)
