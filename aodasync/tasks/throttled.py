# SPDX-License-Identifier: MIT
"""A dear answer, computed in a worker thread, and not more often than it may cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from aodasync.host.threads import in_thread

__all__ = ["Throttled"]

T = TypeVar("T")


class Throttled(Generic[T]):
    """Keeps the last answer for ``every_sec``; who asks while one is computed gets that one."""

    def __init__(self, every_sec: float) -> None:
        self._every_sec = every_sec
        self._lock = asyncio.Lock()
        self._answer: tuple[float, T] | None = None

    async def ask(self, prepare: Callable[[], Callable[[], T]]) -> T:
        """The answer. ``prepare`` runs on the loop and returns what the thread is to do."""
        async with self._lock:
            now_sec = asyncio.get_running_loop().time()
            if self._answer is not None and now_sec - self._answer[0] < self._every_sec:
                return self._answer[1]
            found = await in_thread(prepare())
            self._answer = now_sec, found
            return found
