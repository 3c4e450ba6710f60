"""What loading a configuration gives, alone in a file so that a cached one needs nothing else."""

from typing import NamedTuple

from plancton_tick.model import Config


class Loaded(NamedTuple):
    """A configuration, always complete, and what was found on the way.

    Where ``faults`` is not empty the faulty values are the defaults, and faulty pilot types are
    left out. Faults and notes are one line each, in file order; a note asks for nothing. ``files``
    holds the paths that were read, the main file first.
    """

    config: Config
    faults: tuple[str, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
