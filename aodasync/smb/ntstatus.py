# SPDX-License-Identifier: MIT
"""NTSTATUS values, their names, and the errno the kernel's SMB client makes of them.

The facts are in ``ntstatus.tsv`` beside this module; its header names their
sources. The table is read once, when this module is imported (a millisecond or two).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from sys import intern
from types import MappingProxyType
from typing import Final

from aodasync.smb.commands import COMMAND_CODES

__all__ = [
    "ANY_COMMAND",
    "EXPECTED_IN_COMPOUND",
    "EXPECTED_NOISE",
    "LEAST_ERROR",
    "LOGIN_REFUSED",
    "LOGIN_UNCHECKED",
    "NEVER_AN_ERROR",
    "OF_ANOTHER_SERVER",
    "SESSION_ENDED",
    "STATUS_CODES",
    "is_expected",
    "status_errno",
    "status_name",
    "status_names",
]

_UNMAPPED_ERRNO: Final = "EIO"


def _read(table: Path) -> tuple[array[int], tuple[str, ...], tuple[str, ...], dict[str, int]]:
    """Values in rising order, the name and the errno of each, and values by name (aliases last)."""
    rows: list[tuple[int, str, str]] = []
    aliases: dict[str, int] = {}
    with table.open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            value, name, errno, *others = line.rstrip("\n").split("\t")
            code = int(value, 16)
            rows.append((code, name, intern("" if errno == "-" else errno)))
            if others:
                aliases.update(dict.fromkeys(others[0].split(","), code))
    codes = {name: code for code, name, _ in rows}
    rows.sort()
    values, names, errnos = zip(*rows, strict=True)
    return array("I", values), names, errnos, codes | aliases


# Columns: as dictionaries, they would take twice the memory for as long as the agent runs.
_VALUES, _NAMES, _ERRNOS, _CODES = _read(Path(__file__).with_suffix(".tsv"))

STATUS_CODES: Final[Mapping[str, int]] = MappingProxyType(_CODES)
"""Values by name: every name of MS-ERREF 2.3.1 that the kernel knows, aliases included."""


def _place(code: int) -> int | None:
    place = bisect_left(_VALUES, code)
    return place if place < len(_VALUES) and _VALUES[place] == code else None


def status_name(code: int) -> str:
    """The name of a value; unknown ones as ``0xC0001234``."""
    place = _place(code)
    return f"0x{code:08X}" if place is None else _NAMES[place]


ANY_COMMAND: Final = -1
"""Stands for every command in :data:`EXPECTED_NOISE`."""


def _noise(status: str, command: str = "") -> tuple[int, int]:
    return (COMMAND_CODES[command] if command else ANY_COMMAND, STATUS_CODES[status])


EXPECTED_NOISE: Final = frozenset(
    {
        _noise("STATUS_OBJECT_NAME_NOT_FOUND", "SMB2_CREATE"),  # does the file exist? no
        _noise("STATUS_OBJECT_PATH_NOT_FOUND", "SMB2_CREATE"),  # nor does its directory
        _noise("STATUS_OBJECT_NAME_COLLISION", "SMB2_CREATE"),  # O_EXCL, mkdir: it exists
        _noise("STATUS_NO_SUCH_FILE", "SMB2_QUERY_DIRECTORY"),  # a listing without a match
        _noise("STATUS_NO_MORE_FILES", "SMB2_QUERY_DIRECTORY"),  # the end of a listing
        _noise("STATUS_END_OF_FILE", "SMB2_READ"),
        _noise("STATUS_CANCELLED", "SMB2_CHANGE_NOTIFY"),  # the watch was closed
        _noise("STATUS_NOTIFY_CLEANUP", "SMB2_CHANGE_NOTIFY"),  # the directory was
        _noise("STATUS_NOTIFY_ENUM_DIR", "SMB2_CHANGE_NOTIFY"),  # too many changes to list
        _noise("STATUS_LOCK_NOT_GRANTED", "SMB2_LOCK"),  # F_GETLK tries the lock; others hold it
        _noise("STATUS_PATH_NOT_COVERED"),  # a DFS link: the client follows it
        _noise("STATUS_NO_EAS_ON_FILE"),  # getxattr of a file without attributes
        _noise("STATUS_MORE_PROCESSING_REQUIRED"),  # first leg of a login
        _noise("STATUS_NOT_FOUND", "SMB2_IOCTL"),  # DFS referral of a share that has none
        _noise("STATUS_FS_DRIVER_REQUIRED", "SMB2_IOCTL"),  # the same, of a server without DFS
        _noise("STATUS_BUFFER_OVERFLOW"),  # a warning: there is more than was asked for
        _noise("STATUS_STOPPED_ON_SYMLINK"),  # the client follows it and asks again
        _noise("STATUS_PENDING"),  # interim
    }
)
"""(command code or ANY_COMMAND, NTSTATUS) of responses that a healthy client gets all day."""

EXPECTED_IN_COMPOUND: Final = frozenset(
    status for command, status in EXPECTED_NOISE if command == COMMAND_CODES["SMB2_CREATE"]
)
"""NTSTATUS of a compound whose CREATE was answered so: all later parts fail like it (MS-SMB2
3.3.5.2.7.2)."""


def status_names(words: str) -> frozenset[str]:
    """``STATUS_`` before each word. Raises KeyError for one that names no NTSTATUS."""
    return frozenset(status_name(code) for code in _codes(words))


def _codes(words: str) -> frozenset[int]:
    return frozenset(STATUS_CODES[f"STATUS_{word}"] for word in words.split())


LOGIN_REFUSED: Final = _codes(
    "ACCESS_DENIED ACCOUNT_DISABLED ACCOUNT_EXPIRED ACCOUNT_LOCKED_OUT ACCOUNT_RESTRICTION"
    " AUTHENTICATION_FIREWALL_FAILED INVALID_ACCOUNT_NAME INVALID_LOGON_HOURS INVALID_WORKSTATION"
    " KDC_UNKNOWN_ETYPE LOGIN_TIME_RESTRICTION LOGIN_WKSTA_RESTRICTION LOGON_FAILURE"
    " LOGON_NOT_GRANTED LOGON_TYPE_NOT_GRANTED NETWORK_ACCESS_DENIED NETWORK_SESSION_EXPIRED"
    " NOLOGON_INTERDOMAIN_TRUST_ACCOUNT NOLOGON_SERVER_TRUST_ACCOUNT"
    " NOLOGON_WORKSTATION_TRUST_ACCOUNT NO_SUCH_DOMAIN NO_SUCH_USER NTLM_BLOCKED"
    " PASSWORD_EXPIRED PASSWORD_MUST_CHANGE PASSWORD_RESTRICTION SMARTCARD_LOGON_REQUIRED"
    " TIME_DIFFERENCE_AT_DC WRONG_PASSWORD"
)
"""NTSTATUS of a SESSION_SETUP that is the account's or the password's fault."""

LOGIN_UNCHECKED: Final = _codes(
    "BAD_NETWORK_PATH CANT_ACCESS_DOMAIN_INFO CONNECTION_REFUSED DOMAIN_CONTROLLER_NOT_FOUND"
    " DOMAIN_CTRLR_CONFIG_ERROR DOMAIN_TRUST_INCONSISTENT DS_BUSY DS_UNAVAILABLE HOST_UNREACHABLE"
    " INVALID_DOMAIN_STATE IO_TIMEOUT LOGON_SERVER_CONFLICT MUTUAL_AUTHENTICATION_FAILED"
    " NETLOGON_NOT_STARTED NETWORK_UNREACHABLE NO_LOGON_SERVERS NO_TRUST_LSA_SECRET"
    " NO_TRUST_SAM_ACCOUNT TRUSTED_DOMAIN_FAILURE TRUSTED_RELATIONSHIP_FAILURE TRUST_FAILURE"
)
"""NTSTATUS of a SESSION_SETUP that the server could not check: its domain's fault, or that of the
way to it (Samba passes on what winbindd met there)."""

SESSION_ENDED: Final = _codes("NETWORK_SESSION_EXPIRED USER_SESSION_DELETED")
"""NTSTATUS after which the client logs in again and repeats the request by itself."""

NEVER_AN_ERROR: Final = frozenset({STATUS_CODES["STATUS_MORE_PROCESSING_REQUIRED"]})
"""NTSTATUS of a step that succeeded: a login takes several."""

LEAST_ERROR: Final = 0xC0000000
"""From here on the severity of an NTSTATUS is error (MS-ERREF 2.3)."""

OF_ANOTHER_SERVER: Final = STATUS_CODES["STATUS_PATH_NOT_COVERED"]
"""NTSTATUS of a DFS link: the client asks the server that it leads to."""


def is_expected(command: int, status: int, *, in_compound: bool = False) -> bool:
    """Whether a healthy client gets this response all day."""
    if in_compound and status in EXPECTED_IN_COMPOUND:
        return True
    return not EXPECTED_NOISE.isdisjoint({(command, status), (ANY_COMMAND, status)})


def status_errno(code: int) -> str:
    """The errno name that the kernel maps a value to: "" for success, ``EIO`` for unknown ones.

    The names are those of AODv2's configuration: the kernel's EOPNOTSUPP is ``ENOTSUP``.
    """
    place = _place(code)
    return _UNMAPPED_ERRNO if place is None else _ERRNOS[place]
