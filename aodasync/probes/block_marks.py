# SPDX-License-Identifier: MIT
"""Which blocks of a table's slots are in use, so that nobody has to look into all of them.

The kernel side sets a block's mark when a slot in it was taken (``bpf/smb_ring.h``). A look goes
into the blocks that are marked, and takes back the marks of those that are empty. Who took a
slot at that moment has seen the old mark and set none, so the next look goes into these
once more.
"""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

__all__ = ["BlockMarks"]


class BlockMarks:
    """The marks at ``at`` of a table's memory, a byte for each block.

    ``holders``, a view of that memory, has shape (blocks, slots of a block): 0 where one is free.
    """

    def __init__(self, memory: mmap.mmap, at: int, holders: npt.NDArray[np.uint64]) -> None:
        self._memory = memory
        self._holders = holders
        self._span = at, at + len(holders)
        self._marks = np.frombuffer(memory, np.bool_, len(holders), at)
        self._unmarked = np.zeros(0, np.intp)

    def none_used(self) -> bool:
        """Whether no slot is taken."""
        return not len(self.used())

    def used(self) -> npt.NDArray[np.intp]:
        """The numbers of the blocks in use, of shape (N,): quick while there are no marks."""
        if not len(self._unmarked) and self._memory.find(b"\1", *self._span) < 0:
            return self._unmarked
        marked = self._marks.copy()
        looked_into = marked.copy()
        looked_into[self._unmarked] = True
        numbers = np.flatnonzero(looked_into)
        taken = (self._holders[numbers] != 0).any(axis=1)
        used: npt.NDArray[np.intp] = numbers[taken]
        empty = numbers[~taken]
        self._unmarked = empty[marked[empty]]
        self._marks[self._unmarked] = False
        self._marks[used] = True
        return used

    def close(self) -> None:
        """Let go of the memory."""
        del self._holders, self._marks
