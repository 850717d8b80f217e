# SPDX-License-Identifier: MIT
"""``aodasync help`` and ``aodasync version``: what the options of these names do, as commands."""

from __future__ import annotations

import argparse

from aodasync import __version__
from aodasync.cli.arguments import parser
from aodasync.errors import ExitCode

__all__ = ["explain", "version"]


def explain(arguments: argparse.Namespace) -> int:
    """Print the help of a command, or of all; ends by SystemExit, as ``--help`` does."""
    parser().parse_args([*arguments.word, "--help"])
    return ExitCode.OK


def version(_arguments: argparse.Namespace) -> int:
    """Print the version."""
    print(f"aodasync {__version__}")
    return ExitCode.OK
