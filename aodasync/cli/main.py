# SPDX-License-Identifier: MIT
"""The command line: commands to calls, and every failure to one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

from aodasync.cli.arguments import parser
from aodasync.cli.commands import COMMANDS
from aodasync.errors import AodasyncError, ConfigError, ExitCode, first_of_ours
from aodasync.host.printable import PrintableStream, printable
from aodasync.host.signals import release

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. No traceback reaches a user.

    What is printed is printable, whatever a server, a process or a bundle calls itself.
    """
    _open_standard_streams()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", PrintableStream(stream)) for stream in before)
    try:
        try:
            code = _run_command(argv)
        finally:  # after --help, too, which ends by SystemExit
            sys.stdout.flush()
    except OSError as error:
        # What is still buffered cannot be written at the interpreter's end, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), before[0].fileno())
        if not isinstance(error, BrokenPipeError):  # there is nobody to read a word
            _say(f"standard output: {str(error.strerror).lower()}")
        return ExitCode.FAILURE
    finally:
        sys.stdout, sys.stderr = before
    return code


def _run_command(argv: Sequence[str] | None) -> int:
    debug = False
    try:
        arguments = parser().parse_args(argv)
        debug = arguments.log_level == "debug"
        if arguments.command != "run":
            release()
        return COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the one place that maps errors to exit codes
        return _report(first_of_ours(error), debug=debug)


def _open_standard_streams() -> None:
    """Have descriptors 0, 1 and 2, which a file would get otherwise, and their streams."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _report(error: BaseException, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, ConfigError):
        for problem in error.problems:
            _print(str(problem))
        hint = f" (hint: {error.hint})" if error.hint else ""
        _say(f"{error.summary} (see above){hint}")
        return error.exit_code
    if isinstance(error, AodasyncError):
        _say(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        of = f"{error.filename}: " if error.filename is not None else ""
        _say(f"{of}{error.strerror.lower()}")
        denied = isinstance(error, PermissionError)
        return ExitCode.NOT_PERMITTED if denied else ExitCode.FAILURE
    _say(
        f"{type(error).__name__}: {error}"
        " (hint: this is a defect; run again with --log-level debug and report it)"
    )
    return ExitCode.FAILURE


def _say(what: str) -> None:
    _print(f"aodasync: error: {what}")


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # the exit code says it, too
        print(printable(line), file=sys.stderr)
