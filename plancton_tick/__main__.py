"""``python -m plancton_tick`` is one tick."""

from plancton_tick.cli import run_and_leave

run_and_leave()
