# SPDX-License-Identifier: MIT
"""The arguments of ``aodasync bundles`` and ``aodasync report``."""

from __future__ import annotations

import argparse
from types import MappingProxyType
from typing import Final

from aodasync.cli.parsing import SINCE_HELP, Commands, Parser, milliseconds, path, whole

__all__ = ["add_bundles"]

_WHICH: Final = "a path, a name or the beginning of one, or latest; without: the newest"


_ELSEWHERE: Final = MappingProxyType(
    {
        "latest": "show latest",
        **dict.fromkeys(("info", "cat", "open", "view", "describe"), "show"),
        **dict.fromkeys(("check", "test", "validate"), "verify"),
        **dict.fromkeys(("compare", "cmp"), "diff"),
        **dict.fromkeys(("export", "csv", "requests"), "events"),
        **dict.fromkeys(("redact", "mask", "scrub"), "anonymise"),
    }
)
"""Words that other tools have for what an action does."""


def add_bundles(commands: Commands, common: Parser) -> None:
    """What is done with bundles: ls, show, events, diff, verify, anonymise; report."""
    bundles = commands.add_parser(
        "bundles", parents=[common], help="list, show, compare, verify or anonymise bundles"
    )
    # Good before the action, too, as they were when there were no sub-parsers.
    bundles.add_argument("--json", action="store_true", help="print JSON")
    bundles.add_argument("-o", dest="target", type=path, help=argparse.SUPPRESS)
    actions: Commands = bundles.add_subparsers(metavar="ACTION", dest="action")
    bundles.usual = "ls"
    bundles.elsewhere = _ELSEWHERE
    bundles.set_defaults(action="ls", most=0, since=None, anomaly="", server="")

    def action(name: str, said: str, *aliases: str, json: bool = True) -> Parser:
        added: Parser = actions.add_parser(name, parents=[common], help=said, aliases=aliases)
        added.set_defaults(action=name)
        if json:
            default = argparse.SUPPRESS
            added.add_argument("--json", action="store_true", default=default, help="print JSON")
        return added

    ls = action("ls", "the bundles that are there, the newest first", "list")
    ls.add_argument(
        "-n", dest="most", type=whole(0), default=0, metavar="N", help="the N newest (all)"
    )
    ls.add_argument("--since", metavar="WHEN", help=SINCE_HELP)
    ls.add_argument("--anomaly", default="", metavar="TEXT", help="part of its name")
    ls.add_argument("--server", default="", metavar="TEXT", help="part of its name")
    show = action("show", "what a bundle says: when, why, who, what next")
    show.add_argument("bundle", nargs="?", metavar="BUNDLE", help=_WHICH)
    show.add_argument("--all", dest="everything", action="store_true", help="all figures and files")
    events = action("events", "the requests of a bundle, one a line")
    events.add_argument("bundle", nargs="?", metavar="BUNDLE", help=_WHICH)
    events.add_argument("--csv", action="store_true", help="print CSV with a line of names")
    events.add_argument(
        "--parquet", type=path, metavar="FILE", help="write a Parquet file (needs DuckDB)"
    )
    events.add_argument(
        "--slower",
        type=milliseconds,
        default=0.0,
        metavar="MS",
        help="only of this latency or more",
    )
    diff = action("diff", "two bundles by command, process and phase")
    diff.add_argument("bundle", metavar="A", help=_WHICH.partition(";")[0])
    diff.add_argument("other", metavar="B", help="likewise")
    verify = action("verify", "whether bundles are whole; without BUNDLE: all")
    verify.add_argument("bundle", nargs="?", metavar="BUNDLE", help=_WHICH.partition(";")[0])
    anonymise = action(
        "anonymise", "a copy to give away, with other names", "anonymize", json=False
    )
    anonymise.add_argument("bundle", nargs="?", metavar="BUNDLE", help=_WHICH)
    anonymise.add_argument(
        "-o",
        dest="target",
        type=path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="where to (here)",
    )

    report = commands.add_parser(
        "report", parents=[common], help="a bundle as one self-contained HTML page"
    )
    report.add_argument("bundle", nargs="?", metavar="BUNDLE", help=_WHICH)
    report.add_argument(
        "-o", dest="target", type=path, metavar="FILE", help="or a directory; - for stdout"
    )
    report.add_argument("--force", action="store_true", help="replace FILE if it is there")
    report.add_argument("--open", action="store_true", help="show it in a browser")
    report.add_argument(
        "--all", action="store_true", help="all bundles and an index, into a directory (-o DIR)"
    )
