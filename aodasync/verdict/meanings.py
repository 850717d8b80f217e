# SPDX-License-Identifier: MIT
"""What NTSTATUS names have in common: which kind of thing the server lacks, or refuses."""

from __future__ import annotations

from typing import Final

from aodasync.smb.ntstatus import status_names

__all__ = ["AT_A_LIMIT", "FAULTY_STORAGE", "NO_RIGHT", "NO_ROOM"]

NO_RIGHT: Final = status_names("ACCESS_DENIED")
FAULTY_STORAGE: Final = status_names(
    "CRC_ERROR DATA_ERROR DEVICE_DATA_ERROR DEVICE_NOT_READY DISK_CORRUPT_ERROR"
    " FILE_CORRUPT_ERROR IO_DEVICE_ERROR IO_TIMEOUT UNEXPECTED_IO_ERROR VOLUME_DISMOUNTED"
)
NO_ROOM: Final = status_names("DISK_FULL DISK_QUOTA_EXCEEDED QUOTA_EXCEEDED")
AT_A_LIMIT: Final = status_names(
    "INSUFFICIENT_RESOURCES INSUFF_SERVER_RESOURCES NETWORK_BUSY NO_MEMORY"
    " REMOTE_SESSION_LIMIT REQUEST_NOT_ACCEPTED SERVER_UNAVAILABLE TOO_MANY_COMMANDS"
    " TOO_MANY_OPENED_FILES TOO_MANY_SESSIONS"
)
