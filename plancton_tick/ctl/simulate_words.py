"""Words of a command line that mean times, sizes and parts."""

import argparse

from plancton_tick.ctl.simulate_tasks import Distribution, parse_distribution
from plancton_tick.units import parse_duration, parse_size


def read_span(text: str) -> float:
    """Read a time span, in seconds."""
    try:
        return parse_duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a time span such as 5min, got {text!r}"
        ) from None


def read_bytes(text: str) -> int:
    """Read a size, in bytes."""
    try:
        return parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a size such as 32G, got {text!r}") from None


def read_times(text: str) -> Distribution:
    """Read a distribution of times."""
    try:
        return parse_distribution(text)
    except ValueError as error:
        message = f"expected times such as 10min or lognormal:1h:0.5, got {text!r} ({error})"
        raise argparse.ArgumentTypeError(message) from None


def read_part(text: str) -> float:
    """Read a part of a whole."""
    try:
        part = float(text)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise argparse.ArgumentTypeError(f"expected a part from 0 to 1, got {text!r}")
    return part
