"""``planctonctl history``: what pilots and owner did, from the journal."""

import argparse

from plancton_tick.ctl.history_journal import Entry, read_file, read_journal
from plancton_tick.ctl.history_sum import History, sum_up
from plancton_tick.errors import EXIT_OK, TraceError

SINCE = "-24h"

HELP = f"""
Say what pilots and owner did, from the journal: pilots by type and outcome with the CPU time they
used, the part of the idle CPU that they harvested, how often and how fast pilots were given back,
and what each veto has cost. Nothing is changed, and no engine is needed.

Loads are known from samples: systemctl enable --now plancton-metrics.timer. Times are written as
for journalctl; without --since it is the last day ({SINCE}).
"""

EXAMPLES = """
planctonctl history                                  the last 24 hours
planctonctl history --since=-7d --svg week.svg       a week, as a picture too
planctonctl history --since yesterday --until today
planctonctl history --json | jq .harvested_share     for programs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options."""
    parser.add_argument(
        "--since", metavar="TIME", help=f"the first entry, as for journalctl ({SINCE})"
    )
    parser.add_argument("--until", metavar="TIME", help="the last entry, as for journalctl")
    parser.add_argument(
        "--journal", metavar="FILE", help="read what journalctl -o json printed, all of it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--svg", metavar="FILE", help="draw a picture")
    parser.add_argument("--png", metavar="FILE", help="draw a picture")
    parser.add_argument("--title", metavar="TEXT", help="of the picture")


def run(options: argparse.Namespace) -> int:
    """Read, sum up, print, draw; return 0."""
    files = {form: getattr(options, form) for form in ("svg", "png") if getattr(options, form)}
    if files:
        from plancton_tick.ctl.picture_files import import_picture

        # Asked for before the work is done: it is all for nothing if this fails.
        import_picture()
    entries = _read(options)
    if not entries:
        raise TraceError(
            "nothing of Plancton's is in that part of the journal",
            hint="is plancton.timer on, and may you read the journal of the system?",
        )
    history = sum_up(entries)
    if files:
        _draw(history, entries, options.title, files)
    _show(history, as_json=options.json)
    return EXIT_OK


def _read(options: argparse.Namespace) -> list[Entry]:
    if options.journal is None:
        return read_journal(options.since or SINCE, options.until, user=options.user)
    if options.since or options.until:
        raise TraceError("--since and --until choose from this host's journal, not from --journal")
    return read_file(options.journal)


def _show(history: History, *, as_json: bool) -> None:
    from plancton_tick.ctl.history_text import draw, to_json

    if as_json:
        print(to_json(history))
        return
    from plancton_tick.ctl.screen import Screen

    screen = Screen()
    screen.show(draw(screen, history))


def _draw(history: History, entries: list[Entry], title: str | None, files: dict[str, str]) -> None:
    from plancton_tick.ctl.history_picture import make_panel
    from plancton_tick.ctl.picture import draw

    panel = make_panel(history, entries)
    try:
        draw([panel], title or "What pilots and owner did", files)
    except OSError as error:
        raise TraceError(f"{error.filename}: cannot be written: {error.strerror}") from None
