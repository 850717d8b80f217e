# SPDX-License-Identifier: MIT
"""A BPF ring buffer without a kernel: the same memory layout, filled by the test."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from aodasync.probes.records import RECORD
from aodasync.probes.ring import RingReader
from aodasync.probes.ring_memory import Window

BUSY = 1 << 31
DISCARD = 1 << 30
_WRAP = 1 << 64

_MAP_FIXED = 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)


class FakeRing:
    """A producer as kernel/bpf/ringbuf.c is one, over memory that is mapped twice in a row."""

    def __init__(self, size: int = mmap.PAGESIZE, start: int = 0, window_bytes: int = 0) -> None:
        self.size = size
        self._window_bytes = window_bytes or size
        self.windows_opened = 0
        fd = os.memfd_create("ring")
        os.ftruncate(fd, size)
        self._bytes = _mapped_twice(fd, size)
        os.close(fd)
        self.data: npt.NDArray[Any] = self._bytes.view("<u8")
        self.consumer: npt.NDArray[Any] = np.array([start], "<u8")
        self.producer: npt.NDArray[Any] = np.array([start], "<u8")
        self.reader = RingReader(self.consumer, self.producer, self._open_window, size)

    def close(self) -> None:
        """Unmap."""
        self.reader.close()
        address = self._bytes.ctypes.data
        _LIBC.munmap(ctypes.c_void_p(address), ctypes.c_size_t(2 * self.size))

    def _open_window(self, offset: int) -> Window:
        self.windows_opened += 1
        start = offset // self._window_bytes * self._window_bytes
        end = start + self._window_bytes
        # What lies further beyond must not be touched: it is not mapped in the real one.
        data = self._bytes[start : end + mmap.PAGESIZE].data
        return Window(data, start, self._window_bytes)

    def free(self) -> int:
        """Bytes that are not taken."""
        return self.size - (int(self.producer[0]) - int(self.consumer[0])) % _WRAP

    def reserve(self, length: int) -> int | None:
        """Position of a BUSY record of ``length`` payload bytes; None when there is no room."""
        position = int(self.producer[0])
        taken = (length + 8 + 7) // 8 * 8
        if taken > self.free():
            return None
        self._header(position, length | BUSY)
        self.producer[0] = (position + taken) % _WRAP
        return position

    def submit(self, position: int, payload: bytes) -> None:
        """Fill a reserved record and clear BUSY."""
        at = position % self.size + 8
        self._bytes[at : at + len(payload)] = np.frombuffer(payload, "u1")
        self._header(position, len(payload))

    def discard(self, position: int, length: int) -> None:
        """Give a reserved record up."""
        self._header(position, length | DISCARD)

    def put(self, message_id: int) -> bool:
        """One whole record of ours, told apart by its message id; False without room."""
        position = self.reserve(RECORD.itemsize)
        if position is None:
            return False
        self.submit(position, record(message_id))
        return True

    def _header(self, position: int, word: int) -> None:
        self.data[position % self.size // 8] = word


def record(message_id: int) -> bytes:
    """The bytes of an event."""
    row = np.zeros(1, RECORD)
    row["message_id"] = message_id
    row["comm"] = b"fake"
    return row.tobytes()


def _mapped_twice(fd: int, size: int) -> npt.NDArray[Any]:
    """Memory of twice ``size``, as bytes, both halves of which are the same."""
    address = _mmap(None, 2 * size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    for half in (address, address + size):
        assert _mmap(half, size, mmap.MAP_SHARED | _MAP_FIXED, fd) == half
    return np.frombuffer(memoryview((ctypes.c_char * (2 * size)).from_address(address)), "u1")


def _mmap(address: int | None, size: int, flags: int, fd: int) -> int:
    where: int = _LIBC.mmap(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0)
    assert where != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
    return where
