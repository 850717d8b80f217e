# SPDX-License-Identifier: MIT
"""What each command does: from its arguments to the call that does it.

A command imports what it needs itself, so that ``aodasync status`` loads no numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import aodasync
from aodasync.cli.bundle_commands import bundles, report
from aodasync.cli.help import explain, version
from aodasync.cli.run import load, load_output_dir, run
from aodasync.errors import ExitCode
from aodasync.host.printable import PrintableStream

if TYPE_CHECKING:
    from aodasync.cli.slow import Wanted

__all__ = ["COMMANDS"]

_REPLAY_DIR = Path("aodasync-replay")
_STATUS_SEC = 10.0
_SNAPSHOT_SEC = 120.0


def _replay(arguments: argparse.Namespace) -> int:
    import asyncio

    from aodasync.bundle.archive import read_manifest
    from aodasync.bundle.output_dir import OutputDirectory
    from aodasync.cli.bundle_ids import find_bundle
    from aodasync.config import load_output_dir as load_bundles_dir
    from aodasync.host.logs import configure
    from aodasync.replay import replay

    file = arguments.file
    if file is None:
        file = Path(aodasync.__file__).parent / "recordings" / "slow_server"
        arguments.config = arguments.config or file / "config.yaml"
    else:
        file = find_bundle(partial(load_bundles_dir, arguments.config), str(file))
    config = load(arguments, output_dir=_REPLAY_DIR)
    read_manifest(file)  # before a directory is made for what comes of it
    os.umask(0o077)
    log = configure(level=arguments.log_level, fmt=arguments.log_format)
    with OutputDirectory.prepare(config.output_dir) as output:
        asyncio.run(replay(file, config, output, speed=arguments.speed, log=log))
    return ExitCode.OK


def _doctor(arguments: argparse.Namespace) -> int:
    import asyncio

    from aodasync.cli.doctor.diagnosis import as_json, as_text, diagnose, exit_code
    from aodasync.cli.doctor.left_out import retry_actions
    from aodasync.host.state_file import CACHE_DIR

    if arguments.retry:
        print(retry_actions())
        return ExitCode.OK
    checks = asyncio.run(
        diagnose(partial(load, arguments), partial(load_output_dir, arguments), CACHE_DIR)
    )
    print(as_json(checks) if arguments.json else as_text(checks))
    return exit_code(checks)


def _status(arguments: argparse.Namespace) -> int:
    from aodasync.cli.ask_agent import ask
    from aodasync.cli.status_screen import narrowed, summary

    status = narrowed(ask("status", timeout_sec=_STATUS_SEC), arguments.server)
    if arguments.json:
        print(json.dumps(status, indent=2))
    elif arguments.all:
        from aodasync.status import render

        print(render(status), end="")
    else:
        print(summary(status), end="")
    return ExitCode.OK


def _top(arguments: argparse.Namespace) -> int:
    from aodasync.cli.top import top

    return top(
        seconds=arguments.seconds,
        view=arguments.view,
        once=arguments.once,
        json_=arguments.json,
        out=_raw(sys.stdout),
    )


def _raw(stream: TextIO) -> TextIO:
    """The stream itself, for what is drawn with escape sequences."""
    return stream.raw if isinstance(stream, PrintableStream) else stream


def _wanted(arguments: argparse.Namespace, *, errors: bool = False) -> Wanted:
    from aodasync.cli.slow import Wanted

    return Wanted(
        min_ms=arguments.min_ms if arguments.min_ms is not None else 0.0 if errors else 10.0,
        server=arguments.server,
        share=arguments.share,
        command=arguments.smb_command,
        pid=arguments.pid,
        errors=errors,
    )


def _slow(arguments: argparse.Namespace) -> int:
    from aodasync.cli.slow import slow

    wanted = _wanted(arguments, errors=arguments.errors)
    return slow(wanted, as_json=arguments.json, seconds=arguments.seconds, out=sys.stdout)


def _inflight(arguments: argparse.Namespace) -> int:
    from aodasync.cli.slow import inflight

    return inflight(_wanted(arguments), as_json=arguments.json, out=sys.stdout)


def _metrics(_arguments: argparse.Namespace) -> int:
    from aodasync.cli.ask_agent import ask
    from aodasync.live.prometheus import exposition

    sys.stdout.write(exposition(ask("metrics", timeout_sec=_STATUS_SEC)).decode())
    return ExitCode.OK


def _check(_arguments: argparse.Namespace) -> int:
    from aodasync.cli.check import check

    return check(sys.stdout)


def _why(arguments: argparse.Namespace) -> int:
    from aodasync.cli.bundle_ids import find_bundle
    from aodasync.cli.why import why
    from aodasync.host.state_file import STATE_DIR

    stored = partial(find_bundle, partial(load_output_dir, arguments))
    return why(
        STATE_DIR, arguments.episode, as_json=arguments.json, out=sys.stdout, find_bundle=stored
    )


def _since_ns(arguments: argparse.Namespace) -> int:
    import time

    from aodasync.cli.since import parse_since

    given = arguments.since
    return parse_since(given, now_ns=time.time_ns()) if given is not None else 0


def _history(arguments: argparse.Namespace) -> int:
    from aodasync.cli.history import list_history
    from aodasync.host.state_file import STATE_DIR

    return list_history(
        STATE_DIR,
        since_ns=_since_ns(arguments),
        server=arguments.server,
        as_json=arguments.json,
        out=sys.stdout,
    )


def _suggest(arguments: argparse.Namespace) -> int:
    from aodasync.cli.suggest import suggest
    from aodasync.host.state_file import STATE_DIR

    since_ns = _since_ns(arguments)
    return suggest(STATE_DIR, since_ns=since_ns, as_json=arguments.json, out=sys.stdout)


def _snapshot(_arguments: argparse.Namespace) -> int:
    from aodasync.cli.ask_agent import ask

    print(ask("snapshot", timeout_sec=_SNAPSHOT_SEC)["path"])
    return ExitCode.OK


def _check_config(arguments: argparse.Namespace) -> int:
    from aodasync.cli import check_config

    return check_config.check_config(
        arguments.file or arguments.config,
        as_json=arguments.json,
        strict=arguments.strict,
        changed=arguments.changed,
        out=sys.stdout,
        err=sys.stderr,
    )


def _config_schema(_arguments: argparse.Namespace) -> int:
    from aodasync.cli import check_config

    return check_config.config_schema(sys.stdout)


def _schema(arguments: argparse.Namespace) -> int:
    from aodasync.cli.schemas import schema_of

    print(json.dumps(schema_of(arguments.name), indent=2))
    return ExitCode.OK


def _probe(arguments: argparse.Namespace) -> int:
    from aodasync.cli.probe import export_to, import_from
    from aodasync.host.state_file import CACHE_DIR

    if arguments.action == "import":
        return import_from(arguments.file, out=sys.stdout)
    return export_to(arguments.file, CACHE_DIR, out=sys.stdout)


def _of_agent(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command that shows what the running agent says."""

    def run_command(arguments: argparse.Namespace) -> int:
        from aodasync.cli.ask_agent import understood

        with understood():
            return command(arguments)

    return run_command


COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": run,
    "replay": _replay,
    "doctor": _doctor,
    "status": _of_agent(_status),
    "snapshot": _of_agent(_snapshot),
    "top": _of_agent(_top),
    "slow": _of_agent(_slow),
    "inflight": _of_agent(_inflight),
    "why": _why,
    "metrics": _of_agent(_metrics),
    "check": _check,
    "history": _history,
    "suggest": _suggest,
    "bundles": bundles,
    "report": report,
    "probe": _probe,
    "check-config": _check_config,
    "config-schema": _config_schema,
    "schema": _schema,
    "help": explain,
    "version": version,
}
