"""``planctonctl``: its verbs; the one place where their errors become messages and exit codes."""

import argparse
import importlib
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from plancton_tick import __version__
from plancton_tick.cli import DEFAULT_CONFIG
from plancton_tick.errors import EXIT_CONFIG, PlanctonError

PROGRAM = "planctonctl"
EXIT_INTERRUPTED = 130
EXIT_NOBODY_READS = 141
EXIT_CODES = (
    "exit codes: 0 done, 2 wrong usage, 69 engine or systemd unavailable, 71 host unreadable, "
    "75 not all could be done, 78 bad configuration"
)


class Verb(NamedTuple):
    """Where a verb is, and what it does in a few words. It is imported only when asked for."""

    module: str
    does: str


VERBS = {
    "status": Verb("plancton_tick.ctl.status", "what Plancton does on this host now"),
    "plan": Verb("plancton_tick.ctl.plan", "what the next tick would do, and why"),
    "drain": Verb("plancton_tick.ctl.drain", "no new pilots; those that run are left to finish"),
    "resume": Verb("plancton_tick.ctl.resume", "end a drain"),
    "start": Verb("plancton_tick.ctl.start", "turn the timer on"),
    "stop": Verb("plancton_tick.ctl.stop", "turn the timer off; pilots stay"),
    "force-stop": Verb("plancton_tick.ctl.force_stop", "drain, and end all pilots"),
    "check": Verb("plancton_tick.ctl.check", "whether a configuration is good, and what it means"),
    "migrate": Verb("plancton_tick.ctl.migrate", "a Plancton 0.6 file in today's keys"),
    "history": Verb("plancton_tick.ctl.history", "what pilots and owner did"),
    "simulate": Verb("plancton_tick.ctl.simulate", "what a policy would have done on some day"),
    "demo": Verb("plancton_tick.ctl.demo", "a minute of it on this host, removed afterwards"),
}

EXAMPLES = """\
planctonctl status                     how is it going?
planctonctl plan                       why is there no new pilot?
planctonctl drain --reason "upgrade"   no new pilots, for now
planctonctl resume                     go on
planctonctl VERB --help                more on a verb, with examples"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        exit_code = _dispatch(words)
        sys.stdout.flush()
    except PlanctonError as error:
        say_error(error)
        return EXIT_CONFIG if error.faults else error.exit_code
    except BrokenPipeError:
        # head(1) has seen enough. What the interpreter flushes at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_NOBODY_READS
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return EXIT_INTERRUPTED
    return exit_code


def say_error(error: PlanctonError) -> None:
    """Say what happened and why, and on a line of its own what to do now."""
    say_faults(error.faults)
    if error.message != "\n".join(error.faults):
        print(f"{PROGRAM}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"{PROGRAM}: {error.hint}", file=sys.stderr)


def say_faults(faults: Sequence[str]) -> None:
    """Say every fault of a configuration, a line each."""
    for fault in faults:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)


def _dispatch(words: list[str]) -> int:
    before, verb, after = _split(words)
    options = _make_parser().parse_args(before)
    if verb is None:
        _make_parser().print_help()
        return 0
    if verb not in VERBS:
        near = f"; did you mean {_nearest(verb)}?" if _nearest(verb) else ""
        _make_parser().error(f"there is no verb {verb!r}{near} (see {PROGRAM} --help)")
    module = importlib.import_module(VERBS[verb].module)
    if not hasattr(module, "add_arguments"):
        code: int = module.main(after)
        return code
    parser = _make_verb_parser(verb, module)
    exit_code: int = module.run(parser.parse_args(after, options))
    return exit_code


def _split(words: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Split the words at the verb: the first that is neither an option nor one's value."""
    at = 0
    while at < len(words):
        if not words[at].startswith("-"):
            return words[:at], words[at], words[at + 1 :]
        at += 2 if words[at] == "--config" else 1
    return words, None, []


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, VERBS)), "")


def _add_common(parser: argparse.ArgumentParser, *, is_first: bool) -> None:
    """Add what may stand before the verb and after it; the second says nothing unless given."""
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG if is_first else argparse.SUPPRESS,
        metavar="FILE",
        help=f"the configuration; drop-ins in config.d beside it are read too ({DEFAULT_CONFIG})",
    )
    parser.add_argument(
        "--user",
        action="store_true",
        default=False if is_first else argparse.SUPPRESS,
        help="the timer is one of your own systemd (systemctl --user), not the host's",
    )


def _make_parser() -> argparse.ArgumentParser:
    widest = max(map(len, VERBS))
    verbs = "\n".join(f"{name:{widest}}  {verb.does}" for name, verb in VERBS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--config FILE] [--user] VERB …",
        description="See and steer Plancton on this host.",
        epilog=f"verbs:\n{_indent(verbs)}\n\nexamples:\n{_indent(EXAMPLES)}\n\n"
        + _fill(EXIT_CODES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_common(parser, is_first=True)
    parser.add_argument("--version", action="version", version=f"plancton {__version__}")
    return parser


def _make_verb_parser(verb: str, module: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {verb}",
        description=_fill(module.HELP),
        epilog=f"examples:\n{_indent(module.EXAMPLES.strip())}\n\n" + _fill(EXIT_CODES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    _add_common(parser, is_first=False)
    return parser


def _fill(text: str) -> str:
    """Break paragraphs to the terminal's width."""
    width = min(79, shutil.get_terminal_size().columns - 1)
    paragraphs = (" ".join(each.split()) for each in text.strip().split("\n\n"))
    return "\n\n".join(textwrap.fill(each, max(20, width)) for each in paragraphs)


def _indent(text: str) -> str:
    return textwrap.indent(text, "  ")


if __name__ == "__main__":
    sys.exit(main())
