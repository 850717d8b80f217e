# SPDX-License-Identifier: MIT
"""Blocking work never outlives the coroutine that waits for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aodasync.worker import in_thread

pytestmark = pytest.mark.anyio


async def test_result_and_error_pass_through() -> None:
    """Work in a thread returns and raises as a call does."""
    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_cancelled_caller_leaves_after_the_work() -> None:
    """A cancelled caller tells the work to hurry, and goes when it has ended, even in error."""
    begun, hurry = threading.Event(), threading.Event()
    ended: list[bool] = []

    def work() -> None:
        begun.set()
        ended.append(hurry.wait(5))
        raise OSError("told to stop")

    task = asyncio.create_task(in_thread(work, hurry=hurry.set))
    while not begun.is_set():  # noqa: ASYNC110  # a thread's event
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
