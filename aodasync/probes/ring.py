# SPDX-License-Identifier: MIT
"""Reading the BPF ring buffer by mapping it.

Theory of operation
===================

The kernel's ring (kernel/bpf/ringbuf.c) maps as three areas: a page with the
*consumer position*, ours to write; a page with the *producer position*; and the
data, mapped twice in a row, so that nothing ever wraps for a reader. Both
positions only grow, as 64-bit byte counts; the offset in the data is the position
modulo its size, a power of two. What is mapped of the data says
:mod:`aodasync.probes.ring_memory`.

A record is an 8-byte header, then the payload, then padding to 8 bytes. The first
header word is the payload's length with two bits on top: BUSY from reservation to
submission, DISCARD if it was given up. Producers reserve in order (the producer
position moves at once) but submit in any order: a reader must stop at the first
BUSY header, whatever lies behind it.

All records of one ring have one size. So a read

1. takes the producer position: everything up to it is reserved;
2. views the headers of that span, as far as the window goes, as one strided array,
   and counts how many from the first on are exactly the expected length: neither
   BUSY, nor DISCARD, nor odd;
3. copies each part of that many payloads with one strided copy, the first one to where
   the caller wants it; goes on with the next window;
4. stores the new consumer position with one 8-byte store, which frees the space.

Whatever interrupts the run of equal records is stepped over one at a time.

Order: the producer position must be read before the headers, the headers before
the payloads, and all of them before the consumer position is stored: see
:mod:`aodasync.probes.barrier`.

A BUSY record at the head hides those behind it until its producer, possibly preempted on
this very CPU, goes on. A read that finds nothing else therefore sleeps once, for NAP_SEC,
and says that it stopped short.

Wake-ups are edge-triggered. The ring's own descriptor is readable as long as anything waits
in it, and under a steady load something always does: who waits for that is called again at
once, for a handful of records, and again, and never sleeps.
"""

from __future__ import annotations

import select
import time
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, FILE_ID, OPAQUE
from aodasync.probes.barrier import memory_barrier
from aodasync.probes.records import RECORD
from aodasync.probes.ring_memory import Window, Windows, map_positions, windows_of_map

__all__ = ["NAP_SEC", "RECORD_BYTES", "RingReader", "wakeups_of_map"]

HEADER_BYTES: Final = 8
RECORD_BYTES: Final = HEADER_BYTES + RECORD.itemsize
"""What a record of a request takes in the ring; a multiple of 8."""

NAP_SEC: Final = 50e-6
"""How long a read waits for a BUSY record at the head before it returns nothing."""

Opaque: TypeAlias = npt.NDArray[np.void]

_BUSY: Final = 1 << 31
_DISCARD: Final = 1 << 30
_MAX_STEPS: Final = 1024  # records that one read steps over singly
_MOST_AT_ONCE: Final = 4096
_POSITIONS: Final = 1 << 64

_U64: Final = np.dtype("<u8")
_U32: Final = np.dtype("<u4")
_FILE_ID: Final = np.dtype((np.void, FILE_ID.itemsize))
_RECORD: Final = np.dtype(
    [("header", _U32), ("page", _U32), ("row", OPAQUE), ("file_id", _FILE_ID)]
)
_NO_IDS: Final[npt.NDArray[np.void]] = np.empty(0, _FILE_ID)
_NOWHERE: Final = Window(memoryview(b""), 0, 0)


def wakeups_of_map(map_fd: int) -> select.epoll:
    """What is readable after a wake-up of the ring buffer map until it is polled. Raises OSError.

    The caller closes it.
    """
    wakeups = select.epoll(1)
    wakeups.register(map_fd, select.EPOLLIN | select.EPOLLET)
    return wakeups


