# SPDX-License-Identifier: MIT
"""What the kernel side counts, as memory: no look at it takes a system call."""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

from aodasync.probes.shared import Counter

__all__ = ["CounterTable"]


class CounterTable:
    """The counters of all CPUs together: an array's one value (``count`` of ``bpf/smb_ring.h``)."""

    def __init__(self, map_fd: int) -> None:
        self._memory = mmap.mmap(map_fd, 8 * len(Counter), prot=mmap.PROT_READ)
        self._values: npt.NDArray[np.uint64] = np.frombuffer(self._memory, np.uint64)

    def __getitem__(self, counter: Counter) -> int:
        return self._values.item(counter)

    def close(self) -> None:
        """Unmap."""
        del self._values
        self._memory.close()
