# SPDX-License-Identifier: MIT
"""The queue between reader and detector, bounded in rows as well as in batches.

Its rows lie in the flight recorder: a batch takes no memory of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aodasync.events import EventBatch
from aodasync.evidence.recorder import FlightRecorder

__all__ = ["BatchQueue"]

_MOST_BATCHES: Final = 64
_MOST_ROWS: Final = 16_384
"""What is more waits in the ring. The recorder has room for as many again, and for the spared."""


class BatchQueue(asyncio.Queue[EventBatch]):
    """Full with so many batches, or once it holds so many rows.

    A batch of ``recorded`` rows keeps them in the ``recorder`` until :meth:`task_done` is
    called for it.
    """

    def __init__(
        self,
        recorder: FlightRecorder,
        most_batches: int = _MOST_BATCHES,
        most_rows: int = _MOST_ROWS,
    ) -> None:
        super().__init__()
        self.recorder = recorder
        self._most_batches = most_batches
        self._most_rows = most_rows
        self._in_use: deque[int] = deque()  # rows in the recorder, by batch that is not done
        self._on_room: Callable[[], None] | None = None
        self.rows = 0

    def full(self) -> bool:
        """Whether the reader has to wait."""
        return self.rows >= self._most_rows or self.qsize() >= self._most_batches

    def task_done(self) -> None:
        """The oldest of the batches that were taken is dealt with."""
        super().task_done()
        self.recorder.release(self._in_use.popleft())

    def call_on_room(self, callback: Callable[[], None]) -> None:
        """Call this once, from the loop, when a batch is taken."""
        self._on_room = callback

    def _put(self, item: EventBatch) -> None:
        super()._put(item)
        self._in_use.append(len(item.rows) if item.recorded else 0)
        self.rows += len(item.rows)

    def _get(self) -> EventBatch:
        item = super()._get()
        self.rows -= len(item.rows)
        callback, self._on_room = self._on_room, None
        if callback is not None:
            asyncio.get_running_loop().call_soon(callback)
        return item
