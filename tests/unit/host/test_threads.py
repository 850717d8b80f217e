# SPDX-License-Identifier: MIT
"""Blocking work is waited for, unless it may be abandoned: then it is counted."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aodasync.errors import RequirementError
from aodasync.host import threads
from aodasync.host.threads import LEFT_BEHIND, in_thread

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


async def test_abandonable_work_returns_and_raises_as_a_call_does() -> None:
    """Where nobody gives up, it is as any other, and nothing is counted."""
    before = LEFT_BEHIND.ever
    assert await in_thread(lambda: 7, abandon=True) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0, abandon=True)
    assert (LEFT_BEHIND.now, LEFT_BEHIND.ever) == (0, before)


async def test_a_deadline_of_abandonable_work_is_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread is counted until it returns; while too many are left behind, none is begun."""
    monkeypatch.setattr(threads, "_MOST_LEFT_BEHIND", 2)
    before = LEFT_BEHIND.ever
    thaw = threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(lambda: thaw.wait(30), abandon=True)
    assert (LEFT_BEHIND.now, LEFT_BEHIND.ever) == (2, before + 2)
    with pytest.raises(RequirementError, match="2 threads still hang"):
        await in_thread(lambda: 7, abandon=True)
    thaw.set()
    while LEFT_BEHIND.now:  # noqa: ASYNC110  # a thread's end
        await asyncio.sleep(0.001)
    assert await in_thread(lambda: 7, abandon=True) == 7


async def test_waiting_for_many_does_not_take_the_slots_of_others() -> None:
    """With a hundred unlimited waits under way, ordinary work still runs."""
    thaw = threading.Event()
    waits = [asyncio.create_task(in_thread(thaw.wait, unlimited=True)) for _ in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await in_thread(lambda: 7) == 7
    thaw.set()
    await asyncio.gather(*waits)
