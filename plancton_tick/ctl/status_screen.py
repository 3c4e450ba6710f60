"""How a status looks: what a person wants to know first stands first, and all of it on a screen."""

import time
from collections.abc import Sequence

from plancton_tick.ctl.screen import (
    BAD,
    FAINT,
    GOOD,
    HEAD,
    OWNER,
    PILOTS,
    PLAIN,
    WAITING,
    Column,
    Drawable,
    Part,
    Screen,
    Segment,
    Shrink,
)
from plancton_tick.ctl.status_data import PilotStatus, Status, TimerStatus, TypeStatus

OWNER_MARKS, PILOT_MARKS = ("▒", "o"), ("█", "#")
MARGIN = 8
FAULTS_SHOWN = 5

_TYPE_COLUMNS = (
    Column("type"),
    Column("live", is_number=True),
    Column("max", 2, is_number=True),
    Column("share", 1, is_number=True),
    Column("has", 1, is_number=True),
    Column("waits", shrinks=Shrink.WRAP),
    Column("ended", shrinks=Shrink.WRAP),
)
_PILOT_COLUMNS = (
    Column("pilot"),
    Column("type", 3),
    Column("state"),
    Column("age", 1, is_number=True),
    Column("left", 2, is_number=True),
    Column("cpu", is_number=True),
    Column("memory", is_number=True),
    Column("config", 4),
    Column("image", 5, shrinks=Shrink.CLIP),
)


def draw(screen: Screen, status: Status, *, height: int | None = None) -> list[Drawable]:
    """Return the status as lines and tables; with ``height`` only as many pilots as fit."""
    lines = [_title(screen, status), _timer(screen, status), *_troubles(screen, status)]
    lines += _drain(screen, status)
    lines += _load(screen, status)
    if status.types:
        lines += [screen.line(""), _types(screen, status)]
    if status.vetoes:
        lines.append(screen.line(""))
        for veto in status.vetoes:
            lines.append(screen.line((veto.words, WAITING), indent=2))
    if status.pilots:
        lines.append(screen.line(""))
        shown = status.pilots
        room = len(shown) if height is None else height - screen.count_lines(lines) - 2
        if room < len(shown):
            shown = shown[: max(0, room)]
        lines.append(_pilots(screen, shown))
        if len(shown) < len(status.pilots):
            more = f"and {len(status.pilots) - len(shown)} more"
            lines.append(screen.line((more, FAINT)))
    return lines


