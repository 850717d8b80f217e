# SPDX-License-Identifier: MIT
"""Names of files, as the kernel side took them out of CREATE requests."""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np

from aodasync.evidence.file_book import Opening
from aodasync.probes.barrier import memory_barrier
from aodasync.probes.records import FILE_NAME
from aodasync.probes.shared import NAME_SLOTS

__all__ = ["NAME_MAX_BYTES", "ROOT", "NameRing", "file_name"]

NAME_MAX_BYTES: Final = 200
"""Of a name in UTF-8; the end of a longer one is kept, as of one over 127 characters."""

ROOT: Final = "."
"""The name of a share's root, which has none on the wire."""

_CUT: Final = ".../"


class NameRing:
    """Reads the slots that names take in turn (``claim_name`` of ``bpf/smb_files.h``).

    The oldest give way to new ones, read or not.
    """

    def __init__(self, map_fd: int) -> None:
        self._memory = mmap.mmap(map_fd, FILE_NAME.itemsize * (NAME_SLOTS + 1), prot=mmap.PROT_READ)
        self._barrier = memory_barrier()
        self._taken = np.zeros(NAME_SLOTS, np.uint64)
        self._taken_total = self._missing = 0
        self.lost = 0
        """Names that gave way unread, as of the last look."""

    def read(self) -> list[Opening]:
        """The CREATE requests since the last time, oldest first."""
        slots = np.frombuffer(self._memory, FILE_NAME)
        so_far = int(slots["number"][NAME_SLOTS])
        if so_far == self._taken_total + self._missing and self._missing == self.lost:
            return []
        self._barrier()
        numbers = slots["number"][:NAME_SLOTS].copy()
        # What is being written has the highest bit; what came meanwhile is for the next look.
        at = np.flatnonzero((numbers != self._taken) & (numbers <= so_far))
        at = at[np.argsort(numbers[at])]
        self._barrier()
        names = slots[at]
        self._barrier()
        steady = slots["number"][at] == numbers[at]
        at, names = at[steady], names[steady]
        self._taken[at] = numbers[at]
        self._taken_total += len(at)
        # Missing twice: the first time it may have been about to be written.
        before, self._missing = self._missing, so_far - self._taken_total
        self.lost = max(self.lost, min(before, self._missing))
        columns = [names[name].tolist() for name in FILE_NAME.names or ()]
        return [
            Opening(connection_id, message_id, issued_ns, pid, file_name(text, size))
            for _, issued_ns, message_id, connection_id, pid, size, text in zip(
                *columns, strict=True
            )
        ]

    def close(self) -> None:
        """Unmap."""
        self._memory.close()


def file_name(text: bytes, whole_bytes: int) -> str:
    """A name with slashes, from UTF-16 of which the beginning may be missing."""
    if not whole_bytes:
        return ROOT
    held = len(text) - 2
    name = text[: min(whole_bytes, held)].decode("utf-16-le", "replace").replace("\\", "/")
    if whole_bytes <= held and 3 * len(name) <= NAME_MAX_BYTES:  # whatever it is in UTF-8
        return name
    encoded = name.encode("utf-8", "replace")
    if whole_bytes <= held and len(encoded) <= NAME_MAX_BYTES:
        return name
    tail = encoded[-(NAME_MAX_BYTES - len(_CUT)) :].decode("utf-8", "ignore")
    # Whole components, unless the last one alone is too long.
    return _CUT + (tail.partition("/")[2] or tail)
