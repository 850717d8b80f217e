# SPDX-License-Identifier: MIT
"""Reading the BPF ring buffer by mapping it.

Theory of operation
===================

The kernel's ring (kernel/bpf/ringbuf.c) maps as three areas: a page with the
*consumer position*, ours to write; a page with the *producer position*; and the
data, mapped twice in a row, so that nothing ever wraps for a reader. Both
positions only grow, as 64-bit byte counts; the offset in the data is the position
modulo its size, a power of two.

A record is an 8-byte header, then the payload, then padding to 8 bytes. The first
header word is the payload's length with two bits on top: BUSY from reservation to
submission, DISCARD if it was given up. Producers reserve in order (the producer
position moves at once) but submit in any order: a reader must stop at the first
BUSY header, whatever lies behind it.

All our records have one size. So a read

1. takes the producer position: everything up to it is reserved;
2. views the headers of that span as one strided array, and counts how many from
   the first on are exactly the expected length: neither BUSY, nor DISCARD, nor odd;
3. copies that many payloads with one strided copy;
4. stores the new consumer position with one 8-byte store, which frees the space.

Whatever interrupts the run of equal records is stepped over one at a time.

Order: the producer position must be read before the headers, the headers before
the payloads, and all of them before the consumer position is stored. x86 keeps
loads in order and does not move a store before them; elsewhere a lock taken and
released in between is the barrier.

A BUSY record at the head keeps the descriptor readable, so an event loop would
call again at once, until its producer, possibly preempted on this very CPU, goes
on. A read that finds nothing else therefore sleeps once, for NAP_SEC.
"""

from __future__ import annotations

import mmap
import platform
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, EventArray

__all__ = ["NAP_SEC", "RECORD_BYTES", "RingReader"]

HEADER_BYTES: Final = 8
RECORD_BYTES: Final = HEADER_BYTES + EVENT.itemsize
"""What one of our records takes in the ring; a multiple of 8."""

NAP_SEC: Final = 50e-6
"""How long a read waits for a BUSY record at the head before it returns nothing."""

_BUSY: Final = 1 << 31
_DISCARD: Final = 1 << 30
_MAX_STEPS: Final = 1024  # records that one read steps over singly
_POSITIONS: Final = 1 << 64
_KEEPS_ORDER: Final = frozenset({"x86_64", "AMD64"})

_U64: Final = np.dtype("<u8")
_PAYLOAD: Final = np.dtype((np.void, EVENT.itemsize))


def _no_barrier() -> None:
    pass


def _barrier() -> Callable[[], None]:
    if platform.machine() in _KEEPS_ORDER:
        return _no_barrier
    lock = threading.Lock()

    def barrier() -> None:
        with lock:
            pass

    return barrier


class RingReader:
    """The single consumer of one ring.

    Takes the areas as arrays: ``consumer`` (writable) and ``producer`` of shape
    (1,), dtype u8; ``data`` of shape (2 * size // 8,), dtype u8, the ring twice.
    :meth:`of_map` makes them from a map. A read drops nothing and blocks at most
    for :data:`NAP_SEC`.
    """

    def __init__(
        self, consumer: npt.NDArray[Any], producer: npt.NDArray[Any], data: npt.NDArray[Any]
    ) -> None:
        self._consumer: npt.NDArray[Any] | None = consumer
        self._producer = producer
        self._data = data
        self._mask = data.nbytes // 2 - 1
        self._at = int(consumer[0])
        self._barrier = _barrier()
        self._foreign = 0

    @classmethod
    def of_map(cls, map_fd: int, ring_bytes: int) -> RingReader:
        """The reader of the BPF ring buffer map ``map_fd``. Raises OSError."""
        page = mmap.PAGESIZE
        consumer = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        rest = mmap.mmap(
            map_fd, page + 2 * ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        return cls(
            np.frombuffer(consumer, _U64, 1),
            np.frombuffer(rest, _U64, 1),
            np.frombuffer(rest, _U64, 2 * ring_bytes // 8, page),
        )

    @property
    def produced(self) -> int:
        """Records reserved so far: an exact count, as long as all have our size."""
        return int(self._producer[0]) // RECORD_BYTES

    @property
    def foreign(self) -> int:
        """Records of a size that is not ours; always 0 unless the two sides differ."""
        return self._foreign

    def read(self, max_events: int) -> EventArray:
        """Up to ``max_events`` rows, oldest first, as a contiguous copy; maybe none."""
        if self._consumer is None:
            return np.empty(0, EVENT)
        rows = self._drain(max_events)
        if not len(rows) and self._head_is_busy():
            time.sleep(NAP_SEC)
            rows = self._drain(max_events)
        return rows

    def close(self) -> None:
        """Unmap. Safe to call twice."""
        self._consumer = None
        self._producer = np.zeros(1, _U64)
        self._data = np.zeros(0, _U64)

    def _drain(self, max_events: int) -> EventArray:
        start = at = self._at
        end = int(self._producer[0])
        self._barrier()
        chunks = []
        left, steps = max_events, _MAX_STEPS
        while left and steps and at != end:
            count = self._equal_records(at, min((end - at) % _POSITIONS // RECORD_BYTES, left))
            if count:
                chunks.append(self._copy(at, count))
                left -= count
                at = (at + count * RECORD_BYTES) % _POSITIONS
                continue
            step = self._odd_record(at)
            if not step:
                break
            steps -= 1
            at = (at + step) % _POSITIONS
        if at != start and self._consumer is not None:
            self._barrier()
            self._consumer[0] = self._at = at
        return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, EVENT), *chunks])

    def _equal_records(self, at: int, limit: int) -> int:
        """How many records from ``at`` on are complete and of our size."""
        headers = np.ndarray((limit,), "<u4", self._data, at & self._mask, (RECORD_BYTES,))
        equal = headers == EVENT.itemsize
        self._barrier()
        return limit if equal.all() else int(equal.argmin())

    def _copy(self, at: int, count: int) -> EventArray:
        start = (at & self._mask) + HEADER_BYTES
        # As opaque bytes: numpy copies a structured dtype field by field, 15 times slower.
        payloads = np.ndarray((count,), _PAYLOAD, self._data, start, (RECORD_BYTES,))
        return payloads.copy().view(EVENT)

    def _odd_record(self, at: int) -> int:
        """Bytes that the record at ``at`` takes; 0 when it is BUSY (or complete by now)."""
        word = self._header(at)
        if word & _BUSY or word == EVENT.itemsize:
            return 0
        if not word & _DISCARD:
            self._foreign += 1
        length = word & ~_DISCARD
        return (length + HEADER_BYTES + 7) // 8 * 8

    def _header(self, at: int) -> int:
        return int(self._data[(at & self._mask) // 8]) & 0xFFFFFFFF

    def _head_is_busy(self) -> bool:
        return self._at != int(self._producer[0]) and bool(self._header(self._at) & _BUSY)