def short_time(seconds: float) -> str:
    """Return a time span in a few characters: ``42 s``, ``12 min``, ``3h05``, ``2d04h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 2880:
        return f"{minutes // 60}h{minutes % 60:02}"
    return f"{minutes // 1440}d{minutes // 60 % 24:02}h"


def short_size(size_bytes: int) -> str:
    """Return a size in a few characters, base 1024: ``512K``, ``12M``, ``1.5G``."""
    size, unit = size_bytes / 1024, "K"
    for larger in "MGT":
        if size < 1000:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f}{unit}" if size < 10 and unit in "GT" else f"{size:.0f}{unit}"


def _title(screen: Screen, status: Status) -> Drawable:
    at = time.strftime("%H:%M:%S", time.localtime(status.taken_at))
    cap = "" if status.max_pilots is None else f" of {status.max_pilots}"
    live = "" if status.host is None else f"  {status.live}{cap} pilots live"
    return screen.line((f"{status.instance} on {status.node}", HEAD), live, (f"  {at}", FAINT))


def _named(screen: Screen, name: str, *parts: Part) -> Drawable:
    return screen.line((f"{name:{MARGIN}}", HEAD), *parts, indent=MARGIN)


def _timer(screen: Screen, status: Status) -> Drawable:
    return _named(screen, "timer", *timer_parts(status.timer, status.taken_at))


def timer_parts(timer: TimerStatus, now: float) -> list[Part]:
    """Say whether the timer is on, when the next tick comes and how the last one ended."""
    if timer.error is not None:
        return [(timer.error, WAITING), ": ticks come only from elsewhere"]
    tick = timer.last_tick
    parts: list[Part] = [("on", GOOD) if timer.is_on else ("off", BAD)]
    if timer.is_on and not timer.is_enabled:
        parts.append(" until the next boot")
    if not timer.is_on:
        parts.append(", until the next boot" if timer.is_enabled else "")
        parts.append(" (planctonctl start)")
    if tick is not None and tick.is_running:
        parts.append(", a tick is at work")
    elif timer.next_at is not None:
        parts.append(f", next tick in {short_time(max(0.0, timer.next_at - now))}")
    if tick is not None and tick.ended is not None and tick.ended_at is not None:
        parts.append(f"; last one {short_time(max(0.0, now - tick.ended_at))} ago: ")
        parts.append((tick.ended, PLAIN if tick.exit_code == 0 else BAD))
    elif timer.is_on and tick is None:
        parts.append("; none has run yet")
    return parts


def _troubles(screen: Screen, status: Status) -> list[Drawable]:
    lines = []
    faults = status.config.faults
    if faults:
        words = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}, so no pilot is started:"
        lines.append(_named(screen, "config", (words, BAD)))
        lines += [_named(screen, "", fault) for fault in faults[:FAULTS_SHOWN]]
        if len(faults) > FAULTS_SHOWN:
            more = f"and {len(faults) - FAULTS_SHOWN} more: planctonctl check"
            lines.append(_named(screen, "", more))
    if status.engine.error is not None:
        lines.append(_named(screen, "engine", (status.engine.error, BAD)))
        if status.engine.hint is not None:
            lines.append(_named(screen, "", status.engine.hint))
    return lines


def _drain(screen: Screen, status: Status) -> list[Drawable]:
    drain = status.drain
    if drain is None:
        return []
    since = short_time(max(0.0, status.taken_at - drain.at))
    why = f" ({drain.why})" if drain.why else ""
    then = "pilots are being ended" if drain.ends_pilots else "pilots are left to finish"
    if not status.live:
        then = "no pilot is left"
    stop = ", then the timer stops" if drain.stops_timer and status.live else ""
    text = f"by {drain.by} {since} ago{why}: {then}{stop}"
    return [_named(screen, "drain", (text, WAITING))]


def _load(screen: Screen, status: Status) -> list[Drawable]:
    host = status.host
    if host is None:
        return []
    bar = max(10, min(40, screen.width - MARGIN - 50))
    pilots = host.pilots_cores or 0.0
    reserve = f", {host.reserve_cpus:g} reserved" if host.reserve_cpus else ""
    lines = [
        _bar(
            screen, "cores", host.owner_cores, pilots, host.ncpus, bar,
            f"{host.owner_cores:.2f}",
            "-" if host.pilots_cores is None else f"{pilots:.2f}",
            f"of {host.ncpus}{reserve}",
        )
    ]  # fmt: skip
    used = host.memory_pilots_bytes or 0
    total, free = host.memory_total_bytes, host.memory_available_bytes
    owner = max(0, total - free - used)
    lines.append(
        _bar(
            screen, "memory", owner, used, total, bar,
            short_size(owner),
            "-" if host.memory_pilots_bytes is None else short_size(used),
            f"of {short_size(total)}{_reserved_size(host.reserve_memory_bytes)}",
        )
    )  # fmt: skip
    disk = host.disk_free_bytes
    text = (
        "not to be seen from here"
        if disk is None
        else f"{short_size(disk)} free{_reserved_size(host.reserve_disk_bytes)}"
    )
    lines.append(_named(screen, "disk", text))
    return lines


def _reserved_size(size_bytes: int) -> str:
    return f", {short_size(size_bytes)} reserved" if size_bytes else ""


def _bar(
    screen: Screen, name: str, owner: float, pilots: float, whole: float, width: int,
    owner_words: str, pilot_words: str, rest: str,
) -> Drawable:  # fmt: skip
    segments = [Segment(owner, OWNER_MARKS, OWNER), Segment(pilots, PILOT_MARKS, PILOTS)]
    at = 0 if screen.has_utf8 else 1
    return _named(
        screen,
        name,
        *screen.bar(segments, whole, width),
        " ",
        (OWNER_MARKS[at], OWNER),
        f" owner {owner_words} ",
        (PILOT_MARKS[at], PILOTS),
        f" pilots {pilot_words} {rest}",
    )


def _types(screen: Screen, status: Status) -> Drawable:
    rows = [_type_row(each, status.taken_at) for each in status.types]
    return screen.table(_TYPE_COLUMNS, rows)


def _type_row(each: TypeStatus, now: float) -> Sequence[Part]:
    paused = f" ({each.paused} paused)" if each.paused else ""
    waits: Part = "-"
    if each.backoff is not None:
        left = each.backoff.until - now
        waits = (f"{short_time(left)}: {each.backoff.why}", WAITING)
        if left <= 0:
            waits = (f"one canary: {each.backoff.why}", WAITING)
    elif not each.is_configured:
        waits = "not configured"
    ended = ", ".join(f"{number} {outcome}" for outcome, number in each.outcomes.items())
    return (
        each.name,
        f"{each.live}{paused}",
        "-" if each.max is None else str(each.max),
        f"{each.share_wanted:.0%}",
        "-" if each.share_had is None else f"{each.share_had:.0%}",
        waits,
        ended or "-",
    )


def _pilots(screen: Screen, pilots: Sequence[PilotStatus]) -> Drawable:
    return screen.table(_PILOT_COLUMNS, [_pilot_row(each) for each in pilots])


def _pilot_row(each: PilotStatus) -> Sequence[Part]:
    state: Part = each.state
    if each.ending is not None and each.state in ("running", "paused", "created"):
        state = (f"ending: {each.ending}", WAITING)
    elif each.state == "paused":
        state = (each.state, WAITING)
    elif each.state == "running":
        state = (each.state, GOOD)
    cores = "-" if each.cpu_cores is None else f"{each.cpu_cores:.2f}"
    memory = "-" if each.memory_used_bytes is None else short_size(each.memory_used_bytes)
    config: Part = "current" if each.is_current else ("old", WAITING)
    if each.is_current is None:
        config = ("gone", WAITING)
    image = each.image.removeprefix("sha256:")[:12] if "sha256:" in each.image else each.image
    return (
        each.name,
        each.type,
        state,
        short_time(each.age_seconds),
        "-" if each.left_seconds is None else short_time(each.left_seconds),
        f"{cores}/{each.cpus:g}",
        f"{memory}/{short_size(each.memory_bytes)}",
        config,
        image,
    )
