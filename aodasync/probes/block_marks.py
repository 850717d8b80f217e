# SPDX-License-Identifier: MIT
"""Which blocks of a table's slots are in use, so that nobody has to look into all of them.

The kernel side sets a block's mark when a slot in it was taken (``bpf/smb_ring.h``). A look goes
into the blocks that are marked, and takes back the marks of those that are empty. Who took a
slot at that moment has seen the old mark and set none, so the next look goes into these
once more.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BlockMarks"]

_Numbers: TypeAlias = npt.NDArray[np.intp]


class BlockMarks:
    """The marks at ``at`` of a table's memory, a byte for each of its ``blocks``."""

    def __init__(self, memory: mmap.mmap, at: int, blocks: int) -> None:
        self._memory = memory
        self._span = at, at + blocks
        self._marks = np.frombuffer(memory, np.bool_, blocks, at)
        self._unmarked = np.zeros(0, np.intp)

    def are_clear(self) -> bool:
        """Whether no block is in use: quick, and False if that takes a look."""
        return not len(self._unmarked) and self._memory.find(b"\1", *self._span) < 0

    def used(self, holds: Callable[[_Numbers], npt.NDArray[np.bool_]]) -> _Numbers:
        """The numbers of the blocks in use, of shape (N,); ``holds`` looks which of some are."""
        marked = self._marks.copy()
        looked_into = marked.copy()
        looked_into[self._unmarked] = True
        numbers = np.flatnonzero(looked_into)
        taken = holds(numbers)
        used, empty = numbers[taken], numbers[~taken]
        self._unmarked = empty[marked[empty]]
        self._marks[self._unmarked] = False
        self._marks[used] = True
        return used

    def close(self) -> None:
        """Let go of the memory."""
        del self._marks
