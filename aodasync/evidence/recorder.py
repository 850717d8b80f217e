# SPDX-License-Identifier: MIT
"""The flight recorder: the last N rows, in memory that is allocated once.

Rows are read from the kernel's ring straight into it: what the detectors see are views of
this memory, and there is no other copy. So a row is in use from when it was read until it is
released, and is not overwritten meanwhile: the next read gets less room, or none, and the ring
holds the rest. The last ones that were released are spared as well, for the files of requests
are looked up some rows later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, OPAQUE, EventArray, pick

__all__ = ["SPARED_ROWS", "FlightRecorder"]

SPARED_ROWS: Final = 8192
"""So many of those that were released last are not overwritten by the next read."""

_LEAST_ROWS: Final = 32_768
"""3 MB. Of these, all but the spared ones may be in use at once."""


class FlightRecorder:
    """A ring of ``max_events`` rows; the oldest are overwritten. Snapshots are from any thread."""

    def __init__(self, max_events: int) -> None:
        self._kept = max_events
        self._rows: npt.NDArray[np.void] = np.zeros(max(max_events, _LEAST_ROWS), OPAQUE)
        self._events: EventArray = self._rows.view(EVENT)
        self._appended = 0
        self._released = 0
        self._offered = 0  # up to here rows may be written at this moment

    def __len__(self) -> int:
        return min(self._appended, self._kept)

    @property
    def appended(self) -> int:
        """Rows ever appended, overwritten ones included."""
        return self._appended

    def fill(
        self, read: Callable[[npt.NDArray[np.void]], int], most: int
    ) -> tuple[EventArray, bool]:
        """Have up to ``most`` rows read in; these, in use now, and whether there may be more.

        ``read`` gets the room for them, opaque and in one piece, puts them at its beginning
        and returns how many.
        """
        capacity, appended = len(self._rows), self._appended
        start = appended % capacity
        free = capacity - SPARED_ROWS - (appended - self._released)
        count = max(0, min(most, free, capacity - start))
        self._offered = appended + count
        try:
            added = read(self._rows[start : start + count])
            self._appended = appended + added
        finally:
            self._offered = self._appended
        return self._events[start : start + added], added == count

    def release(self, count: int) -> None:
        """So many rows, the eldest of those in use, are not used any more."""
        self._released += count

    def append(self, rows: EventArray) -> None:
        """Copy rows in, of shape (N,), oldest first; any N. They are not in use."""
        capacity = len(self._rows)
        kept = rows[-capacity:].view(OPAQUE)
        self._offered = self._appended + len(rows)
        start = (self._offered - len(kept)) % capacity
        head = min(len(kept), capacity - start)
        self._rows[start : start + head] = kept[:head]
        if head < len(kept):
            self._rows[: len(kept) - head] = kept[head:]
        self._appended += len(rows)
        self._released += len(rows)

    def snapshot(self, since: int = 0) -> EventArray:
        """A copy of the rows held, oldest first, but for the first ``since`` ever appended."""
        appended, capacity = self._appended, len(self._rows)
        count = min(appended, self._kept, max(0, appended - since))
        end = appended % capacity
        if count <= end:
            rows = self._rows[end - count : end].copy()
        else:
            rows = np.concatenate([self._rows[end - count :], self._rows[:end]])
        # While a thread copied, the loop may have written over the eldest.
        overwritten = max(0, self._offered - capacity - (appended - count))
        return rows[overwritten:].view(EVENT)

    def since(self, released_ns: int) -> EventArray:
        """A copy of the rows held that were released at that time (CLOCK_MONOTONIC) or later."""
        rows = self.snapshot()
        return pick(rows, rows["released_ns"] >= np.uint64(max(0, released_ns)))
