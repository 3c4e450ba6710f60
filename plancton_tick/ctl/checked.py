"""What ``check`` finds, as values: faults taken apart, and all the rest beside them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from plancton_tick.config_node import Place, show_place
from plancton_tick.ctl.check_fit import Fit
from plancton_tick.ctl.check_warnings import Warned
from plancton_tick.model import Config, HostLoad

_SUGGESTION = re.compile(r"(.*); did you mean (.+)\?", re.DOTALL)
_KEY = re.compile(r"(.+?): ((?:expected|got|names) .*)", re.DOTALL)


class Fault(NamedTuple):
    """One fault. Line 0 is the file as a whole, no key the file's form, and no suggestion none."""

    file: str
    line: int
    key: str
    message: str
    suggestion: str


class Checked(NamedTuple):
    """All that there is to say. Config, host and fit are None while there are faults.

    ``unchecked`` holds a line for each thing that could not be looked at.
    """

    file: str
    files: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    warnings: tuple[Warned, ...] = ()
    config: Config | None = None
    host: HostLoad | None = None
    fit: Fit | None = None
    unchecked: tuple[str, ...] = ()


def split_fault(line: str, files: Iterable[str]) -> Fault:
    """Take apart a fault as ``Loaded`` has it: ``file:line: key: expected …, got …``."""
    file, number, text = "", 0, line
    # The longest first: of two files one's name may begin with the other's.
    for name in sorted(files, key=len, reverse=True):
        shown = show_place(Place(name, 0, 0))
        match = re.match(rf"{re.escape(shown)}(?::([0-9]+))?: ", line)
        if match is not None:
            file, number, text = name, int(match[1] or 0), line[match.end() :]
            break
    suggestion = ""
    if match := _SUGGESTION.fullmatch(text):
        text, suggestion = match[1], match[2]
    key = ""
    if not text.startswith("expected ") and (match := _KEY.fullmatch(text)):
        key, text = match[1], match[2]
    return Fault(file, number, key, text, suggestion)
