# SPDX-License-Identifier: MIT
"""The ring-buffer reader: from the kernel's ring into the queue of batches.

The kernel wakes the descriptor for what is urgent and for a ring that fills up;
a floor timer fetches the rest, the first of them after a silence within a second.
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
        self._listening = False
        self._running = False
        self._has_more = False  # the last read filled its room
        self._failure: Exception | None = None
        self.metrics = ReaderMetrics()

    async def run(self) -> None:
        """Read until cancelled. What failed between two looks is raised at the next one."""
        self._running = True
        self._failure = None
        try:
            while self._failure is None:
                self._listen()
                await self._beat(FLOOR_SEC, _SILENT_FLOOR_SEC)
                self._read_on()
            raise self._failure
        finally:
            self._running = False
            self._mute()

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
            self._batches.put_nowait(EventBatch(rows, self._clock.monotonic_ns(), recorded=True))
            self.metrics.events += len(rows)
            self.metrics.batches += 1
            self.metrics.largest_batch = max(self.metrics.largest_batch, len(rows))
            self._stir()
        return len(rows)

    def _read_on(self) -> int:
        """Move one batch, and the next one after whatever else the loop has to do."""
        self.metrics.looks += 1
        try:
            moved = self._move() if self._running and self._failure is None else 0
        except Exception as error:  # noqa: BLE001  # the loop, which calls too, would try for ever
            self._failure = error
            return 0
        if moved and self._has_more:
            asyncio.get_running_loop().call_soon(self._read_on)
        return moved

    def _listen(self) -> None:
        if not self._running or self._listening:
            return
        if self._batches.full():
            self._batches.call_on_room(self._room)
        else:
            asyncio.get_running_loop().add_reader(self._probe.fileno(), self._on_readable)
            self._listening = True

    def _mute(self) -> None:
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._probe.fileno())
            self._listening = False

    def _room(self) -> None:
        self._listen()
        self._read_on()

    def _on_readable(self) -> None:
        self.metrics.wakeups += 1
        if self._read_on():
            return
        # The descriptor stays readable: do not spin. Of a full queue the detector says
        # when it has room again; a record that is still being written takes a moment.
        self.metrics.idle_wakeups += 1
        self._mute()
        if self._batches.full():
            self._batches.call_on_room(self._room)
        else:
            asyncio.get_running_loop().call_later(_REST_SEC, self._listen)
