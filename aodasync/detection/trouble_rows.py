# SPDX-License-Identifier: MIT
"""Which rows report trouble of a connection, and what they say. No state."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import (
    ANSWERED,
    REQUEST,
    RETRY,
    EventArray,
    Kind,
    Outcome,
)
from aodasync.evidence.arrays import is_in
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import (
    LEAST_ERROR,
    NEVER_AN_ERROR,
    OF_ANOTHER_SERVER,
    SESSION_ENDED,
    STATUS_CODES,
)

__all__ = [
    "COUNTED",
    "ECHO",
    "ENDED_BY_UMOUNT",
    "IO_TIMEOUT",
    "LOST_SHARE",
    "LOST_WRITES",
    "NEGOTIATE",
    "RECONNECTS",
    "SESSION_SETUP",
    "SHUTDOWN",
    "SIGNS",
    "TREE_CONNECT",
    "WAITED_FOR_BY_NONE",
    "WRITE",
    "Batch",
    "answered",
    "ended_session",
    "failed_writes",
    "is_lost_share",
    "is_refused_login",
    "suspects",
]

RECONNECTS: Final = frozenset({Kind.RECONNECT, Kind.PARTIAL_SEND_RECONNECT})
COUNTED: Final = frozenset(
    {
        Kind.CREDIT_TIMEOUT,
        Kind.INSUFFICIENT_CREDITS,
        Kind.RECONNECT_WITH_INVALID_CREDITS,
        Kind.SESSION_EXPIRED,
        Kind.SESSION_NOT_FOUND,
        Kind.KEY_EXPIRED,
        Kind.CONNECT_ERROR,
        Kind.FSYNC_ERROR,
        Kind.FLUSH_ERROR,
    }
)
"""The others are left out: LEASE_NOT_FOUND is a break that crossed a close, EIO has its
errno, and TREE_CONNECT_FAILED its response, which names the NTSTATUS. RECONNECT_DETECTED is an
echo, seconds after the new NEGOTIATE as well: credits of a request from before the reconnect are
given back (smb2_add_credits)."""
SIGNS: Final = frozenset(
    {
        *RECONNECTS,
        Kind.RECONNECT_WITH_INVALID_CREDITS,
        Kind.CREDIT_TIMEOUT,
        Kind.INSUFFICIENT_CREDITS,
        Kind.CONNECT_ERROR,
    }
)
"""What keeps operations waiting for credits, or for a reconnect."""
LOST_WRITES: Final = frozenset({Kind.FLUSH_ERROR, Kind.FSYNC_ERROR})

WAITED_FOR_BY_NONE: Final = frozenset(
    COMMAND_CODES[name]
    for name in (
        "SMB2_CHANGE_NOTIFY",
        "SMB2_CANCEL",
        "SMB2_ECHO",
        "SMB2_LOGOFF",
        "SMB2_OPLOCK_BREAK",
        "SMB2_TREE_DISCONNECT",
    )
)
"""Codes of commands that may be cut off without a program noticing it."""

SHUTDOWN: Final = int(Outcome.SHUTDOWN)
NEGOTIATE: Final = COMMAND_CODES["SMB2_NEGOTIATE"]
SESSION_SETUP: Final = COMMAND_CODES["SMB2_SESSION_SETUP"]
TREE_CONNECT: Final = COMMAND_CODES["SMB2_TREE_CONNECT"]
ECHO: Final = COMMAND_CODES["SMB2_ECHO"]
WRITE: Final = COMMAND_CODES["SMB2_WRITE"]
IO_TIMEOUT: Final = STATUS_CODES["STATUS_IO_TIMEOUT"]
LOST_SHARE: Final = STATUS_CODES["STATUS_NETWORK_NAME_DELETED"]
_SESSION_ENDED: Final = np.array(sorted(SESSION_ENDED), np.uint32)
ENDED_BY_UMOUNT: Final = frozenset(
    COMMAND_CODES[name]
    for name in (
        "SMB2_CHANGE_NOTIFY",
        "SMB2_CANCEL",
        "SMB2_CLOSE",
        "SMB2_ECHO",
        "SMB2_LOCK",
        "SMB2_LOGOFF",
        "SMB2_OPLOCK_BREAK",
        "SMB2_TREE_DISCONNECT",
    )
)
"""Codes of commands whose MID_SHUTDOWN means no loss."""


class Batch:
    """A batch, and which connections have requests up to a row of it."""

    def __init__(self, rows: EventArray) -> None:
        self.rows = rows
        self._first: dict[int, int] | None = None

    def has_request(self, connection: int, *, before: int) -> bool:
        """Whether a row before this one is a request of the connection."""
        if self._first is None:
            index = np.flatnonzero(self.rows["kind"] == REQUEST)[::-1]
            ids = self.rows["connection_id"][index]
            self._first = dict(zip(ids.tolist(), index.tolist(), strict=True))
        return self._first.get(connection, before) < before


def answered(rows: EventArray) -> npt.NDArray[np.bool_]:
    """The requests whose answer shows that the connection works again."""
    found: npt.NDArray[np.bool_] = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED)
    found &= (rows["command"] > SESSION_SETUP) & ~ended_session(rows)
    return found


def ended_session(rows: EventArray) -> npt.NDArray[np.bool_]:
    """The rows whose answer says that the session is over."""
    found: npt.NDArray[np.bool_] = is_in(rows["status"], _SESSION_ENDED)
    return found


def failed_writes(rows: EventArray) -> npt.NDArray[np.bool_]:
    """The WRITE requests that failed, or were not answered."""
    failed: npt.NDArray[np.bool_] = (rows["kind"] == REQUEST) & (rows["command"] == WRITE)
    failed &= (rows["status"] != 0) | (rows["outcome"] != ANSWERED)
    return failed


def suspects(rows: EventArray) -> npt.NDArray[np.bool_]:
    """The rows to look at one by one."""
    outcome, command, status = rows["outcome"], rows["command"], rows["status"]
    found = (rows["kind"] != REQUEST) | (command <= SESSION_SETUP) | (command == TREE_CONNECT)
    found |= (outcome == RETRY) | (outcome == SHUTDOWN) | (status == LOST_SHARE)
    found |= (status == IO_TIMEOUT) | ended_session(rows)
    which: npt.NDArray[np.bool_] = found
    return which


def is_refused_login(row: np.void) -> bool:
    """Whether a SESSION_SETUP, or the NEGOTIATE before it, was answered with an error."""
    login = row["kind"] == REQUEST and row["command"] <= SESSION_SETUP
    status = int(row["status"])
    failed = status >= LEAST_ERROR and status not in NEVER_AN_ERROR
    return bool(login and failed and row["outcome"] == ANSWERED)


def is_lost_share(row: np.void, status: int) -> bool:
    """Whether the response says that the share is gone, or cannot be connected to.

    One of a DFS root that is on another server is no loss.
    """
    if row["outcome"] != ANSWERED or status == OF_ANOTHER_SERVER:
        return False
    return status == LOST_SHARE or (bool(status) and row["command"] == TREE_CONNECT)
