# SPDX-License-Identifier: MIT
"""Every failure a user can meet: what happened, how to mend it, and the exit code.

The command line prints one as ``aodasync: error: WHAT (hint: MEND)`` and exits
with its code (the numbers are those of sysexits.h). Anything else that escapes
is a defect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
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
    """The caller may not do this."""

    exit_code = ExitCode.NOT_PERMITTED


class AgentUnreachableError(RequirementError):
    """The running agent cannot be asked."""


class AlreadyRunningError(AodasyncError):
    """One agent a host."""


class ProbeError(RequirementError):
    """The kernel's SMB client cannot be probed."""


class LayoutError(ProbeError):
    """The running kernel's types are not the ones the probe knows; it is never guessed."""


class CompileError(ProbeError):
    """The BPF program could not be compiled."""


class BpfError(ProbeError):
    """A bpf(2) call failed; ``errno`` says how."""

    def __init__(self, what: str, errno: int, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.errno = errno


class OutputDirectoryError(AodasyncError):
    """The output directory cannot be used safely."""


class BundleError(AodasyncError):
    """A bundle could not be written or read."""


class RecordingError(AodasyncError):
    """A recording cannot be replayed."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigProblem:
    """One fault of a configuration file; line and column count from 1."""

    line: int
    column: int
    key: str
    message: str

    def at(self, file: str) -> str:
        """The problem as ``FILE:LINE:COL: KEY: MESSAGE``."""
        return f"{file}:{self.line}:{self.column}: {self.key}: {self.message}"


class ConfigError(AodasyncError):
    """A configuration file was refused; holds all of its problems in file order."""

    exit_code = ExitCode.CONFIG

    def __init__(self, file: str, problems: list[ConfigProblem], *, hint: str = "") -> None:
        self.file = file
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.at(file) for problem in self.problems), hint=hint)
