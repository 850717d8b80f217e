# SPDX-License-Identifier: MIT
"""The ring-buffer reader: from the kernel's ring into the queue of batches.

The kernel wakes the descriptor for what is urgent and for a ring that fills up;
a floor timer fetches the rest. When the detector falls behind, the reader stops
reading: the ring holds what waits, and what it cannot hold the kernel counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from aodasync.clock import Clock
from aodasync.events import EventBatch
from aodasync.probes.interface import Probe

__all__ = ["Reader", "ReaderMetrics"]

FLOOR_SEC = 0.25
_MAX_BATCH_EVENTS = 16_384
_REST_SEC = 0.001
_LOSSES_EVERY_SEC = 1.0


@dataclass(slots=True)
class ReaderMetrics:
    """Counts since the start."""

    events: int = 0
    batches: int = 0
    wakeups: int = 0
    idle_wakeups: int = 0
    deferred: int = 0
    largest_batch: int = 0


class Reader:
    """Drains an attached probe into ``batches``."""

    def __init__(
        self,
        probe: Probe,
        batches: asyncio.Queue[EventBatch],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._probe = probe
        self._batches = batches
        self._clock = clock
        self._log = log.bind(component="reader")
        self._listening = False
        self._running = False
        self._lost: dict[str, int] = {}
        self.metrics = ReaderMetrics()

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        next_losses = loop.time()
        self._running = True
        try:
            while True:
                self._listen()
                await asyncio.sleep(FLOOR_SEC)
                self.drain()
                if loop.time() >= next_losses:
                    next_losses = loop.time() + _LOSSES_EVERY_SEC
                    self.report_losses()
        finally:
            self._running = False
            self._mute()

    def drain(self) -> int:
        """Move what is in the ring into the queue while it has room; returns the rows moved."""
        moved = 0
        while not self._batches.full():
            rows = self._probe.read(_MAX_BATCH_EVENTS)
            if len(rows) == 0:
                return moved
            self._batches.put_nowait(EventBatch(rows, self._clock.monotonic_ns()))
            moved += len(rows)
            self.metrics.events += len(rows)
            self.metrics.batches += 1
            self.metrics.largest_batch = max(self.metrics.largest_batch, len(rows))
            if len(rows) < _MAX_BATCH_EVENTS:
                return moved
        self.metrics.deferred += 1
        return moved

    def report_losses(self) -> None:
        """Log each loss counter that grew."""
        losses: Mapping[str, int] = self._probe.losses()
        for stage, count in losses.items():
            grown = count - self._lost.get(stage, 0)
            if grown > 0:
                self._lost[stage] = count
                self._log.warning("events_lost", stage=stage, count=grown, total=count)

    def _listen(self) -> None:
        if not self._listening:
            asyncio.get_running_loop().add_reader(self._probe.fileno(), self._on_readable)
            self._listening = True

    def _mute(self) -> None:
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._probe.fileno())
            self._listening = False

    def _on_readable(self) -> None:
        self.metrics.wakeups += 1
        if self.drain() == 0:
            # A record still being written, or a full queue, keeps the descriptor
            # readable: look again in a moment rather than spin.
            self.metrics.idle_wakeups += 1
            self._mute()
            asyncio.get_running_loop().call_later(_REST_SEC, self._listen_again)

    def _listen_again(self) -> None:
        if self._running:
            self._listen()
