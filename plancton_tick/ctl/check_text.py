"""What ``check`` found as text for a person, for terminals of any width. Pure."""

import textwrap
from collections.abc import Iterable, Iterator

from plancton_tick.ctl.check_fit import MOST, Fit
from plancton_tick.ctl.check_warnings import to_gib
from plancton_tick.ctl.checked import Checked, Fault
from plancton_tick.model import Config, HostLoad, Veto
from plancton_tick.room import sum_cpus
from plancton_tick.spawning import read_cap

MIN_WIDTH = 40
MAX_WIDTH = 100
# What limits, in the words of the configuration, by the names of vetoes.
_LIMITS = {"cap": "max_pilots", "slots": "max_pilots", "cpus": "cores", "share": "share 0"}


def to_text(checked: Checked, width: int) -> str:
    """Write it all: faults, or else what the configuration means here; then warnings and notes."""
    width = max(MIN_WIDTH, min(MAX_WIDTH, width))
    lines = list(_wrap(_headline(checked), width))
    for file in checked.files[1:]:
        lines += _wrap(f"with {file}", width, "  ")
    if checked.faults:
        for fault in checked.faults:
            lines += ["", *_fault(fault, width)]
        says = (
            "No pilot is started until this is mended; those past their lifetime are still ended."
        )
        lines += ["", *_wrap(says, width)]
    if checked.config is not None and checked.host is not None and checked.fit is not None:
        lines += ["", "This host", *_host(checked, checked.config, checked.host, width)]
        lines += ["", "Pilots that fit while the owner is idle", ""]
        lines += _fit(checked.fit, width)
    if checked.warnings:
        lines += ["", "Warnings: legal, but is it meant?"]
        # What is so for several types is said once.
        keys: dict[tuple[str, str], list[str]] = {}
        for warned in checked.warnings:
            keys.setdefault((warned.message, warned.hint), []).append(warned.key)
        for (message, hint), named in keys.items():
            lines += ["", *_wrap(", ".join(named), width, "  ")]
            lines += _wrap(message, width, "    ")
            lines += _wrap(f"-> {hint}", width, "    ", "       ")
    if checked.notes:
        lines += ["", "Notes"]
        for note in checked.notes:
            lines += _wrap(note, width, "  ", "    ")
    if checked.unchecked:
        lines += ["", "Not checked"]
        for what in checked.unchecked:
            lines += _wrap(what, width, "  ", "    ")
    return "\n".join(lines)


def limits_of(vetoes: Iterable[Veto]) -> tuple[str, ...]:
    """Name what limits, each thing once."""
    return tuple(dict.fromkeys(_LIMITS.get(veto.name, veto.name) for veto in vetoes))


def _headline(checked: Checked) -> str:
    counts = [_count(len(checked.faults), "fault")]
    if checked.warnings:
        counts.append(_count(len(checked.warnings), "warning"))
    return f"{checked.file}: {', '.join(counts)}"


def _fault(fault: Fault, width: int) -> Iterator[str]:
    place = f"{fault.file}:{fault.line}" if fault.line else fault.file
    yield from _wrap(f"{place}: {fault.key}" if fault.key else place, width)
    yield from _wrap(fault.message, width, "    ")
    if fault.suggestion:
        yield from _wrap(f"-> did you mean {fault.suggestion}?", width, "    ")


def _host(checked: Checked, config: Config, host: HostLoad, width: int) -> Iterator[str]:
    reserve = config.host
    available = host.memory_available_bytes + (host.pilots_memory_bytes or 0)
    cap, why = read_cap(config, host)
    disk = "not known: the engine's data is not to be seen from here"
    if host.disk_free_bytes is not None:
        disk = f"{to_gib(host.disk_free_bytes)} free, {to_gib(reserve.reserve_disk_bytes)} reserved"
    rows = {
        "cores": f"{host.ncpus}, of which {reserve.reserve_cpus:g} reserved",
        "memory": (
            f"{to_gib(available)} of {to_gib(host.memory_total_bytes)} available without pilots, "
            f"of which {to_gib(reserve.reserve_memory_bytes)} reserved"
        ),
        "disk": disk,
        "pilots": f"at most {cap} (host.max_pilots)" if why is None else f"none: {why}",
    }
    for name, text in rows.items():
        yield from _wrap(f"{name:<8}{text}", width, "  ", " " * 10)


def _fit(fit: Fit, width: int) -> Iterator[str]:
    names = [each.type.name for each in fit.types]
    longest = max(4, *(len(name) for name in names))
    column = min(longest, max(12, width - 42))
    yield f"  {'type':<{column}}  {'alone':>5}  {'together':>8}  limited by"
    indent = " " * (column + 21)
    for each in fit.types:
        name = each.type.name
        if len(name) > column:
            yield f"  {name}"
            name = ""
        limits = ", ".join(limits_of(each.alone.vetoes)) or "nothing"
        alone = _at_least(len(each.alone.pilots))
        row = f"  {name:<{column}}  {alone:>5}  {each.together:>8}  "
        yield from _wrap(limits, width, row, indent)
    pilots = fit.together.pilots
    if len(fit.types) > 1 and pilots:
        memory = sum(pilot.memory_bytes for pilot in pilots)
        limits = ", ".join(limits_of(fit.together.vetoes)) or "nothing"
        total = (
            f"Together {_count(len(pilots), 'pilot')} with {sum_cpus(pilots):g} cores and "
            f"{to_gib(memory)}, limited by {limits}."
        )
        yield ""
        yield from _wrap(total, width, "  ")


def _at_least(count: int) -> str:
    return f"{MOST}+" if count >= MOST else str(count)


def _count(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}" + ("" if count == 1 else "s")


def _wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
