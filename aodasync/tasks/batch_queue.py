# SPDX-License-Identifier: MIT
"""The queue between reader and detector, bounded in rows as well as in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aodasync.events import EventBatch

__all__ = ["BatchQueue"]

_MOST_BATCHES: Final = 64
_MOST_ROWS: Final = 65_536
"""6 MB: what a detector that fell behind costs; the ring holds the rest."""


class BatchQueue(asyncio.Queue[EventBatch]):
    """Full with so many batches, or once it holds so many rows."""

    def __init__(self, most_batches: int = _MOST_BATCHES, most_rows: int = _MOST_ROWS) -> None:
        super().__init__(most_batches)
        self._most_rows = most_rows
        self._on_room: Callable[[], None] | None = None
        self.rows = 0

    def full(self) -> bool:
        """Whether the reader has to wait."""
        return super().full() or self.rows >= self._most_rows

    def call_on_room(self, callback: Callable[[], None]) -> None:
        """Call this once, from the loop, when a batch is taken."""
        self._on_room = callback

    def _put(self, item: EventBatch) -> None:
        super()._put(item)
        self.rows += len(item.rows)

    def _get(self) -> EventBatch:
        item = super()._get()
        self.rows -= len(item.rows)
        callback, self._on_room = self._on_room, None
        if callback is not None:
            asyncio.get_running_loop().call_soon(callback)
        return item
