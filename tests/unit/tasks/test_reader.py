# SPDX-License-Identifier: MIT
"""The reader moves events from a probe into the queue, and never spins."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.clock import SystemClock
from aodasync.events import EVENT, EventArray, EventBatch
from aodasync.evidence import Connection
from aodasync.operations import NO_OPERATIONS, OperationArray
from aodasync.probes.interface import ProbePlan
from aodasync.tasks.reader import Reader

pytestmark = pytest.mark.anyio


class PipeProbe:
    """A probe whose descriptor is a pipe and whose ring is a list."""

    def __init__(self) -> None:
        self._wait, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.ring: list[int] = []
        self.lost = 0

    def produce(self, count: int, *, wake: bool) -> None:
        """Put events into the ring, as the kernel side would."""
        self.ring += range(len(self.ring), len(self.ring) + count)
        if wake:
            os.write(self._wake, b"!")

    @property
    def plan(self) -> ProbePlan:
        return ProbePlan("pipe", "test", (), (), {})

    def fileno(self) -> int:
        return self._wait

    def read(self, max_events: int) -> EventArray:
        rows = np.zeros(min(max_events, len(self.ring)), EVENT)
        rows["message_id"] = self.ring[: len(rows)]
        del self.ring[: len(rows)]
        if not self.ring and len(rows):
            self._quiet()
        return rows

    def _quiet(self) -> None:
        try:
            os.read(self._wait, 4096)
        except BlockingIOError:
            return

    def in_flight(self) -> EventArray:
        return np.zeros(0, EVENT)

    def operations(self) -> OperationArray:
        return NO_OPERATIONS

    def connections(self) -> Mapping[int, Connection]:
        return {}

    def shares(self) -> Mapping[tuple[int, int], str]:
        return {}

    def figures(self) -> Mapping[str, int]:
        """None."""
        return {}

    def losses(self) -> Mapping[str, int]:
        return {"ring_full": self.lost}

    def set_emergency_ns(
        self, thresholds_ns: Sequence[int], interim_too: Collection[int] = ()
    ) -> None:
        raise NotImplementedError

    def close(self) -> None:
        os.close(self._wait)
        os.close(self._wake)


@pytest.fixture
def probe() -> Iterator[PipeProbe]:
    """A probe that is closed in the end."""
    made = PipeProbe()
    yield made
    made.close()


def _reader(probe: PipeProbe, size: int = 8) -> tuple[Reader, asyncio.Queue[EventBatch]]:
    queue: asyncio.Queue[EventBatch] = asyncio.Queue(size)
    log: Any = structlog.get_logger()
    return Reader(probe, queue, SystemClock(), log), queue


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wake_up_is_served_at_once(probe: PipeProbe) -> None:
    """An urgent event reaches the queue long before the floor timer."""
    reader, queue = _reader(probe)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    probe.produce(3, wake=True)
    async with asyncio.timeout(0.2):
        batch = await queue.get()
    assert batch.rows["message_id"].tolist() == [0, 1, 2]
    await _stopped(task)


async def test_events_without_a_wake_up_come_with_the_floor_timer(probe: PipeProbe) -> None:
    """NO_WAKEUP events are fetched within the floor interval."""
    reader, queue = _reader(probe)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    probe.produce(2, wake=False)
    async with asyncio.timeout(1.0):
        batch = await queue.get()
    assert len(batch.rows) == 2
    await _stopped(task)


async def test_a_full_queue_leaves_events_in_the_ring(probe: PipeProbe) -> None:
    """Back-pressure: nothing is read that cannot be passed on, and nothing is lost."""
    reader, queue = _reader(probe, size=1)
    probe.produce(1, wake=False)
    assert reader.drain() == 1
    probe.produce(5, wake=False)
    assert reader.drain() == 0
    assert reader.metrics.deferred == 2 - 1
    queue.get_nowait()
    assert reader.drain() == 5


async def test_a_descriptor_that_stays_readable_does_not_spin(probe: PipeProbe) -> None:
    """A record that is never committed costs a look a millisecond, not the processor."""
    reader, _ = _reader(probe)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    os.write(probe._wake, b"!")
    await asyncio.sleep(0.1)
    assert 2 <= reader.metrics.idle_wakeups <= 110
    await _stopped(task)


async def test_losses_are_told_once_each_time_they_grow(probe: PipeProbe) -> None:
    """events_lost names the stage and how many more were lost."""
    reader, _ = _reader(probe)
    with capture_logs() as logs:
        probe.lost = 7
        reader.report_losses()
        reader.report_losses()
        probe.lost = 9
        reader.report_losses()
    lost = [(line["stage"], line["count"], line["total"]) for line in logs]
    assert lost == [("ring_full", 7, 7), ("ring_full", 2, 9)]


async def test_nothing_listens_after_the_end(probe: PipeProbe) -> None:
    """A cancelled reader leaves no reader on the loop, not even by a late callback."""
    reader, _ = _reader(probe)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    os.write(probe._wake, b"!")
    await asyncio.sleep(0.002)
    await _stopped(task)
    await asyncio.sleep(0.01)
    assert not asyncio.get_running_loop().remove_reader(probe.fileno())
