# SPDX-License-Identifier: MIT
"""The real collector on a real loop, for tests that are unkind to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from structlog.testing import capture_logs

from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.events import EventArray
from aodasync.evidence.model import Connection, Snapshot, Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.process.children import Children
from aodasync.tasks.collector import Collector
from tests.builders import MS, request, requests

__all__ = ["Evidence", "Lag", "collect", "collector", "sampled_lag", "trigger"]

_EVERY_SEC: Final = 0.002


class Evidence:
    """An evidence source of ``rows`` recorded requests and one in flight, of ``waiting``."""

    live = True

    def __init__(self, rows: int = 1000) -> None:
        self.waiting = 0
        self.recorder = FlightRecorder(rows)
        self.recorder.append(requests(*(request(released_ns=n * MS) for n in range(1, rows + 1))))

    def events(self, since: int = 0) -> EventArray:
        return self.recorder.snapshot(since)

    def recorded(self) -> int:
        return self.recorder.appended

    def snapshot(self, *_tables: str) -> Snapshot:
        now_ns = time.monotonic_ns()
        row = request("SMB2_WRITE", released_ns=0, latency_ns=0, issued_ns=now_ns, pid=self.waiting)
        return Snapshot(in_flight=row, connections={1: Connection(1, "nas", "10.0.0.1", 445)})


def collector(
    config: Config, output: OutputDirectory, rows: int = 1000, waiting: int = 0
) -> Collector:
    """A collector of such evidence."""
    evidence = Evidence(rows)
    evidence.waiting = waiting
    log = structlog.get_logger()
    return Collector(config, output, evidence, log, children=Children())


def trigger(*actions: str) -> Trigger:
    """An order for a bundle now."""
    return Trigger("test", None, actions, time.monotonic_ns(), time.time_ns(), 1)


async def collect(collector: Collector, *triggers: Trigger) -> list[Any]:
    """Let it collect them; returns what was logged."""
    queue: asyncio.Queue[Trigger] = asyncio.Queue()
    with capture_logs() as logs:
        runner = asyncio.create_task(collector.run(queue))
        for each in triggers:
            queue.put_nowait(each)
        await queue.join()
        runner.cancel()
    return logs


@dataclass
class Lag:
    """How late the loop ran what was due, in ms; ``own_ms`` is the part of its own making.

    That is at most what it did not wait for a processor, and at most the processor time
    that all threads of its process took meanwhile: for callbacks that are slow, and while
    they held the interpreter. The rest is the machine's.
    """

    all_ms: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of its own making: the worst is spoilt by a busy machine."""
        return _quantile(self.own_ms, 0.99)

    def __str__(self) -> str:
        values = (
            *(_quantile(self.all_ms, part) for part in (0.5, 0.99, 1)),
            *(_quantile(self.own_ms, part) for part in (0.5, 0.99, 1)),
        )
        return (
            "loop lag in ms: median {:.1f}, 99th percentile {:.1f}, worst {:.1f};"
            " of its own making: {:.1f}, {:.1f}, {:.1f}".format(*values)
        )


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[round(part * (len(values) - 1))]


def _wait_for_processor() -> Callable[[], float]:
    """Tells how long this thread has waited for a processor so far, in ms."""
    # Time run, time waited (ns), and how often (Documentation/scheduler/sched-stats.rst).
    schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    return lambda: int(schedstat.read_text().split()[1]) / 1e6


@asynccontextmanager
async def sampled_lag(into: Lag | None = None) -> AsyncIterator[Lag]:
    """Samples the loop's lag for the block's time, and prints it unless added ``into`` another."""
    lag = into or Lag()
    loop = asyncio.get_running_loop()
    waited_ms = _wait_for_processor()

    async def sample() -> None:
        while True:
            before_ms, used_sec = waited_ms(), time.process_time()
            due_sec = loop.time() + _EVERY_SEC
            await asyncio.sleep(_EVERY_SEC)
            late_ms = (loop.time() - due_sec) * 1e3
            used_ms = (time.process_time() - used_sec) * 1e3
            lag.all_ms.append(late_ms)
            lag.own_ms.append(max(0.0, min(late_ms - (waited_ms() - before_ms), used_ms)))

    sampler = asyncio.create_task(sample())
    try:
        yield lag
    finally:
        sampler.cancel()
        if into is None:
            print(lag)
