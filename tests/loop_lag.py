# SPDX-License-Identifier: MIT
"""How late an event loop runs through the fault of its own process, however busy the machine is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["loop_lag", "waited_sec"]

_EVERY_SEC = 0.002


def waited_sec(pid: int | str = "self") -> float:
    """Time that all threads of a process could run and had no processor.

    Second field of ``schedstat`` (kernel's Documentation/scheduler/sched-stats.rst).
    """
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            total_ns += int((task / "schedstat").read_text().split()[1])
    return total_ns / 1e9


@asynccontextmanager
async def loop_lag() -> AsyncIterator[list[float]]:
    """Sample every 2 ms while the block runs; the list holds lags in ms, in order of time.

    Time in which a thread of this process waited for a processor is left out: it may have
    held what the loop needed.
    """
    lags: list[float] = []

    async def sample() -> None:
        while True:
            begun_sec, waited_before_sec = time.perf_counter(), waited_sec()
            await asyncio.sleep(_EVERY_SEC)
            late_sec = time.perf_counter() - begun_sec - _EVERY_SEC
            lags.append((late_sec - (waited_sec() - waited_before_sec)) * 1e3)

    sampler = asyncio.create_task(sample())
    try:
        yield lags
    finally:
        sampler.cancel()