class RingReader:
    """The single consumer of one ring.

    Takes the positions as arrays, ``consumer`` (writable) and ``producer`` of shape
    (1,), dtype u8, and ``windows`` of the data. :meth:`of_map` makes them from a map.
    A record holds a row and the id of its file. They are moved as opaque bytes (see
    :data:`aodasync.events.OPAQUE`). A read drops nothing and blocks at most for
    :data:`NAP_SEC`.
    """

    def __init__(
        self,
        consumer: npt.NDArray[Any],
        producer: npt.NDArray[Any],
        windows: Windows,
        ring_bytes: int,
    ) -> None:
        self._record_bytes = RECORD_BYTES
        self._payload_bytes = RECORD_BYTES - HEADER_BYTES
        self._complete = _U32.type(self._payload_bytes).tobytes() * _MOST_AT_ONCE
        self._consumer: npt.NDArray[Any] | None = consumer
        self._producer = producer
        self._open_window = windows
        self._window = _NOWHERE
        self._mask = ring_bytes - 1
        self._at = int(consumer[0])
        self._barrier = memory_barrier()
        self._foreign = 0
        self.stopped_short = False
        """Whether the last read ended at a record that was still being written."""

    @classmethod
    def of_map(cls, map_fd: int, ring_bytes: int) -> RingReader:
        """The reader of the BPF ring buffer map ``map_fd``. Raises OSError."""
        consumer, producer = map_positions(map_fd)
        windows = windows_of_map(map_fd, ring_bytes)
        return cls(consumer, producer, windows, ring_bytes)

    @property
    def produced(self) -> int:
        """Records reserved so far: an exact count, as long as all have our size."""
        return int(self._producer[0]) // self._record_bytes

    @property
    def foreign(self) -> int:
        """Records of a size that is not ours; always 0 unless the two sides differ."""
        return self._foreign

    @property
    def is_empty(self) -> bool:
        """Nothing was reserved since the last read."""
        return bool(self._at == self._producer.item())

    def read(self, max_events: int) -> npt.NDArray[Any]:
        """Up to ``max_events`` rows, oldest first, as a contiguous copy; maybe none."""
        into = np.empty(max_events, OPAQUE)
        count, _ = self.read_into(into)
        return into[:count].copy().view(EVENT)

    def read_into(self, into: Opaque) -> tuple[int, Opaque]:
        """Copy as many rows as there is room for, oldest first, to the beginning of ``into``.

        Returns how many, and a copy of the id of each one's file.
        """
        if self._consumer is None:
            return 0, _NO_IDS
        count, file_ids = self._drain(into)
        if not count and self._head_is_busy():
            time.sleep(NAP_SEC)
            return self._drain(into)
        return count, file_ids

    def close(self) -> None:
        """Unmap. Safe to call twice."""
        self._consumer = None
        self._producer = np.zeros(1, _U64)
        self._window = _NOWHERE

    def _drain(self, into: Opaque) -> tuple[int, Opaque]:
        at, record_bytes = self._at, self._record_bytes
        end: int = self._producer.item()
        self.stopped_short = False
        if end == at:
            return 0, _NO_IDS
        self._barrier()
        waiting = end - at if end >= at else end - at + _POSITIONS
        file_ids: list[Opaque] = []
        room = len(into)
        taken, steps, left = 0, _MAX_STEPS, waiting
        while left and taken < room and steps:
            ids = self._take(at, min(left // record_bytes, room - taken), into, taken)
            if count := len(ids):
                file_ids.append(ids)
                taken += count
                step = count * record_bytes
            else:
                # A header that claims more than was produced must not lead beyond it.
                step = min(self._odd_record(at), left)
                if not step:
                    break
                steps -= 1
            left -= step
            at += step
        self.stopped_short = left > 0 and taken < room
        if left != waiting and self._consumer is not None:
            self._barrier()
            self._consumer[0] = self._at = at if at < _POSITIONS else at - _POSITIONS
        if not taken:
            return 0, _NO_IDS
        return taken, file_ids[0] if len(file_ids) == 1 else np.concatenate(file_ids)

    def _look_at(self, at: int) -> tuple[Window, int]:
        """The window that holds a position, and where in it that is."""
        window = self._window
        offset = (at & self._mask) - window.start
        if not 0 <= offset < window.size:
            window = self._window = self._open_window(at & self._mask)
            offset = (at & self._mask) - window.start
        return window, offset

    def _take(self, at: int, limit: int, into: Opaque, taken: int) -> Opaque:
        """Copy the records from ``at`` on that are complete and ours behind the ``taken`` ones.

        Returns the ids of their files.
        """
        window, offset = self._look_at(at)
        count = min(limit, _MOST_AT_ONCE)
        if offset + count * self._record_bytes > window.size:  # some begin in the next one
            count = (window.size - offset - 1) // self._record_bytes + 1
        records = np.ndarray((count,), _RECORD, window.data, offset)
        headers = records["header"].tobytes()
        self._barrier()
        if not self._complete.startswith(headers):
            count = int((np.frombuffer(headers, _U32) == self._payload_bytes).argmin())
            records = records[:count]
        into[taken : taken + count] = records["row"]
        return records["file_id"].copy()

    def _odd_record(self, at: int) -> int:
        """Bytes that the record at ``at`` takes; 0 when it is BUSY (or complete by now)."""
        word = self._header(at)
        if word & _BUSY or word == self._payload_bytes:
            return 0
        if not word & _DISCARD:
            self._foreign += 1
        length = word & ~_DISCARD
        return (length + HEADER_BYTES + 7) // 8 * 8

    def _header(self, at: int) -> int:
        window, offset = self._look_at(at)
        return int.from_bytes(window.data[offset : offset + 4], "little")

    def _head_is_busy(self) -> bool:
        return not self.is_empty and bool(self._header(self._at) & _BUSY)
