# SPDX-License-Identifier: MIT
"""Which requests may wait for ever: those whose age or latency says nothing by itself.

CHANGE_NOTIFY and LOCK wait for what others do. Besides, an interim response
(STATUS_PENDING, MS-SMB2 3.3.4.2) announces that the server will take its time,
as for an open that waits for an oplock break. It excuses every command but READ,
WRITE and FLUSH, which wait for nothing but the disk: Samba announces each
of these that takes over half a millisecond (smbd_smb2_request_pending_queue), so
the excuse would hide a slow disk.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EventArray, Flag
from aodasync.evidence.arrays import is_in
from aodasync.smb.commands import COMMAND_CODES, COMMANDS, MAY_WAIT_FOREVER

__all__ = ["NEVER_EXCUSED", "WAIT_FOR_OTHERS", "announced_opens", "may_wait", "may_wait_for_ever"]

NEVER_EXCUSED: Final = frozenset({"SMB2_FLUSH", "SMB2_READ", "SMB2_WRITE"})
"""Commands that an interim response does not excuse."""

WAIT_FOR_OTHERS: Final = ("SMB2_CREATE", "SMB2_SET_INFO")
"""Commands that are announced where another client must give up its lease or oplock first:
an open, and a rename, a truncation or a deletion."""

# An enum's members take microseconds to look up and convert, too much for every batch.
_FOR_OTHERS: Final = np.array([COMMAND_CODES[name] for name in WAIT_FOR_OTHERS], np.uint16)
_ASYNC_RESPONSE: Final = int(Flag.ASYNC_RESPONSE)
# By command code; the last slot stands for every unknown command.
_AT_WILL: Final = np.array([name in MAY_WAIT_FOREVER for name in COMMANDS] + [False])
_EXCUSED: Final = np.array([name not in NEVER_EXCUSED for name in COMMANDS] + [True])


def announced_opens(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Which rows, shape (N,), are a CREATE or SET_INFO that the server announced as pending.

    As a rule it waits for another client to give up its lease or oplock.
    """
    announced = (rows["flags"] & _ASYNC_RESPONSE) != 0
    opens: npt.NDArray[np.bool_] = is_in(rows["command"], _FOR_OTHERS) & announced
    return opens


def may_wait_for_ever(command: int, flags: int) -> bool:
    """As :func:`may_wait`, of one request."""
    code = min(command, len(COMMANDS))
    announced = flags & _ASYNC_RESPONSE
    return bool(_AT_WILL[code] or (announced and _EXCUSED[code]))


def may_wait(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Which rows may wait for ever, shape (N,), whatever the configuration names."""
    command = np.minimum(rows["command"], len(COMMANDS))
    announced = (rows["flags"] & _ASYNC_RESPONSE) != 0
    waits: npt.NDArray[np.bool_] = _AT_WILL[command] | (announced & _EXCUSED[command])
    return waits
