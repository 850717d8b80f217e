# SPDX-License-Identifier: MIT
"""The command line: commands to calls, and every failure to one line and an exit code."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from aodasync import config as configuration
from aodasync.arguments import parser
from aodasync.config.model import Config
from aodasync.errors import AodasyncError, ConfigError, ExitCode, NotPermittedError

__all__ = ["main"]

_REPLAY_DIR = Path("aodasync-replay")
_STATUS_SEC = 10.0
_SNAPSHOT_SEC = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No traceback reaches a user."""
    debug = False
    try:
        arguments = parser().parse_args(argv)
        debug = arguments.log_level == "debug"
        code = _COMMANDS[arguments.command](arguments)
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


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "replay": _replay,
    "doctor": _doctor,
    "status": _status,
    "snapshot": _snapshot,
    "bundles": _bundles,
    "report": _make_report,
    "check-config": _check_config,
    "config-schema": _config_schema,
}
