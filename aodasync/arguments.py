# SPDX-License-Identifier: MIT
"""The arguments of the command line."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NoReturn

from aodasync import __version__
from aodasync.errors import UsageError

__all__ = ["parser"]


class _Parser(argparse.ArgumentParser):
    """argparse with our exit code and our one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Its result names the command in ``command``; what it cannot parse is a UsageError."""
    top = _Parser(
        prog="aodasync",
        description="Always-on diagnostics for Linux SMB/CIFS clients.",
        epilog="Without a command: run. Exit codes: 0 ok, 1 failure, 64 usage, 69 something"
        " needed is missing, 77 not permitted, 78 configuration.",
    )
    top.add_argument("--version", action="version", version=f"aodasync {__version__}")
    common = _common(top)
    commands = top.add_subparsers(metavar="COMMAND", dest="command")
    top.set_defaults(command="run")

    commands.add_parser("run", parents=[common], help="run the agent in the foreground (root)")

    check = commands.add_parser(
        "check-config", parents=[common], help="validate a configuration and print what it means"
    )
    check.add_argument("file", nargs="?", type=Path, metavar="FILE")
    check.add_argument("--json", action="store_true", help="print JSON")

    commands.add_parser(
        "config-schema", parents=[common], help="print the JSON Schema of the configuration"
    )

    replay = commands.add_parser(
        "replay", parents=[common], help="run the pipeline on a bundle or a recording"
    )
    replay.add_argument("file", type=Path, metavar="FILE")
    replay.add_argument(
        "--speed", type=_speed, default=math.inf, metavar="max|X", help="times real time (max)"
    )

    doctor = commands.add_parser(
        "doctor", parents=[common], help="what works on this host, and how to mend the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")

    status = commands.add_parser("status", parents=[common], help="the running agent's live state")
    status.add_argument("--json", action="store_true", help="print JSON")

    commands.add_parser("snapshot", parents=[common], help="ask the running agent for a bundle now")

    bundles = commands.add_parser(
        "bundles", parents=[common], help="list, show, verify or anonymise bundles"
    )
    bundles.add_argument("action", nargs="?", choices=("ls", "show", "verify", "anonymise"))
    bundles.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a path, or a bundle's name")
    bundles.add_argument("--json", action="store_true", help="print JSON")
    bundles.add_argument("-o", dest="target", type=Path, metavar="DIR", help="for anonymise")

    report = commands.add_parser(
        "report", parents=[common], help="a bundle as one self-contained HTML page"
    )
    report.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a path, or a bundle's name")
    report.add_argument("-o", dest="target", type=Path, metavar="FILE", help="- for stdout")
    return top


def _common(parser: argparse.ArgumentParser) -> _Parser:
    """The common options, good before and after the command."""
    after = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for target in (parser, after):
        target.add_argument("--config", type=Path, metavar="FILE", help="configuration file")
        target.add_argument(
            "--output-dir", type=Path, metavar="DIR", help="where bundles go (aod_output_dir)"
        )
        target.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
        target.add_argument("--log-format", choices=("auto", "json", "console"))
    parser.set_defaults(log_level="info", log_format="auto")
    return after


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'max' nor a number above 0")
    return speed
