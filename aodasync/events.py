# SPDX-License-Identifier: MIT
"""The record of one SMB request (or one trouble event): the same bytes in kernel and agent.

``struct smb_event`` in ``bpf/smb_requests.bpf.c`` and :data:`EVENT` describe one
96-byte layout, so a batch from the ring, the table of requests in flight, the
flight recorder and ``events.npy`` are all plain arrays of it and nothing is ever
converted. Fields may be added at the end of a release; none is ever renamed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "ANSWERED",
    "EVENT",
    "FEW_ROWS",
    "FILE_ID",
    "NO_EVENTS",
    "NO_FILE_IDS",
    "NO_OPERATIONS",
    "NS_PER_MS",
    "OPAQUE",
    "OPERATION",
    "REQUEST",
    "RETRY",
    "EventArray",
    "EventBatch",
    "FileIdArray",
    "Flag",
    "Kind",
    "MidState",
    "OperationArray",
    "Outcome",
    "WaitsFor",
    "glance",
    "latency_ns",
    "pick",
]

NS_PER_MS: Final = 1_000_000

EventArray: TypeAlias = npt.NDArray[Any]
"""Array of shape (N,) and dtype :data:`EVENT`."""

EVENT = np.dtype(
    [
        ("issued_ns", "<u8"),  # MID allocated: credits granted, not yet signed or sent
        ("sent_ns", "<u8"),  # handed to the socket, to one tick (CONFIG_CIFS_STATS2); 0: unknown
        ("received_ns", "<u8"),  # response matched to its MID by cifsd; 0: never
        ("released_ns", "<u8"),  # last reference dropped; 0: still in flight
        ("message_id", "<u8"),
        ("session_id", "<u8"),
        ("connection_id", "<u8"),  # TCP_Server_Info.conn_id; survives reconnects
        ("tree_id", "<u4"),
        ("status", "<u4"),  # NTSTATUS of the final response; trouble events: errno or detail
        ("pid", "<u4"),  # thread that issued the request
        ("tgid", "<u4"),
        ("command", "<u2"),  # MS-SMB2 2.2.1.2
        ("flags", "<u2"),  # Flag
        ("kind", "u1"),  # Kind
        ("outcome", "u1"),  # Outcome
        ("mid_state", "u1"),  # MidState at release, as the kernel left it
        ("mid_flags", "u1"),  # the kernel's MID_WAIT_CANCELLED 1, MID_DELETED 2
        ("comm", "S16"),  # of the issuing thread
    ]
)
assert EVENT.itemsize == 96  # noqa: S101  # the BPF side reserves exactly this

OPAQUE: Final = np.dtype((np.void, EVENT.itemsize))
"""A row as mere bytes. numpy copies rows of EVENT field by field, 20 times slower: where many
are moved, both sides are viewed as this."""


FileIdArray: TypeAlias = npt.NDArray[Any]
"""Array of shape (N,) and dtype :data:`FILE_ID`."""

FILE_ID: Final = np.dtype([("persistent_id", "<u8"), ("volatile_id", "<u8")])
"""The id of a request's file (MS-SMB2 2.2.14.1); both 0: it has none. It comes with each row
from the kernel, and is kept apart from it."""


FEW_ROWS: Final = 64
"""Up to so many rows a loop over :func:`glance` is quicker than the calls of numpy that do the
same: each takes microseconds after a pause, when the processor's caches have forgotten it."""

_GLANCE: Final = struct.Struct("<Q16xQ16xQ4xI8xHHBB18x")
assert _GLANCE.size == EVENT.itemsize  # noqa: S101


def glance(rows: EventArray) -> Iterator[tuple[int, int, int, int, int, int, int, int]]:
    """Of each row: issued_ns, released_ns, connection_id, status, command, flags, kind, outcome."""
    return _GLANCE.iter_unpack(rows.tobytes())


