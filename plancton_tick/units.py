"""Durations and sizes as people write them, and back.

Durations follow systemd.time(7), sizes are in bytes with suffixes to base 1024 as systemd's
resource limits and the engine have them.
"""

import re

# systemd.time(7), "Parsing Time Spans"; a month is 30.44 days and a year 365.25.
_SECONDS = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("weeks", "week", "w"), 7 * 86400.0),
    **dict.fromkeys(("months", "month", "M"), 2629800.0),
    **dict.fromkeys(("years", "year", "y"), 31557600.0),
}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SPAN = re.compile(_NUMBER + r"[ \t]*([A-Za-zµμ]+)[ \t]*")
_SIZE = re.compile(_NUMBER + r"[ \t]*([kmgtp]?)(?:i?b)?", re.IGNORECASE)

MAX_TEXT = 100
MAX_SECONDS = 1e10
MAX_BYTES = 2**63 - 1


def parse_duration(text: str) -> float:
    """Read a time span such as ``30s``, ``1h 30min``, ``90`` or ``infinity``, in seconds.

    Raises ValueError.
    """
    stripped = text.strip()
    if stripped == "infinity":
        return float("inf")
    if not stripped or len(stripped) > MAX_TEXT:
        raise ValueError("not a duration")
    if re.fullmatch(_NUMBER, stripped):
        seconds = float(stripped)
    else:
        seconds, at = 0.0, 0
        while at < len(stripped):
            match = _SPAN.match(stripped, at)
            if match is None or match[2] not in _SECONDS:
                raise ValueError("not a duration")
            seconds += float(match[1]) * _SECONDS[match[2]]
            at = match.end()
    if seconds > MAX_SECONDS:
        raise ValueError("longer than three centuries")
    return seconds


def parse_size(text: str) -> int:
    """Read a size such as ``2G``, ``1.5G``, ``512 MiB`` or ``1048576``, in bytes, base 1024.

    Raises ValueError, also for a fraction of a byte.
    """
    stripped = text.strip()
    match = _SIZE.fullmatch(stripped) if len(stripped) <= MAX_TEXT else None
    if match is None:
        raise ValueError("not a size")
    factor = _BYTES[match[2].lower()]
    if "." in match[1]:
        if factor == 1:
            raise ValueError("not a whole number of bytes")
        size = round(float(match[1]) * factor)
    else:
        size = int(match[1]) * factor
    if size > MAX_BYTES:
        raise ValueError("too large")
    return size


def format_size(size_bytes: int) -> str:
    """Write a size with the largest suffix that loses nothing, for example ``6M``."""
    for suffix in "ptgmk":
        factor = _BYTES[suffix]
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{suffix.upper()}"
    return str(size_bytes)


def format_duration(seconds: float) -> str:
    """Write a duration with the largest unit that loses nothing, for example ``12h``."""
    if seconds == float("inf"):
        return "infinity"
    for unit in ("d", "h", "min"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
