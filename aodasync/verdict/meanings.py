# SPDX-License-Identifier: MIT
"""What NTSTATUS names have in common: which kind of thing the server lacks, or refuses."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aodasync.smb.ntstatus import status_names

__all__ = [
    "AT_A_LIMIT",
    "FAULTY_STORAGE",
    "HANDLES_GONE",
    "HELD",
    "HELD_BACK",
    "IN_VAIN",
    "NOT_ON_DISK",
    "NO_RIGHT",
    "NO_ROOM",
    "READ_ONLY",
    "login_meaning",
]

NO_RIGHT: Final = status_names("ACCESS_DENIED")
FAULTY_STORAGE: Final = status_names(
    "CRC_ERROR DATA_ERROR DEVICE_DATA_ERROR DEVICE_NOT_READY DISK_CORRUPT_ERROR"
    " FILE_CORRUPT_ERROR IO_DEVICE_ERROR IO_TIMEOUT UNEXPECTED_IO_ERROR VOLUME_DISMOUNTED"
)
NO_ROOM: Final = status_names("DISK_FULL DISK_QUOTA_EXCEEDED QUOTA_EXCEEDED")
AT_A_LIMIT: Final = status_names(
    "INSUFFICIENT_RESOURCES INSUFF_SERVER_RESOURCES LICENSE_QUOTA_EXCEEDED NETWORK_BUSY NO_MEMORY"
    " REMOTE_SESSION_LIMIT REQUEST_NOT_ACCEPTED SERVER_UNAVAILABLE TOO_MANY_COMMANDS"
    " TOO_MANY_OPENED_FILES TOO_MANY_SESSIONS"
)
HELD: Final = status_names(
    "DELETE_PENDING FILE_LOCK_CONFLICT LOCK_NOT_GRANTED OPLOCK_NOT_GRANTED SHARING_VIOLATION"
    " USER_MAPPED_FILE"
)
HANDLES_GONE: Final = status_names("FILE_CLOSED FILE_FORCED_CLOSED INVALID_HANDLE")
NOT_ON_DISK: Final = status_names(
    "CLOUD_FILE_NETWORK_UNAVAILABLE CLOUD_FILE_PROVIDER_NOT_RUNNING CLOUD_FILE_PROVIDER_TERMINATED"
    " CLOUD_FILE_REQUEST_TIMEOUT CLOUD_FILE_UNSUCCESSFUL FILE_IS_OFFLINE FILE_NOT_AVAILABLE"
)
READ_ONLY: Final = status_names("CLOUD_FILE_READ_ONLY_VOLUME MEDIA_WRITE_PROTECTED")
HELD_BACK: Final = status_names("VIRUS_DELETED VIRUS_INFECTED")
IN_VAIN: Final = status_names(
    "CANNOT_DELETE DIRECTORY_NOT_EMPTY EAS_NOT_SUPPORTED EA_TOO_LARGE END_OF_FILE"
    " FILE_IS_A_DIRECTORY FS_DRIVER_REQUIRED INVALID_DEVICE_REQUEST INVALID_INFO_CLASS"
    " INVALID_PARAMETER NAME_TOO_LONG NOT_A_DIRECTORY NOT_A_REPARSE_POINT NOT_FOUND"
    " NOT_IMPLEMENTED NOT_SAME_DEVICE NOT_SUPPORTED NO_EAS_ON_FILE NO_MORE_FILES NO_SUCH_FILE"
    " OBJECT_NAME_COLLISION OBJECT_NAME_INVALID OBJECT_NAME_NOT_FOUND OBJECT_PATH_INVALID"
    " OBJECT_PATH_NOT_FOUND OBJECT_PATH_SYNTAX_BAD RANGE_NOT_LOCKED"
)
"""Of requests that no server in this state of its files could grant."""

_LOGINS: Final = (
    (
        status_names("INVALID_ACCOUNT_NAME LOGON_FAILURE NO_SUCH_USER WRONG_PASSWORD"),
        "the user name or the password of the mount is wrong, or was changed",
    ),
    (
        status_names("PASSWORD_EXPIRED PASSWORD_MUST_CHANGE"),
        "the password of the mount has expired and must be changed",
    ),
    (
        status_names("ACCOUNT_LOCKED_OUT"),
        (
            "the account of the mount is locked out, as a rule after logins with a wrong password"
            " (perhaps this mount's own, which tries again and again)"
        ),
    ),
    (
        status_names("ACCOUNT_DISABLED ACCOUNT_EXPIRED"),
        "the account of the mount is disabled, or has expired",
    ),
    (
        status_names("LOGON_NOT_GRANTED LOGON_TYPE_NOT_GRANTED NETWORK_ACCESS_DENIED"),
        "the account of the mount may not log in to this server over the network",
    ),
    (
        status_names(
            "INVALID_LOGON_HOURS INVALID_WORKSTATION LOGIN_TIME_RESTRICTION LOGIN_WKSTA_RESTRICTION"
        ),
        "the account of the mount may not log in at this time, or not from this host",
    ),
    (
        status_names("KDC_UNKNOWN_ETYPE NTLM_BLOCKED"),
        (
            "the server or its domain does not accept this kind of login (mount option sec=, or the"
            " encryption types of Kerberos)"
        ),
    ),
    (
        status_names("NETWORK_SESSION_EXPIRED"),
        "the Kerberos ticket of the mount's user has run out",
    ),
)
_ANY_LOGIN: Final = (
    "the password or the account of the mount is wrong, expired, locked or not allowed to log in"
)


def login_meaning(statuses: Collection[str]) -> str:
    """Why logins were refused with these; what may be, where they do not agree."""
    return next((meaning for names, meaning in _LOGINS if names.issuperset(statuses)), _ANY_LOGIN)