def pick(rows: EventArray, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> EventArray:
    """A copy of the rows at the indices, or under the mask, ``which``."""
    return rows.view((np.void, rows.dtype.itemsize))[which].view(rows.dtype)


class Kind(IntEnum):
    """What a row describes: 0 is a request, anything else a trouble event."""

    REQUEST = 0
    RECONNECT = 1
    PARTIAL_SEND_RECONNECT = 2
    RECONNECT_DETECTED = 3
    CREDIT_TIMEOUT = 4
    INSUFFICIENT_CREDITS = 5
    RECONNECT_WITH_INVALID_CREDITS = 6
    SESSION_EXPIRED = 7
    SESSION_NOT_FOUND = 8
    KEY_EXPIRED = 9
    TREE_CONNECT_FAILED = 10
    CONNECT_ERROR = 11
    LEASE_NOT_FOUND = 12
    FSYNC_ERROR = 13
    FLUSH_ERROR = 14
    EIO = 15


class Outcome(IntEnum):
    """How a request ended."""

    ANSWERED = 0
    RETRY = 1  # cut off by a reconnect (MID_RETRY_NEEDED)
    SHUTDOWN = 2  # the connection was torn down (MID_SHUTDOWN)
    MALFORMED = 3  # the response could not be parsed (MID_RESPONSE_MALFORMED)
    CANCELLED = 4  # its waiter gave up (MID_WAIT_CANCELLED)
    SEND_FAILED = 5  # released before it was ever on the wire
    IN_FLIGHT = 6  # not released yet
    UNKNOWN = 7  # an end that was not seen, or a MID state this version does not know


# An enum's members take a microsecond to look up, too much for every batch.
REQUEST: Final = int(Kind.REQUEST)
ANSWERED: Final = int(Outcome.ANSWERED)
RETRY: Final = int(Outcome.RETRY)


def latency_ns(rows: EventArray) -> npt.NDArray[np.uint64]:
    """From issue to release of each row, in ns, shape (N,).

    It is what the caller of a request waited, from the allocation of its MID to the last
    reference; 0 for a trouble event and for a row that lacks one of its ends.
    """
    issued, released = rows["issued_ns"], rows["released_ns"]
    complete = (issued != 0) & (released >= issued) & (rows["kind"] == REQUEST)
    return np.where(complete, released - issued, np.uint64(0))


class Flag(IntFlag):
    """Bits of ``flags``."""

    ASYNC_RESPONSE = 1  # SMB2_FLAGS_ASYNC_COMMAND in the final header: an interim one came first
    COMPOUND = 2  # NextCommand set, or SMB2_FLAGS_RELATED_OPERATIONS: part of a compound
    SIGNED = 4  # SMB2_FLAGS_SIGNED in the request
    BEFORE_ATTACH = 8  # in flight when the probes attached: issued_ns is to one tick
    URGENT = 16  # the kernel side woke the agent for this one
    REBUILT = 32  # a step was missed: issued_ns is to one tick, or released_ns not that of the end
    STATUS_UNSEEN = 64  # answered, but the response's header was not seen: status means nothing


class MidState(IntEnum):
    """``mid_state`` of struct mid_q_entry (fs/smb/client/cifsglob.h)."""

    FREE = 0x00
    ALLOCATED = 0x01
    SUBMITTED = 0x02
    RECEIVED = 0x04
    RETRY_NEEDED = 0x08
    MALFORMED = 0x10
    SHUTDOWN = 0x20
    READY = 0x40


OperationArray: TypeAlias = npt.NDArray[Any]
"""Array of shape (N,) and dtype :data:`OPERATION`."""

OPERATION: Final = np.dtype(
    [
        ("started_ns", "<u8"),  # CLOCK_MONOTONIC
        ("xid", "<u4"),  # the client's number for it
        ("pid", "<u4"),  # thread that began it
        ("tgid", "<u4"),
        ("comm", "S16"),  # of the thread
        ("function", "S32"),  # of the client: cifs_open, cifs_revalidate_dentry_attr, ...
        ("waits_for", "u1"),  # WaitsFor
    ],
    align=True,
)
"""What a process does inside the client (``bpf/smb_operations.h``)."""

NO_EVENTS: Final[EventArray] = np.zeros(0, EVENT)

NO_FILE_IDS: Final[FileIdArray] = np.zeros(0, FILE_ID)

NO_OPERATIONS: Final[OperationArray] = np.zeros(0, OPERATION)


class WaitsFor(IntEnum):
    """What the thread of an operation waits for, by its stack in the kernel."""

    UNKNOWN = 0  # too young to be looked at, running, or something else
    RESPONSE = 1  # to a request that it made
    CREDITS = 2
    RECONNECT = 3
    CLIENT = 4  # a lock, a page or memory: something of this host


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Rows drained from the ring in one go.

    ``rows`` has shape (N,), dtype EVENT; ``recorded`` ones are in the flight recorder, and may
    be overwritten as soon as the batch is dealt with.
    ``drained_ns`` is CLOCK_MONOTONIC when they were read.
    ``now_ns`` of detection is this value in a live agent and the recorded clock in a replay.
    """

    rows: EventArray
    drained_ns: int
    recorded: bool = False
