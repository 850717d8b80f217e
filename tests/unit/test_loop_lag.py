# SPDX-License-Identifier: MIT
"""The tests' own measure of how late a loop runs."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest

from tests.loop_lag import loop_lag

pytestmark = pytest.mark.anyio


async def test_what_holds_the_loop_is_seen() -> None:
    """A callback that computes and one that sleeps are both lag; waiting for events is none."""
    async with loop_lag() as lags:
        await asyncio.sleep(0.05)
        idle_ms = max(lags)
        until_sec = time.thread_time() + 0.06
        while time.thread_time() < until_sec:
            hashlib.sha256(b"x" * 1000)
        await asyncio.sleep(0.05)
        computed_ms = max(lags)
        lags.clear()
        time.sleep(0.15)  # noqa: ASYNC251  # it is what a loop must not do
        await asyncio.sleep(0.05)
        slept_ms = max(lags)
    assert idle_ms < 20
    assert computed_ms > 30
    assert slept_ms > 30
