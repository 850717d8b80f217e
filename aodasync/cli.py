# SPDX-License-Identifier: MIT
"""The command line: arguments to calls, and every failure to one line and an exit code."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from aodasync import __version__
from aodasync import config as configuration
from aodasync.config.model import Config
from aodasync.errors import AodasyncError, ConfigError, ExitCode, NotPermittedError, UsageError

__all__ = ["main"]

_REPLAY_DIR = Path("aodasync-replay")
_STATUS_SEC = 10.0
_SNAPSHOT_SEC = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No traceback reaches a user."""
    debug = False
    try:
        arguments = _parser().parse_args(argv)
        debug = arguments.log_level == "debug"
        code: int = arguments.command(arguments)
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        # The reader of our output has gone; so shall we, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    except Exception as error:  # noqa: BLE001  # the one place that maps errors to exit codes
        return _report(_first(error), debug=debug)
    return code


def _first(error: BaseException) -> BaseException:
    """The error itself, or the first one of ours within a group."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [_first(e) for e in error.exceptions]
    return next((e for e in inner if isinstance(e, AodasyncError)), inner[0])


def _report(error: BaseException, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)
        count = len(error.problems)
        noun = "problem" if count == 1 else "problems"
        print(f"aodasync: error: {error.file}: {count} {noun} (see above)", file=sys.stderr)
        return error.exit_code
    if isinstance(error, AodasyncError):
        print(f"aodasync: error: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"aodasync: error: {type(error).__name__}: {error}"
        " (hint: this is a defect; run again with --log-level debug and report it)",
        file=sys.stderr,
    )
    return ExitCode.FAILURE


class _Parser(argparse.ArgumentParser):
    """argparse with our exit code and our one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="aodasync",
        description="Always-on diagnostics for Linux SMB/CIFS clients.",
        epilog="Without a command: run. Exit codes: 0 ok, 1 failure, 64 usage, 69 something"
        " needed is missing, 77 not permitted, 78 configuration.",
    )
    parser.add_argument("--version", action="version", version=f"aodasync {__version__}")
    common = _common(parser)
    parser.set_defaults(command=_run)
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser(
        "run", parents=[common], help="run the agent in the foreground (root)"
    )
    run.set_defaults(command=_run)

    check = commands.add_parser(
        "check-config", parents=[common], help="validate a configuration and print what it means"
    )
    check.add_argument("file", nargs="?", type=Path, metavar="FILE")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command=_check_config)

    schema = commands.add_parser(
        "config-schema", parents=[common], help="print the JSON Schema of the configuration"
    )
    schema.set_defaults(command=_config_schema)

    replay = commands.add_parser(
        "replay", parents=[common], help="run the pipeline on a bundle or a recording"
    )
    replay.add_argument("file", type=Path, metavar="FILE")
    replay.add_argument(
        "--speed", type=_speed, default=math.inf, metavar="max|X", help="times real time (max)"
    )
    replay.set_defaults(command=_replay)

    doctor = commands.add_parser(
        "doctor", parents=[common], help="what works on this host, and how to mend the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(command=_doctor)

    status = commands.add_parser("status", parents=[common], help="the running agent's live state")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(command=_status)

    snapshot = commands.add_parser(
        "snapshot", parents=[common], help="ask the running agent for a bundle now"
    )
    snapshot.set_defaults(command=_snapshot)

    bundles = commands.add_parser(
        "bundles", parents=[common], help="list, show, verify or anonymise bundles"
    )
    bundles.add_argument("action", nargs="?", choices=("ls", "show", "verify", "anonymise"))
    bundles.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a path, or a bundle's name")
    bundles.add_argument("--json", action="store_true", help="print JSON")
    bundles.add_argument("-o", dest="target", type=Path, metavar="DIR", help="for anonymise")
    bundles.set_defaults(command=_bundles)

    report = commands.add_parser(
        "report", parents=[common], help="a bundle as one self-contained HTML page"
    )
    report.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a path, or a bundle's name")
    report.add_argument("-o", dest="target", type=Path, metavar="FILE", help="- for stdout")
    report.set_defaults(command=_make_report)
    return parser


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


def _load(arguments: argparse.Namespace, *, output_dir: Path | None = None) -> Config:
    config = configuration.load(configuration.find(arguments.config))
    output_dir = arguments.output_dir or output_dir
    if output_dir is None:
        return config
    return dataclasses.replace(config, output_dir=output_dir.absolute())


def _run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise NotPermittedError("the agent must run as root", hint="sudo aodasync")
    from aodasync.footprint import apart, stay_small

    stay_small()
    config = apart(partial(_load, arguments))
    import asyncio

    from aodasync.agent import Agent
    from aodasync.bundle.output_dir import OutputDirectory
    from aodasync.lock import RUN_DIR, single_instance
    from aodasync.logs import configure

    os.umask(0o077)
    log = configure(level=arguments.log_level, fmt=arguments.log_format)
    for warning in config.warnings:
        log.warning("config_warning", message=warning)

    async def run() -> None:
        await Agent(config, output=output, run_dir=RUN_DIR, log=log).run()

    with single_instance(), OutputDirectory.prepare(config.output_dir) as output:
        if output.salvaged or output.removed:
            log.info("leftovers_found", salvaged=output.salvaged, removed=output.removed)
        asyncio.run(run())
    return ExitCode.OK


def _replay(arguments: argparse.Namespace) -> int:
    import asyncio

    from aodasync.bundle.output_dir import OutputDirectory
    from aodasync.logs import configure
    from aodasync.replay import replay

    config = _load(arguments, output_dir=_REPLAY_DIR)
    os.umask(0o077)
    log = configure(level=arguments.log_level, fmt=arguments.log_format)
    with OutputDirectory.prepare(config.output_dir) as output:
        asyncio.run(replay(arguments.file, config, output, speed=arguments.speed, log=log))
    return ExitCode.OK


def _doctor(arguments: argparse.Namespace) -> int:
    import asyncio

    from aodasync.agent import CACHE_DIR
    from aodasync.doctor import as_json, as_text, diagnose, failed

    checks = asyncio.run(diagnose(_load(arguments), CACHE_DIR))
    print(as_json(checks) if arguments.json else as_text(checks))
    return ExitCode.UNAVAILABLE if failed(checks) else ExitCode.OK


def _status(arguments: argparse.Namespace) -> int:
    from aodasync.control import ask
    from aodasync.status import render

    status = ask("status", timeout_sec=_STATUS_SEC)
    print(json.dumps(status, indent=2) if arguments.json else render(status))
    return ExitCode.OK


def _snapshot(_arguments: argparse.Namespace) -> int:
    from aodasync.control import ask

    print(ask("snapshot", timeout_sec=_SNAPSHOT_SEC)["path"])
    return ExitCode.OK


def _bundles(arguments: argparse.Namespace) -> int:
    from aodasync.commands import bundles

    directory = _load(arguments).output_dir
    if arguments.action in {None, "ls"}:
        return bundles.ls(directory, as_json=arguments.json, out=sys.stdout)
    if arguments.action == "verify":
        paths = bundles.stored_paths(directory, arguments.bundle)
        return bundles.verify_bundles(paths, as_json=arguments.json, out=sys.stdout)
    path = bundles.find_bundle(directory, arguments.bundle)
    if arguments.action == "show":
        return bundles.show(path, as_json=arguments.json, out=sys.stdout)
    return bundles.anonymise_bundle(path, arguments.target or Path.cwd(), out=sys.stdout)


def _make_report(arguments: argparse.Namespace) -> int:
    from aodasync.commands.bundles import find_bundle
    from aodasync.commands.report import report

    bundle = find_bundle(_load(arguments).output_dir, arguments.bundle)
    return report(bundle, arguments.target, sys.stdout)


def _check_config(arguments: argparse.Namespace) -> int:
    from aodasync.config import commands as config_commands

    path = configuration.find(arguments.file or arguments.config)
    return config_commands.check_config(
        path, as_json=arguments.json, out=sys.stdout, err=sys.stderr
    )


def _config_schema(_arguments: argparse.Namespace) -> int:
    from aodasync.config import commands as config_commands

    return config_commands.config_schema(sys.stdout)
