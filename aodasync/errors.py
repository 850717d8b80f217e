# SPDX-License-Identifier: MIT
"""Every failure a user can meet: what happened, how to fix it, and the exit code.

The command line prints one as ``aodasync: error: WHAT (hint: FIX)`` and exits
with its code (the numbers are those of sysexits.h). Anything else that escapes
is a defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "AgentAnswerError",
    "AgentUnreachableError",
    "AlreadyRunningError",
    "AodasyncError",
    "BpfError",
    "BundleError",
    "CompileError",
    "ConfigError",
    "ConfigProblem",
    "ExitCode",
    "LayoutError",
    "NotPermittedError",
    "OutputDirectoryError",
    "ProbeError",
    "RecordingError",
    "RequirementError",
    "UsageError",
    "first_of_ours",
]


class ExitCode(IntEnum):
    """Documented exit codes."""

    OK = 0
    FAILURE = 1
    USAGE = 64
    UNAVAILABLE = 69
    NOT_PERMITTED = 77
    CONFIG = 78


class AodasyncError(Exception):
    """Base of all; never raised itself."""

    exit_code: ExitCode = ExitCode.FAILURE

    def __init__(self, what: str, *, hint: str = "") -> None:
        if type(self) is AodasyncError:
            raise TypeError("raise a subclass of AodasyncError")
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} (hint: {self.hint})" if self.hint else self.what


class UsageError(AodasyncError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class RequirementError(AodasyncError):
    """Something the host must have is missing."""

    exit_code = ExitCode.UNAVAILABLE


class NotPermittedError(AodasyncError):
    """The caller may not do this; ``file`` is what may not be read, if that is it."""

    exit_code = ExitCode.NOT_PERMITTED

    def __init__(self, what: str, *, hint: str = "", file: str = "") -> None:
        super().__init__(what, hint=hint)
        self.file = file


class AgentUnreachableError(RequirementError):
    """The running agent cannot be asked."""


class AgentAnswerError(AgentUnreachableError):
    """The running agent answers, and what it says makes no sense here."""


class AlreadyRunningError(AodasyncError):
    """One agent a host."""


class ProbeError(RequirementError):
    """The kernel's SMB client cannot be probed."""


class LayoutError(ProbeError):
    """The running kernel's types are not the ones the probe knows; it is never guessed."""


class CompileError(ProbeError):
    """The BPF program could not be compiled."""


class BpfError(Exception):
    """A bpf(2) call failed; ``errno`` says how.

    Not an AodasyncError: of an attached probe it means that one read failed, which may be
    for want of memory at that moment. It is counted, and the read is tried again. Only
    ``probes.open_probe`` makes one fatal, by raising a ProbeError from it.
    """

    def __init__(self, what: str, errno: int, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.errno = errno
        self.hint = hint


class OutputDirectoryError(AodasyncError):
    """The output directory cannot be used safely."""


class BundleError(AodasyncError):
    """A bundle could not be written or read."""


class RecordingError(AodasyncError):
    """A recording cannot be replayed."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigProblem:
    """One fault of a configuration file; line and column count from 1."""

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        """The problem as ``FILE:LINE:COL: KEY: MESSAGE``."""
        return f"{self.file}:{self.line}:{self.column}: {self.key}: {self.message}"


class ConfigError(AodasyncError):
    """A configuration was refused; holds all of its problems, the first of which is in ``file``.

    ``warnings`` are what did not refuse it.
    """

    exit_code = ExitCode.CONFIG

    def __init__(
        self,
        file: str,
        problems: Sequence[ConfigProblem],
        *,
        hint: str = "",
        warnings: Sequence[ConfigProblem] = (),
    ) -> None:
        self.file = file
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)

    @property
    def summary(self) -> str:
        """How many problems, in which file or how many files."""
        files, count = {problem.file for problem in self.problems}, len(self.problems)
        where = f"{len(files)} files" if len(files) > 1 else self.file
        return f"{where}: {count} problem{'s' * (count != 1)}"


def first_of_ours(error: BaseException) -> BaseException:
    """The error itself, or the first one of ours within a group."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [first_of_ours(e) for e in error.exceptions]
    return next((e for e in inner if isinstance(e, AodasyncError)), inner[0])
