# SPDX-License-Identifier: MIT
"""Blocking work in a worker thread: the one way to run it.

A thread cannot be cancelled. There are two kinds of work, so there are two ends:

1. Work that uses descriptors of its caller is waited for, even when its caller is
   cancelled: a thread that went on would find them closed, or opened anew by others.
2. Work that owns nothing (it reads a small file and returns the text) may be abandoned:
   then a deadline is real. Its thread is left behind, counted until it returns, and there
   are at most eight such threads. They are daemon threads, which the exit does not wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from aodasync.errors import RequirementError

__all__ = ["LEFT_BEHIND", "LeftBehind", "in_thread"]

T = TypeVar("T")

_MOST_LEFT_BEHIND: Final = 8


@dataclass(slots=True)
class LeftBehind:
    """Threads that their callers gave up: how many have not returned yet, and how many ever."""

    now: int = 0
    ever: int = 0


LEFT_BEHIND: Final = LeftBehind()
"""The count of this process."""


async def in_thread(
    work: Callable[[], T],
    *,
    hurry: Callable[[], None] | None = None,
    abandon: bool = False,
    unlimited: bool = False,
) -> T:
    """Run ``work`` in a worker thread and return its result.

    When cancelled, call ``hurry`` and wait for its end; with ``abandon``, leave it behind.
    ``unlimited`` work waits for somebody else most of the time: it does not take one of the
    40 slots of the others.

    Raises:
        RequirementError: to be abandoned if need be, and too many threads are left behind.
    """
    if abandon:
        return await _abandonable(work)
    limiter = anyio.CapacityLimiter(1) if unlimited else None
    running = asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=limiter))
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


async def _abandonable(work: Callable[[], T]) -> T:
    if LEFT_BEHIND.now >= _MOST_LEFT_BEHIND:
        raise RequirementError(f"{LEFT_BEHIND.now} threads still hang in earlier reads")
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def returned(value: T | None, error: BaseException | None) -> None:
        if result.cancelled():
            LEFT_BEHIND.now -= 1
        elif error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # None only if T is

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except Exception as failure:  # noqa: BLE001  # the caller gets it
            error = failure
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(returned, value, error)

    threading.Thread(target=run, name="abandonable", daemon=True).start()
    try:
        return await result
    except asyncio.CancelledError:
        if result.cancelled():
            LEFT_BEHIND.now += 1
            LEFT_BEHIND.ever += 1
        raise
