"""Make an SVG file smaller: the paths of a picture of steps are nearly all of it. Pure."""

import re

# Absolute moves and lines only, as a polygon of steps is written; letters have curves.
_PATH = re.compile(r'( d=")([MLz\d\s.-]+)(")')
_COMMAND = re.compile(r"([ML])\s+(-?[\d.]+)\s+(-?[\d.]+)|z")
_SHIFT = re.compile(r"(?<=translate\()[^)]+")


def shrink_svg(text: str) -> str:
    """Round coordinates to a tenth of a point, and write level and upright lines as such."""
    text = re.sub(r"^ +", "", text, flags=re.MULTILINE)
    text = _SHIFT.sub(lambda match: _shrink_numbers(match[0]), text)
    return _PATH.sub(lambda match: match[1] + _shrink_path(match[2]) + match[3], text)


def _shrink_numbers(text: str) -> str:
    numbers = (f"{float(word):.2f}" for word in re.split("[ ,]+", text))
    return " ".join(number.rstrip("0").rstrip(".") for number in numbers)


def _shrink_path(path: str) -> str:
    """Write lines as far as they go from where the last ended, in whole tenths."""
    parts: list[str] = []
    x = y = 0
    # How far level lines went that are not written yet: several in a row are one.
    ahead = 0
    for match in _COMMAND.finditer(path):
        to_x, to_y = (x, y) if match[1] is None else (_tenths(match[2]), _tenths(match[3]))
        is_level = match[1] == "L" and to_y == y
        if is_level and ahead * (to_x - x) >= 0:
            ahead += to_x - x
            x = to_x
            continue
        if ahead:
            parts.append(f"h{_write(ahead)}")
            ahead = 0
        if is_level:
            ahead = to_x - x
        elif match[1] is None:
            parts.append("z")
        elif match[1] == "M":
            parts.append(f"M{_write(to_x)} {_write(to_y)}")
        elif to_x == x:
            parts.append(f"v{_write(to_y - y)}")
        else:
            parts.append(f"l{_write(to_x - x)} {_write(to_y - y)}")
        x, y = to_x, to_y
    return "".join(parts) + (f"h{_write(ahead)}" if ahead else "")


def _tenths(number: str) -> int:
    return round(float(number) * 10)


def _write(tenths: int) -> str:
    sign, whole, part = "-" if tenths < 0 else "", abs(tenths) // 10, abs(tenths) % 10
    return f"{sign}{whole or ''}.{part}" if part else f"{sign}{whole}"
