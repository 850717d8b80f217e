# SPDX-License-Identifier: MIT
"""How late an event loop runs through the fault of its own process, however busy the machine is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import operator
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

__all__ = ["loop_lag", "waited_sec"]

_EVERY_SEC = 0.002
_SUSPECT_MS = 5.0
_ACCOUNTED_SEC = 0.02


def waited_sec(pid: int | str = "self") -> float:
    """Time that all threads of a process could run and had no processor.

    Second field of ``schedstat`` (kernel's Documentation/scheduler/sched-stats.rst).
    """
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            total_ns += int((task / "schedstat").read_text().split()[1])
    return total_ns / 1e9


def _stolen_ticks() -> list[int]:
    """Time in which the host of this virtual machine ran others, of each processor.

    Eighth figure of the lines of /proc/stat (proc(5)); the kernel does not count it as a
    thread's.
    """
    with Path("/proc/stat").open() as stat:
        lines = itertools.takewhile(lambda line: line.startswith("cpu"), stat)
        return [int(line.split()[8]) for line in lines][1:]


def _stolen_ms(before: list[int]) -> float:
    """The most that one processor lost since."""
    now = _stolen_ticks()
    return 1e3 * max(map(operator.sub, now, before), default=0) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _time_in_select() -> Iterator[list[float]]:
    """The seconds that the running loop has waited in its selector, as a list of one.

    A virtual machine that its host holds up wakes late from there, and no task's count of
    waiting says so.
    """
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    select, spent_sec = selector.select, [0.0]

    def timed_select(timeout_sec: float | None = None) -> Any:  # as select's own
        begun_sec = time.perf_counter()
        try:
            return select(timeout_sec)
        finally:
            spent_sec[0] += time.perf_counter() - begun_sec

    selector.select = timed_select
    try:
        yield spent_sec
    finally:
        selector.select = select


@asynccontextmanager
async def loop_lag() -> AsyncIterator[list[float]]:
    """Sample every 2 ms while the block runs; the list holds lags in ms, in order of time.

    Left out is the time in which the loop waited for events, and that in which a thread
    of this process waited for a processor: it may have held what the loop needed; of a long
    one also what the host took from this machine, which is counted some ticks later, but never
    what the loop has computed. What the
    tests before have left is no garbage of this one, as in the agent (memory_tuning.py).
    """
    lags: list[float] = []

    async def sample(in_select_sec: list[float]) -> None:
        while True:
            begun_sec, waited_before_sec = time.perf_counter(), waited_sec()
            idle_before_sec, stolen_before = in_select_sec[0], _stolen_ticks()
            ran_before_sec = time.thread_time()
            await asyncio.sleep(_EVERY_SEC)
            took_sec = time.perf_counter() - begun_sec
            busy_sec = took_sec - (in_select_sec[0] - idle_before_sec)
            waited = waited_sec() - waited_before_sec
            lag_ms = 1e3 * min(took_sec - _EVERY_SEC - waited, busy_sec)
            if lag_ms > _SUSPECT_MS:
                ran_ms = 1e3 * (time.thread_time() - ran_before_sec)
                await asyncio.sleep(_ACCOUNTED_SEC)
                lag_ms = min(lag_ms, max(ran_ms, lag_ms - _stolen_ms(stolen_before)))
            lags.append(lag_ms)

    gc.collect()
    gc.freeze()
    with _time_in_select() as in_select_sec:
        sampler = asyncio.create_task(sample(in_select_sec))
        try:
            yield lags
        finally:
            sampler.cancel()
            gc.unfreeze()
