"""Load the configuration: YAML files, merged, checked, to a complete `Config` and every fault.

Files are read or refused here, merged, translated from Plancton 0.6 where need be, and then checked
against the schema (config_build.py). Nothing raises: what is wrong is said, and a default stands in
its place.
"""

import os
import stat

from plancton_tick import classic
from plancton_tick.config_build import build_config
from plancton_tick.config_node import (
    Entry,
    Faults,
    ListNode,
    MapNode,
    Place,
    merge,
    pilot_name,
    show_place,
    show_text,
)
from plancton_tick.config_schema import TOP_LEVEL
from plancton_tick.config_yaml import parse_yaml
from plancton_tick.loaded import Loaded
from plancton_tick.units import format_size

__all__ = ["Loaded", "load_config"]

MAX_FILE_BYTES = 1024**2
DROP_IN_FOLDER = "config.d"
DROP_IN_SUFFIX = ".yaml"


def load_config(path: str, *, host: tuple[int, int] | None = None) -> Loaded:
    """Load a configuration file and its drop-ins.

    Drop-ins are ``config.d/*.yaml`` beside the file, in name order. ``host`` is the number of CPUs
    and of bytes of RAM; where it is given, a pilot larger than that is a fault. Raises nothing.
    """
    faults = Faults()
    notes: list[str] = []
    places = [Place(path, 0, 0)]
    for drop_in in _list_drop_ins(path, faults, notes):
        places.append(Place(drop_in, len(places), 0))
    roots = []
    for place in places:
        data = _read_file(place, faults)
        root = None if data is None else parse_yaml(data, place.file, place.order, faults)
        if root is not None:
            _check_names(root, faults)
            roots.append(root)
    root = _merge_roots(roots, faults, notes)
    config = build_config(root or MapNode(places[0], {}), host, faults)
    return Loaded(config, faults.lines(), tuple(place.file for place in places), tuple(notes))


# --- files ---------------------------------------------------------------------------------------


def _list_drop_ins(path: str, faults: Faults, notes: list[str]) -> list[str]:
    folder = os.path.join(os.path.dirname(path), DROP_IN_FOLDER)
    place = Place(folder, 1, 0)
    try:
        found = os.stat(folder)
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        faults.add(place, f"expected a readable folder, got an error: {_problem(error)}")
        return []
    if not _is_ours_alone(found):
        faults.add(place, _describe_writers("folder", found))
        return []
    visible = [name for name in names if not name.startswith(".")]
    for name in visible:
        if name.endswith(".yml"):
            shown = show_place(Place(os.path.join(folder, name), 0, 0))
            notes.append(f"{shown}: not read, because its name does not end in {DROP_IN_SUFFIX}")
    return [os.path.join(folder, name) for name in visible if name.endswith(DROP_IN_SUFFIX)]


def _read_file(place: Place, faults: Faults) -> bytes | None:
    try:
        # Opening a pipe would wait for its writer, and the tick with it.
        descriptor = os.open(place.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        faults.add(place, f"expected a readable file, got an error: {_problem(error)}")
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "something else"
            faults.add(place, f"expected a regular file, got {what}")
            return None
        if not _is_ours_alone(found):
            faults.add(place, _describe_writers("file", found))
            return None
        data = b""
        while chunk := os.read(descriptor, MAX_FILE_BYTES + 1 - len(data)):
            data += chunk
    except OSError as error:
        faults.add(place, f"expected a readable file, got an error: {_problem(error)}")
        return None
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        faults.add(place, f"expected at most {format_size(MAX_FILE_BYTES)} of text, got more")
        return None
    return data


def _problem(error: OSError | ValueError) -> str:
    return error.strerror or "unknown" if isinstance(error, OSError) else str(error)


def _is_ours_alone(found: os.stat_result) -> bool:
    # Whoever writes the configuration starts containers, which is to be root on this host.
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def _describe_writers(what: str, found: os.stat_result) -> str:
    return (
        f"expected a {what} that only root and the running user may write, "
        f"got mode {stat.S_IMODE(found.st_mode):04o} of user {found.st_uid}"
    )


# --- merging -------------------------------------------------------------------------------------


def _check_names(root: MapNode, faults: Faults) -> None:
    # Between files an equal name means the same pilot type; within one it is a slip.
    pilots = root.entries.get("pilots")
    if pilots is None or not isinstance(pilots.value, ListNode):
        return
    seen: dict[str, int] = {}
    for item in pilots.value.items:
        name = pilot_name(item)
        if name is not None and name in seen:
            message = f"expected each name once, got {show_text(name)} again"
            faults.add(item.place, f"pilots: {message} (see line {seen[name]})")
        elif name is not None:
            seen[name] = item.place.line


def _merge_roots(roots: list[MapNode], faults: Faults, notes: list[str]) -> MapNode | None:
    """Merge files in order. Those of Plancton 0.6 are merged first, then translated as one."""
    if roots and classic.is_classic(roots[0]):
        base, rest = roots[0], []
        for root in roots[1:]:
            if classic.is_classic(root):
                base = merge(base, root)
            else:
                rest.append(root)
        translation = classic.translate(base, faults, has_apparmor=has_apparmor())
        notes.extend(translation.notes)
        merged: MapNode | None = translation.root
    else:
        merged, rest = None, roots
    for root in rest:
        root = _without_classic_keys(root, faults)
        merged = root if merged is None else merge(merged, root)
    return merged


def _without_classic_keys(root: MapNode, faults: Faults) -> MapNode:
    entries: dict[str, Entry] = {}
    for key, entry in root.entries.items():
        if key in classic.KEYS and key not in TOP_LEVEL:
            today = classic.KEYS[key].today or "nothing: it has no counterpart"
            message = "got a key of Plancton 0.6 beside today's keys"
            faults.add(entry.place, f"{key}: expected {today}, {message}")
        else:
            entries[key] = entry
    return MapNode(root.place, entries)


def has_apparmor() -> bool:
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as file:
            return file.read().strip() == "Y"
    except (OSError, ValueError):
        return False
