"""Turn the idle time of a Linux host into pilot containers, one stateless tick at a time.

A tick is one run of ``plancton-tick``, fired by a systemd timer::

    config ─┐
    host ───┼─> observe ─> decide (pure) ─> act ─> report
    engine ─┘

Nothing is kept between two ticks but labels in the engine, so a tick may be killed, upgraded or
run twice at any moment. Two rules keep the package that way, and a test enforces both:

1. Each third-party package is imported by exactly one module.
2. ``decide.py`` reads no clock, file, socket, environment or random source; the observation's
   ``taken_at`` is its only time.
"""

__version__ = "1.0.0"
