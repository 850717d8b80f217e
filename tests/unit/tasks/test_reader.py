# SPDX-License-Identifier: MIT
"""The reader moves events from a probe into the queue, and never spins."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aodasync.events import EVENT, EventBatch
from aodasync.evidence.recorder import SPARED_ROWS, FlightRecorder
from aodasync.host.clock import SystemClock
from aodasync.probes.interface import ProbePlan
from aodasync.tasks.batch_queue import BatchQueue
from aodasync.tasks.reader import _MAX_BATCH_EVENTS, Reader

pytestmark = pytest.mark.anyio


class PipeProbe:
    """A probe whose descriptor is a pipe and whose ring is a list."""

    def __init__(self) -> None:
        self._wait, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.ring: list[int] = []
        self.lost = 0
        self.stopped_short = False
        self.tables: Mapping[str, Callable[[], Any]] = {"losses": self.losses}

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

    def read_into(self, into: npt.NDArray[np.void]) -> int:
        rows = into.view(EVENT)[: len(self.ring)]
        rows["message_id"] = self.ring[: len(rows)]
        del self.ring[: len(rows)]
        return len(rows)

    def acknowledge(self) -> None:
        try:
            os.read(self._wait, 4096)
        except BlockingIOError:
            return

    def wanted_stacks(self) -> tuple[int, ...]:
        return ()

    def is_quiet(self) -> bool:
        return not self.ring

    def settle(self) -> None:
        pass

    def set_stacks(self, read_ns: int, stacks: Mapping[int, str | None]) -> None:
        raise NotImplementedError

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


def _reader(probe: PipeProbe, size: int = 8, kept: int = 50_000) -> tuple[Reader, BatchQueue]:
    queue = BatchQueue(FlightRecorder(kept), size)
    return Reader(probe, queue, SystemClock()), queue


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


async def test_a_record_that_is_being_written_is_looked_for_again(probe: PipeProbe) -> None:
    """One that is never committed costs a look a millisecond, not the processor."""
    reader, queue = _reader(probe)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    probe.stopped_short = True
    os.write(probe._wake, b"!")
    await asyncio.sleep(0.1)
    assert reader.metrics.wakeups == reader.metrics.idle_wakeups == 1
    assert 2 <= reader.metrics.looks <= 110
    probe.stopped_short = False
    probe.produce(1, wake=False)
    async with asyncio.timeout(0.1):
        await queue.get()
    await _stopped(task)


async def test_a_ring_that_never_runs_empty_wakes_it_once_a_wake_up(probe: PipeProbe) -> None:
    """What comes in while a wake-up is served is left for the next one, or for the floor timer."""

    async def never(_every_sec: float, _silent_sec: float, /) -> None:
        await asyncio.Event().wait()

    # Without the floor timer, which comes first on a slow machine.
    queue = BatchQueue(FlightRecorder(50_000), 64)
    reader = Reader(probe, queue, SystemClock(), beat=never)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    probe.produce(1, wake=True)
    for _ in range(100):
        await asyncio.sleep(0.001)
        probe.produce(1, wake=False)
    assert (reader.metrics.wakeups, reader.metrics.batches) == (1, 1)
    await _stopped(task)


async def test_a_full_queue_costs_no_look_until_there_is_room(probe: PipeProbe) -> None:
    """Nothing is polled while the detector is behind; it reads on as soon as a batch is taken."""
    reader, queue = _reader(probe, size=1)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    probe.produce(1, wake=True)
    await asyncio.sleep(0.05)
    probe.produce(3, wake=True)
    await asyncio.sleep(0.2)
    assert (reader.metrics.batches, reader.metrics.events) == (1, 1)
    assert reader.metrics.wakeups <= 3
    queue.get_nowait()
    async with asyncio.timeout(0.1):
        assert len((await queue.get()).rows) == 3
    await _stopped(task)


async def test_the_queue_is_bounded_in_rows() -> None:
    """It is full once it holds so many, however few the batches."""
    queue = BatchQueue(FlightRecorder(1), 64, most_rows=10)
    queue.put_nowait(EventBatch(np.zeros(9, EVENT), 0))
    assert not queue.full()
    queue.put_nowait(EventBatch(np.zeros(9, EVENT), 0))
    assert (queue.full(), queue.rows) == (True, 18)
    queue.get_nowait()
    assert (queue.full(), queue.rows) == (False, 9)


async def test_rows_stay_where_they_are_until_their_batch_is_dealt_with(probe: PipeProbe) -> None:
    """They lie in the recorder, and what is read later goes elsewhere, or waits in the ring."""
    reader, queue = _reader(probe, kept=1)
    taken = []
    for start in range(0, 40_000, 5_000):
        probe.ring = list(range(start, start + 5_000))
        reader.drain()
        if not queue.empty():
            taken.append(queue.get_nowait().rows)
    rows = np.concatenate(taken)
    assert rows["message_id"].tolist() == list(range(len(rows)))
    assert len(rows) == 32_768 - SPARED_ROWS
    assert queue.recorder.snapshot()["message_id"].tolist() == [len(rows) - 1]
    queue.task_done()
    assert reader.drain() == 5_000
    assert (taken[1] == rows[5_000:10_000]).all()


async def test_a_callback_reads_one_batch(probe: PipeProbe) -> None:
    """The loop gets its turn between batches of a ring that is full; none is left for the timer."""
    reader, queue = _reader(probe)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    probe.produce(2 * _MAX_BATCH_EVENTS + 1, wake=True)
    async with asyncio.timeout(0.2):
        sizes = [len((await queue.get()).rows) for _ in range(3)]
    assert sizes == [_MAX_BATCH_EVENTS, _MAX_BATCH_EVENTS, 1]
    await _stopped(task)


async def test_a_failing_callback_fails_the_task() -> None:
    """What goes wrong when the loop calls ends the task once, and the loop does not spin on it."""

    class Broken(PipeProbe):
        calls = 0

        def read_into(self, into: npt.NDArray[np.void]) -> int:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("broken")
            return super().read_into(into)

    probe = Broken()
    reader = Reader(probe, BatchQueue(FlightRecorder(1)), SystemClock())
    probe.produce(1, wake=True)
    with pytest.raises(RuntimeError, match="broken"):
        async with asyncio.timeout(5):
            await reader.run()
    assert probe.calls == 1
    reading = asyncio.create_task(reader.run())
    await asyncio.sleep(0.05)
    reading.cancel()
    assert reader.metrics.events == 1
    probe.close()
