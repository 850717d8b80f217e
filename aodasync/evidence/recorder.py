# SPDX-License-Identifier: MIT
"""The flight recorder: the last N rows, in memory that is allocated once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, OPAQUE, EventArray

__all__ = ["FlightRecorder"]


class FlightRecorder:
    """A ring of ``max_events`` rows; the oldest are overwritten."""

    def __init__(self, max_events: int) -> None:
        self._rows: npt.NDArray[np.void] = np.zeros(max_events, OPAQUE)
        self._appended = 0

    def __len__(self) -> int:
        return min(self._appended, len(self._rows))

    @property
    def appended(self) -> int:
        """Rows ever appended, overwritten ones included."""
        return self._appended

    def append(self, rows: EventArray) -> None:
        """Take rows of shape (N,), oldest first; any N, even beyond the capacity."""
        capacity = len(self._rows)
        kept = rows[-capacity:].view(OPAQUE)
        start = (self._appended + len(rows) - len(kept)) % capacity
        head = min(len(kept), capacity - start)
        self._rows[start : start + head] = kept[:head]
        if head < len(kept):
            self._rows[: len(kept) - head] = kept[head:]
        self._appended += len(rows)

    def snapshot(self, since: int = 0) -> EventArray:
        """A copy of the rows held, oldest first, but for the first ``since`` ever appended."""
        count = min(len(self), max(0, self._appended - since))
        end = self._appended % len(self._rows)
        if count <= end:
            return self._rows[end - count : end].copy().view(EVENT)
        return np.concatenate([self._rows[end - count :], self._rows[:end]]).view(EVENT)

    def since(self, released_ns: int) -> EventArray:
        """A copy of the rows held that were released at that time (CLOCK_MONOTONIC) or later."""
        rows = self.snapshot()
        return rows[rows["released_ns"] >= np.uint64(max(0, released_ns))]
