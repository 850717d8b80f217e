# SPDX-License-Identifier: MIT
"""What the command line is parsed by: argparse with our words, and values with bounds."""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias

from aodasync.errors import UsageError

__all__ = [
    "SINCE_HELP",
    "Commands",
    "Parser",
    "common_options",
    "milliseconds",
    "path",
    "seconds",
    "speed",
    "whole",
]


SINCE_HELP: Final = "7d, 12h, 2026-11-28, '2026-11-28 03:00'"


_HELP_WIDTH: Final = 78


class Parser(argparse.ArgumentParser):
    """argparse with our exit code and our one line.

    ``elsewhere`` are words that are no command here, each with what is meant by it; ``usual``
    is the action where none is named.
    """

    elsewhere: Mapping[str, str] = MappingProxyType({})
    usual: str = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class; where only options are given, they are those of ``usual``."""
        if self.usual and args and args[0].startswith("-") and not {"-h", "--help"} & {*args}:
            words = {word for _, parsers in self.below() for word in parsers}
            args = args if words & {*args} else [self.usual, *args]
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class; what nobody knows is told by the command that was given it."""
        given = sys.argv[1:] if args is None else list(args)
        found, unknown = self.parse_known_args(given, namespace)
        if unknown:
            parser = _used(self, found, given)
            options = [o for o in unknown if o.startswith("-")]
            near = _nearest(options[0].partition("=")[0], parser.options()) if options else ""
            meant = f"; did you mean {near}?" if near and near not in unknown else ""
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return found

    def options(self) -> list[str]:
        """What it takes, all spellings."""
        return list(self._option_string_actions)

    def below(self) -> Iterator[tuple[str, Mapping[str, Parser]]]:
        """Its commands or actions, under the name that the one that is given has in the result."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as for Commands
                yield action.dest, action.choices

    def describe(self) -> None:
        """Have each command say in its own help what the list of commands says of it."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as for Commands
                for listed in action._choices_actions:  # noqa: SLF001
                    parser = action.choices[listed.dest]
                    said = listed.help or ""
                    parser.description = f"{said[:1].upper()}{said[1:]}."
                    parser.describe()

    def format_help(self) -> str:
        """With examples, which no other run has to import."""
        from aodasync.cli.examples import EXAMPLES

        if lines := EXAMPLES.get(self.prog.partition(" ")[2]):
            self.formatter_class = argparse.RawDescriptionHelpFormatter
            self.description = textwrap.fill(self.description or "", _HELP_WIDTH)
            self.epilog = "\n  ".join(("examples:", *lines))
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """What cannot be parsed is a UsageError that names the help."""
        raise UsageError(message, hint=f"{self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        """As the base class, which passes over a full disk without a word."""
        (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Of words to choose from, name the one that was probably meant."""
        if action.choices is None or value in action.choices:
            return
        words = [str(choice) for choice in action.choices]
        near = self.elsewhere.get(str(value)) or _nearest(str(value), words)
        meant = f"; did you mean {near}?" if near else f" (choose from {', '.join(words)})"
        name = "/".join(action.option_strings) or action.metavar or action.dest
        raise argparse.ArgumentError(None, f"unknown {name}: {str(value)[:64]!r}{meant}")


def _used(parser: Parser, found: argparse.Namespace, given: Sequence[str]) -> Parser:
    """The parser of the command, or of the action of one, that was written."""
    for dest, parsers in parser.below():
        name = str(getattr(found, dest, ""))
        if name in parsers and set(given) & parsers.keys():
            return _used(parsers[name], found, given)
    return parser


def _nearest(word: str, words: Iterable[str]) -> str:
    """The one of ``words`` that was probably meant, in any capitalisation; else nothing."""
    by_fold = {each.casefold(): each for each in words}
    import difflib  # for a mistake alone: 150 KB in every agent otherwise

    near = difflib.get_close_matches(word.casefold()[:64], by_fold, 1)
    return by_fold[near[0]] if near else ""


# argparse has no public name for what add_subparsers() returns.
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001


def common_options(parser: argparse.ArgumentParser) -> Parser:
    """The common options, good before and after the command."""
    after = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for target in (parser, after):
        target.add_argument("--config", type=path, metavar="FILE", help="configuration file")
        target.add_argument(
            "--output-dir", type=path, metavar="DIR", help="where bundles go (aod_output_dir)"
        )
        target.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
        target.add_argument("--log-format", choices=("auto", "json", "console"))
    parser.set_defaults(log_level="info", log_format="auto")
    return after


def seconds(text: str) -> float:
    """From a tenth of one to a day."""
    return _number(text, 0.1, 86_400, "seconds")


def milliseconds(text: str) -> float:
    """Up to a day."""
    return _number(text, 0, 86_400_000, "milliseconds")


def _number(text: str, least: float, most: float, unit: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(
            f"expected {unit} from {least} to {most}, found {text[:64]!r}"
        )
    return number


def whole(least: int) -> Callable[[str], int]:
    """The kind of a whole number from ``least`` on."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            message = f"expected a whole number from {least} on, found {text[:64]!r}"
            raise argparse.ArgumentTypeError(message)
        return number

    return read


def path(text: str) -> Path:
    """A path; nothing is none, and above all not the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def speed(text: str) -> float:
    """Times real time; ``max`` is infinite."""
    if text == "max":
        return math.inf
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'max' nor a number above 0")
    return times
