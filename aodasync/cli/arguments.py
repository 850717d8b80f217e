# SPDX-License-Identifier: MIT
"""The arguments of the command line."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Final

from aodasync import __version__
from aodasync.cli.bundle_arguments import add_bundles
from aodasync.cli.parsing import (
    SINCE_HELP,
    Commands,
    Parser,
    common_options,
    milliseconds,
    path,
    seconds,
    speed,
    whole,
)

__all__ = ["SCHEMA_NAMES", "parser"]

SCHEMA_NAMES: Final = (
    *("manifest", "status", "history", "config", "why", "top", "slow", "inflight"),
    *("bundles", "verify", "events", "diff", "check-config", "doctor"),
    "suggest",
)
"""What ``aodasync schema`` takes. The schemas themselves take too long to import for each start."""


_ELSEWHERE: Final = MappingProxyType(
    {
        **{word: f"bundles {word}" for word in ("ls", "show", "events", "diff", "verify")},
        **dict.fromkeys(("anonymise", "anonymize", "redact"), "bundles anonymise"),
        **dict.fromkeys(("list", "bundle"), "bundles"),
        **dict.fromkeys(("start", "daemon", "agent", "monitor", "watch"), "run"),
        **dict.fromkeys(("config", "validate", "lint", "checkconfig"), "check-config"),
        **dict.fromkeys(("hang", "hangs", "hung", "pending", "in-flight"), "inflight"),
        **dict.fromkeys(("episodes", "log", "logs", "incidents"), "history"),
        **dict.fromkeys(("explain", "last", "diagnose", "latest"), "why"),
        **dict.fromkeys(("live", "stat", "iostat"), "top"),
        **dict.fromkeys(("tail", "trace", "slower"), "slow"),
        **dict.fromkeys(("html", "page"), "report"),
        **dict.fromkeys(("thresholds", "tune"), "suggest"),
        **dict.fromkeys(("test", "selftest", "preflight"), "doctor"),
        **dict.fromkeys(("collect", "capture", "dump", "trigger"), "snapshot"),
        **dict.fromkeys(("prometheus", "exporter"), "metrics"),
        **dict.fromkeys(("nagios", "icinga", "health"), "check"),
        **{word: f"probe {word}" for word in ("export", "import")},
        **{word: f"systemctl {word} aodasync" for word in ("stop", "restart", "reload", "enable")},
    }
)
"""Words that other tools have for what a command does, and actions of two commands."""


def parser() -> Parser:
    """Its result names the command in ``command``; what it cannot parse is a UsageError."""
    top = Parser(
        prog="aodasync",
        description="Always-on diagnostics for Linux SMB/CIFS clients.",
        epilog="Without a command: run. When a share is slow: aodasync why, aodasync top, aodasync"
        " slow 100; to send it to somebody: aodasync report. Exit codes: 0 ok, 1 failure, 64 usage,"
        " 69 something needed is missing, 77 not permitted, 78 configuration.",
    )
    top.elsewhere = _ELSEWHERE
    top.add_argument("-V", "--version", action="version", version=f"aodasync {__version__}")
    common = common_options(top)
    commands = top.add_subparsers(metavar="COMMAND", dest="command")
    top.set_defaults(command="run")

    commands.add_parser("run", parents=[common], help="run the agent in the foreground (root)")

    check = commands.add_parser(
        "check-config", parents=[common], help="validate a configuration and print what it means"
    )
    check.add_argument(
        "file", nargs="?", type=path, metavar="FILE", help="without: what the agent would use"
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument(
        "--changed", action="store_true", help="print what differs from the defaults alone"
    )
    check.add_argument("--strict", action="store_true", help="refuse a file that has warnings")

    commands.add_parser(
        "config-schema", parents=[common], help="print the JSON Schema of the configuration"
    )

    schema = commands.add_parser(
        "schema", parents=[common], help="print the JSON Schema of what a command prints as JSON"
    )
    schema.add_argument("name", choices=SCHEMA_NAMES, metavar="NAME", help=", ".join(SCHEMA_NAMES))

    replay = commands.add_parser(
        "replay", parents=[common], help="run the pipeline on a bundle or a recording"
    )
    which = "a bundle or a recording; without: the packaged one of a slow server"
    replay.add_argument("file", nargs="?", type=path, metavar="FILE", help=which)
    replay.add_argument(
        "--speed", type=speed, default=math.inf, metavar="max|X", help="times real time (max)"
    )

    doctor = commands.add_parser(
        "doctor", parents=[common], help="what works on this host, and how to fix the rest"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.add_argument(
        "--retry", action="store_true", help="try actions again that were left out after crashes"
    )

    status = commands.add_parser("status", parents=[common], help="the running agent's live state")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.add_argument("server", nargs="?", default="", metavar="SERVER", help="part of its name")
    status.add_argument("--all", action="store_true", help="every figure there is")

    explain = commands.add_parser("help", parents=[common], help="explain a command")
    explain.add_argument("word", nargs="*", metavar="COMMAND", help="without: name them all")
    commands.add_parser("version", parents=[common], help="print the version")

    _add_live(commands, common)
    _add_past(commands, common)
    _add_monitoring(commands, common)

    commands.add_parser("snapshot", parents=[common], help="ask the running agent for a bundle now")

    add_bundles(commands, common)
    probe = commands.add_parser(
        "probe", parents=[common], help="byte code for hosts of the same kernel layout, without bcc"
    )
    probe.add_argument("action", choices=("export", "import"))
    probe.add_argument("file", type=path, metavar="FILE", help="export: - for stdout")
    top.describe()
    return top


def _add_live(commands: Commands, common: Parser) -> None:
    """What the running agent sees now: top, slow, inflight."""
    top = commands.add_parser(
        "top", parents=[common], help="servers, shares, commands and processes, live"
    )
    top.add_argument(
        "-d", dest="seconds", type=seconds, default=1.0, metavar="SEC", help="between updates (1)"
    )
    top.add_argument(
        "--by",
        dest="view",
        choices=("all", "server", "share", "command", "process"),
        default="all",
        help="show one table alone",
    )
    top.add_argument("--once", action="store_true", help="print one interval and end")
    top.add_argument("--json", action="store_true", help="print one interval as JSON and end")

    slow = commands.add_parser("slow", parents=[common], help="slow requests, as they end")
    slow.add_argument(
        "min_ms",
        nargs="?",
        type=milliseconds,
        metavar="MIN_MS",
        help="the least latency in ms (10; with --errors 0)",
    )
    slow.add_argument("--errors", action="store_true", help="only those that failed")
    slow.add_argument("--seconds", type=seconds, metavar="SEC", help="end after so long")
    waiting = commands.add_parser(
        "inflight", parents=[common], help="requests that have not ended, the oldest first"
    )
    waiting.add_argument(
        "min_ms",
        nargs="?",
        type=milliseconds,
        default=0.0,
        metavar="MIN_MS",
        help="the least age in ms (0)",
    )
    for each in (slow, waiting):
        each.add_argument("--server", default="", metavar="TEXT", help="part of its name")
        each.add_argument("--share", default="", metavar="TEXT", help="part of its name")
        each.add_argument(
            "--command", dest="smb_command", default="", metavar="TEXT", help="as WRITE"
        )
        each.add_argument(
            "-p", dest="pid", type=whole(1), default=0, metavar="PID", help="of one process"
        )
        each.add_argument("--json", action="store_true", help="print JSON")


def _add_monitoring(commands: Commands, common: Parser) -> None:
    """What monitoring systems ask: metrics, check."""
    commands.add_parser("metrics", parents=[common], help="Prometheus metrics of the agent")
    commands.add_parser(
        "check",
        parents=[common],
        help="one line and an exit code for Nagios: 0 ok, 1 warning, 2 critical, 3 unknown",
    )


def _add_past(commands: Commands, common: Parser) -> None:
    """What happened, and what is usual: why, history, suggest."""
    why = commands.add_parser(
        "why",
        parents=[common],
        help="the open or newest episode: what, why, who suffered, what to do next",
    )
    why.add_argument(
        "episode",
        nargs="?",
        metavar="EPISODE|BUNDLE",
        help="an id out of history, a bundle, or latest; without: the open or newest episode",
    )
    why.add_argument("--json", action="store_true", help="print JSON")
    history = commands.add_parser(
        "history", parents=[common], help="the episodes of the last 90 days, a line each"
    )
    history.add_argument("--since", metavar="WHEN", help=SINCE_HELP)
    history.add_argument("--server", default="", metavar="TEXT", help="part of its name")
    history.add_argument("--json", action="store_true", help="print JSON")
    suggest = commands.add_parser(
        "suggest", parents=[common], help="thresholds for latency, from what was learnt"
    )
    when = f"compare with the episodes since {SINCE_HELP} (default: with all)"
    suggest.add_argument("--since", metavar="WHEN", help=when)
    suggest.add_argument("--json", action="store_true", help="print JSON")
