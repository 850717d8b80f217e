# SPDX-License-Identifier: MIT
"""Blocking work in a worker thread that its caller outlives.

A thread cannot be cancelled. A coroutine that is, while it waits for one, would
leave it at work with descriptors that are then closed and used anew: so it is
told to hurry, and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, hurry: Callable[[], None] | None = None) -> T:
    """Run ``work`` in a worker thread; when cancelled, call ``hurry`` and see it end first."""
    running = asyncio.ensure_future(anyio.to_thread.run_sync(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if hurry is not None:
            hurry()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # seen, and of no interest any more
        raise
