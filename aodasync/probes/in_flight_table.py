# SPDX-License-Identifier: MIT
"""The requests in flight, as the kernel side has them."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EventArray, Flag, pick
from aodasync.probes import bpf
from aodasync.probes.barrier import memory_barrier
from aodasync.probes.block_marks import BlockMarks
from aodasync.probes.records import RECORD
from aodasync.probes.scanning import MapScanner
from aodasync.probes.shared import IN_FLIGHT_BLOCKS, IN_FLIGHT_MAX, SLOT_BEING_WRITTEN
from aodasync.probes.slots import BLOCK

__all__ = ["COMMAND_KEY", "InFlightTable", "MessageTable"]

COMMAND_KEY: Final = np.dtype([("session_id", "<u8"), ("message_id", "<u8")])
"""struct smb_command_key of ``bpf/smb_commands.h``."""

_OPAQUE: Final = np.dtype((np.void, RECORD.itemsize))
_NONE: Final = np.empty(0, RECORD)
_CHECKED_FROM_NS: Final = 10**9
_CHECKS: Final = 64  # at most, in one look: some 2 us each
_GIVEN_UP_NS: Final = 180 * 10**9  # 3 x echo_interval by default: then the client reconnects


class InFlightTable:
    """The requests in flight by MID, in the slots of an array (``bpf/smb_slots.h``).

    ``checker_fd`` is a program that ends the request of a MID in a slot, if that is free though
    its release was not seen. It is run on those that are in flight for long, each in
    its turn: what it ends leaves the table and comes through the ring.
    """

    def __init__(self, map_fd: int, checker_fd: int | None) -> None:
        size = BLOCK.itemsize * IN_FLIGHT_BLOCKS
        self._memory = mmap.mmap(map_fd, size + BLOCK.itemsize)
        self._blocks: npt.NDArray[Any] = np.frombuffer(self._memory, BLOCK, IN_FLIGHT_BLOCKS)
        self._marks = BlockMarks(self._memory, size, self._blocks["mids"])
        self._checker_fd = checker_fd
        self._checked = 0
        self._barrier = memory_barrier()

    def read(self, now_ns: int) -> EventArray:
        """Rows of shape (N,), dtype RECORD, oldest first. Raises BpfError.

        A slot that changed hands while its row was copied is left out.
        """
        mids = self._blocks["mids"]
        numbers = self._marks.used()
        if not len(numbers):
            return _NONE
        # Compared first: numpy raises when what it searches changes under it.
        at, slot = np.nonzero(mids[numbers] != 0)
        taken = numbers[at], slot
        seen = mids[taken]
        self._barrier()
        rows = self._blocks["rows"].view(_OPAQUE)[taken].view(RECORD)
        self._barrier()
        steady = (seen & SLOT_BEING_WRITTEN == 0) & (mids[taken] == seen)
        rows = pick(rows, steady)
        old = rows["issued_ns"] + _CHECKED_FROM_NS < now_ns
        slots = np.ravel_multi_index(taken, mids.shape)
        self._check(seen[steady][old], slots[steady][old])
        return _oldest_first(rows)

    def is_empty(self, _now_ns: int) -> bool:
        """Whether nothing is in flight: no slot is taken."""
        return self._marks.none_used()

    def close(self) -> None:
        """Unmap."""
        self._marks.close()
        del self._blocks  # it would hold the mapping
        self._memory.close()

    def _check(self, mids: npt.NDArray[Any], slots: npt.NDArray[Any]) -> None:
        if self._checker_fd is None or not len(mids):
            return
        turn = range(self._checked, self._checked + min(_CHECKS, len(mids)))
        for index in np.argsort(mids).take(turn, mode="wrap"):
            bpf.run(self._checker_fd, (int(mids[index]), int(slots[index])))
        self._checked = turn.stop % len(mids)


class MessageTable:
    """The requests in flight by session and message id: those of the tracepoints.

    Not every end is seen there. What was in flight at the last reconnect, at
    ``reconnected_ns()``, is not any more, and by the time that the client gives a
    connection up nothing on it is.
    """

    def __init__(self, map_fd: int, reconnected_ns: Callable[[], int]) -> None:
        self._scanner = MapScanner(map_fd, RECORD, IN_FLIGHT_MAX, COMMAND_KEY)
        self._reconnected_ns = reconnected_ns

    def read(self, now_ns: int) -> EventArray:
        """Rows of shape (N,), dtype RECORD, oldest first, that may still be. Raises BpfError."""
        rows = self._scanner.scan()[1]
        since_ns = max(self._reconnected_ns(), now_ns - _GIVEN_UP_NS, 0)
        return _oldest_first(pick(rows, rows["issued_ns"] > since_ns))

    def is_empty(self, now_ns: int) -> bool:
        """Whether nothing is noted that may still be in flight. Raises BpfError."""
        return not len(self.read(now_ns))

    def close(self) -> None:
        """Nothing is held."""


def _oldest_first(rows: EventArray) -> EventArray:
    ordered = pick(rows, np.argsort(rows["issued_ns"], kind="stable"))
    # A reference may have been dropped already (see on_put in bpf/); it is not the end.
    ordered["released_ns"] = 0
    ordered["flags"] &= ~np.uint16(Flag.STATUS_UNSEEN)
    return ordered
