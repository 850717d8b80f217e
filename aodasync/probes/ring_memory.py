# SPDX-License-Identifier: MIT
"""The ring's data, mapped a window at a time.

The kernel would map it as a whole, twice in a row, and every page of a mapping
counts as resident: a ring of 8 MiB made the agent 16 MiB larger. The reader looks
at one place only, so a window that moves along does as well. Moving it takes some
30 us, once in WINDOW_BYTES.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["WINDOW_BYTES", "Window", "Windows", "map_positions", "windows_of_map"]

WINDOW_BYTES: Final = 256 * 1024
"""Some 2,500 records; a power of two."""

_U64: Final = np.dtype("<u8")


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes ``start`` to ``end`` of the ring; records that begin in it are whole in ``words``.

    ``words`` is of dtype u8 and goes a page beyond ``end``, past the ring's end to its
    beginning.
    """

    words: npt.NDArray[Any]
    start: int
    end: int


Windows: TypeAlias = Callable[[int], Window]
"""Opens the window around an offset in the ring. Raises OSError."""


def map_positions(map_fd: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The consumer position, writable, and the producer position: shape (1,), dtype u8."""
    page = mmap.PAGESIZE
    consumer = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    producer = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
    return np.frombuffer(consumer, _U64, 1), np.frombuffer(producer, _U64, 1)


def windows_of_map(map_fd: int, ring_bytes: int) -> Windows:
    """Windows of a BPF ring buffer map, which must stay open."""
    size = min(WINDOW_BYTES, ring_bytes)
    page = mmap.PAGESIZE

    def open_window(offset: int) -> Window:
        start = offset // size * size
        mapped = mmap.mmap(
            map_fd, size + page, mmap.MAP_SHARED, mmap.PROT_READ, offset=2 * page + start
        )
        return Window(np.frombuffer(mapped, _U64), start, start + size)

    return open_window
