# SPDX-License-Identifier: MIT
"""The ring-buffer reader: from the kernel's ring into the queue of batches.

The kernel wakes the reader for what is urgent and for a ring that fills up; a floor timer
fetches the rest, the first of them after a silence within a second.
When the detector falls behind, the reader stops reading: the ring holds what waits,
and what it cannot hold the kernel counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aodasync.events import EventBatch
from aodasync.host.clock import Clock
from aodasync.probes.interface import Probe
from aodasync.tasks.batch_queue import BatchQueue
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Reader", "ReaderMetrics"]

FLOOR_SEC = 0.25
_FRESH_NS = 125_000_000  # no floor timer so soon after a wake-up: rows wait for 0.4 s at most
_SILENT_FLOOR_SEC = 30.0  # a ring that is not empty ends the silence
_MAX_BATCH_EVENTS = 16_384
_REST_SEC = 0.001


@dataclass(slots=True)
class ReaderMetrics:
    """Counts since the start."""

    events: int = 0
    batches: int = 0
    wakeups: int = 0
    idle_wakeups: int = 0
    deferred: int = 0
    largest_batch: int = 0
    looks: int = 0


class Reader:
    """Drains an attached probe into ``batches``; ``stir`` is told that rows came."""

    def __init__(
        self,
        probe: Probe,
        batches: BatchQueue,
        clock: Clock,
        *,
        beat: Beat = steady,
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        self._beat = beat
        self._stir = stir
        self._probe = probe
        self._batches = batches
        self._clock = clock
        self._running = False
        self._again: asyncio.TimerHandle | None = None
        self._moved_ns = 0
        self._has_more = False  # the last read filled its room
        self._failure: Exception | None = None
        self.metrics = ReaderMetrics()

    async def run(self) -> None:
        """Read until cancelled. What failed between two looks is raised at the next one."""
        loop, descriptor = asyncio.get_running_loop(), self._probe.fileno()
        self._running = True
        self._failure = None
        loop.add_reader(descriptor, self._on_wakeup)
        loop.call_soon(self._read_on)  # what a run that failed was woken for
        try:
            while self._failure is None:
                await self._beat(FLOOR_SEC, _SILENT_FLOOR_SEC)
                if self._clock.monotonic_ns() - self._moved_ns >= _FRESH_NS:
                    self._read_on()
            raise self._failure
        finally:
            self._running = False
            loop.remove_reader(descriptor)

    def is_quiet(self) -> bool:
        """Whether nothing is to be read or waited for. Raises BpfError.

        To find the ring empty, while whoever would read it lives, is a look at it.
        """
        quiet = self._probe.is_quiet()
        if quiet and self._running and self._failure is None:
            self.metrics.looks += 1
        return quiet

    def drain(self) -> int:
        """Move what is in the ring into the queue while it has room; returns the rows moved."""
        moved = 0
        while rows := self._move():
            moved += rows
            if not self._has_more:
                break
        return moved

    def _move(self) -> int:
        """Move one batch; returns its rows, 0 when the queue is full or the ring empty."""
        if self._batches.full():
            self.metrics.deferred += 1
            return 0
        recorder = self._batches.recorder
        rows, self._has_more = recorder.fill(self._probe.read_into, _MAX_BATCH_EVENTS)
        if len(rows):
            self._moved_ns = self._clock.monotonic_ns()
            self._batches.put_nowait(EventBatch(rows, self._moved_ns, recorded=True))
            self.metrics.events += len(rows)
            self.metrics.batches += 1
            self.metrics.largest_batch = max(self.metrics.largest_batch, len(rows))
            self._stir()
        return len(rows)

    def _read_on(self) -> None:
        """Move one batch, and the next one after whatever else the loop has to do."""
        self.metrics.looks += 1
        if not self._running or self._failure is not None:
            return
        try:
            moved = self._move()
        except Exception as error:  # noqa: BLE001  # run() raises it
            self._failure = error
            return
        if moved and self._has_more:
            asyncio.get_running_loop().call_soon(self._read_on)
        elif self._batches.full():
            self._batches.call_on_room(self._read_on)
        elif self._probe.stopped_short:
            self._look_again()

    def _look_again(self) -> None:
        """Soon: a record that is being written takes a moment, and no wake-up may follow it."""
        if self._again is None or self._again.when() <= asyncio.get_running_loop().time():
            self._again = asyncio.get_running_loop().call_later(_REST_SEC, self._read_on)

    def _on_wakeup(self) -> None:
        self.metrics.wakeups += 1
        before = self.metrics.batches
        self._probe.acknowledge()
        self._read_on()
        self.metrics.idle_wakeups += self.metrics.batches == before
