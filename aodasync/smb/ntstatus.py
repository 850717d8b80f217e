# SPDX-License-Identifier: MIT
"""NTSTATUS values, their names, and the errno the kernel's SMB client makes of them.

The facts are in ``ntstatus.tsv`` beside this module; its header names their
sources. The table is read once, when this module is imported (a millisecond or two).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from aodasync.smb.commands import COMMAND_CODES

__all__ = [
    "ANY_COMMAND",
    "EXPECTED_NOISE",
    "STATUS_CODES",
    "status_errno",
    "status_name",
]

_UNMAPPED_ERRNO: Final = "EIO"


def _read(table: Path) -> tuple[dict[int, str], dict[str, int], dict[int, str]]:
    """Names by value, values by name (aliases last), errno names by value."""
    names: dict[int, str] = {}
    codes: dict[str, int] = {}
    errnos: dict[int, str] = {}
    aliases: dict[str, int] = {}
    for line in table.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        value, name, errno, *others = line.split("\t")
        code = int(value, 16)
        names[code] = name
        codes[name] = code
        if errno == "-":
            errnos[code] = ""
        elif errno != _UNMAPPED_ERRNO:
            errnos[code] = errno
        if others:
            aliases.update(dict.fromkeys(others[0].split(","), code))
    return names, codes | aliases, errnos


_NAMES, _CODES, _ERRNOS = _read(Path(__file__).with_suffix(".tsv"))

STATUS_CODES: Final[Mapping[str, int]] = MappingProxyType(_CODES)
"""Values by name: every name of MS-ERREF 2.3.1 that the kernel knows, aliases included."""

ANY_COMMAND: Final = -1
"""Stands for every command in :data:`EXPECTED_NOISE`."""


def _noise(status: str, command: str = "") -> tuple[int, int]:
    return (COMMAND_CODES[command] if command else ANY_COMMAND, STATUS_CODES[status])


EXPECTED_NOISE: Final = frozenset(
    {
        _noise("STATUS_OBJECT_NAME_NOT_FOUND", "SMB2_CREATE"),  # does the file exist? no
        _noise("STATUS_NO_MORE_FILES", "SMB2_QUERY_DIRECTORY"),  # the end of a listing
        _noise("STATUS_END_OF_FILE", "SMB2_READ"),
        _noise("STATUS_MORE_PROCESSING_REQUIRED", "SMB2_SESSION_SETUP"),  # first leg of a login
        _noise("STATUS_NOT_FOUND", "SMB2_IOCTL"),  # DFS referral of a share that has none
        _noise("STATUS_FS_DRIVER_REQUIRED", "SMB2_IOCTL"),  # the same, of a server without DFS
        _noise("STATUS_BUFFER_OVERFLOW"),  # a warning: there is more than was asked for
        _noise("STATUS_STOPPED_ON_SYMLINK"),  # the client follows it and asks again
        _noise("STATUS_PENDING"),  # interim
    }
)
"""(command code or ANY_COMMAND, NTSTATUS) of responses that a healthy client gets all day."""


def status_name(code: int) -> str:
    """The name of a value; unknown ones as ``0xC0001234``."""
    return _NAMES.get(code) or f"0x{code:08X}"


def status_errno(code: int) -> str:
    """The errno name that the kernel maps a value to: "" for success, ``EIO`` for unknown ones.

    The names are those of AODv2's configuration: the kernel's EOPNOTSUPP is ``ENOTSUP``.
    """
    return _ERRNOS.get(code, _UNMAPPED_ERRNO)
