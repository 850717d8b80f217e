# SPDX-License-Identifier: MIT
"""The names that ``track_codes`` and ``exclude_codes`` may hold, and those of commands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aodasync.smb.commands import COMMANDS
from aodasync.smb.errnos import ERRNO_ALIASES, ERRNOS
from aodasync.smb.ntstatus import STATUS_CODES, status_errno, status_name

__all__ = ["CODE_NAMES", "COMMAND_NAMES", "ERRNO_NAMES"]

COMMAND_NAMES: Final[Mapping[str, str]] = MappingProxyType({name: name for name in COMMANDS})
"""Commands by name, in command order."""

ERRNO_NAMES: Final = tuple(sorted(ERRNOS))
"""Every errno that can be tracked, sorted: mode ``all``."""

CODE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {name: name for name in ERRNO_NAMES}
    | dict(ERRNO_ALIASES)
    | {name: status_name(code) for name, code in STATUS_CODES.items() if status_errno(code)}
)
"""The name that is used, by every name that is accepted: errnos, and NTSTATUS that are errors."""
