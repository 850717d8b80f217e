# SPDX-License-Identifier: MIT
"""The pipeline that a live agent and a replay share: queues, recorder, detector, collector."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from aodasync.actions import Action
from aodasync.actions.crash_memory import CrashMemory
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.detection.batch_content import Content
from aodasync.events import EventArray
from aodasync.evidence.model import EvidenceSource, Sample, Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.clock import Clock
from aodasync.process.children import Children
from aodasync.tasks.batch_queue import BatchQueue
from aodasync.tasks.collector import Collector
from aodasync.tasks.detector import DetectorTask
from aodasync.tasks.heartbeat import Beat, steady
from aodasync.tasks.history_keeper import HistoryKeeper
from aodasync.tasks.hooks import Hooks
from aodasync.tasks.sampler import Sampler

__all__ = ["Pipeline", "Servers"]

_TRIGGERS = 64
_FRESH_NS = 1_000_000_000
_RETRY_NS = 50_000_000


class Servers:
    """Names of servers by connection id, as read a second ago at most.

    A name may change (DFS failover). One that is missing is looked for at once, then after
    50 ms, and each time after twice as long: a connection may stay unknown.
    """

    def __init__(self, source: EvidenceSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._names: dict[int, str] = {}
        self._read_ns: int | None = None
        self._retry_ns = _RETRY_NS

    def __call__(self, connection_id: int) -> str:
        """The server's name; ``connection N`` while it is not known, ``unknown`` for 0."""
        if connection_id == 0:
            return "unknown"
        known = connection_id in self._names
        now_ns = self._clock.monotonic_ns()
        pause_ns = _FRESH_NS if known else self._retry_ns
        if self._read_ns is None or now_ns - self._read_ns >= pause_ns:
            self._read_ns = now_ns
            self._read()
            missing = connection_id not in self._names
            self._retry_ns = min(_FRESH_NS, 2 * self._retry_ns) if missing else _RETRY_NS
        return self._names.get(connection_id) or f"connection {connection_id}"

    def _read(self) -> None:
        now = self._source.snapshot("connections")
        if not now.errors:  # otherwise the names as they were will do
            self._names = {n: c.server or c.address for n, c in now.connections.items()}


class Pipeline:
    """Wires the stages together; ``source`` is where evidence comes from.

    ``samples`` are those of a source that is not live. ``is_silent`` tells of a time in which
    nothing comes and nothing is waited for.
    """

    def __init__(
        self,
        config: Config,
        *,
        source: EvidenceSource,
        recorder: FlightRecorder,
        output: OutputDirectory,
        clock: Clock,
        log: FilteringBoundLogger,
        audit: Audit,
        children: Children,
        memory: CrashMemory | None = None,
        samples: Callable[[], tuple[Sample, ...]] | None = None,
        captures: tuple[Action, ...] = (),
        on_done: Callable[[Trigger, Path | None], None] | None = None,
        publish: Callable[[EventArray, Content], None] | None = None,
        history: HistoryKeeper | None = None,
        hooks: Hooks | None = None,
        beat: Beat = steady,
        is_silent: Callable[[], bool] = lambda: False,
    ) -> None:
        self.batches = BatchQueue(recorder)
        self.triggers: asyncio.Queue[Trigger] = asyncio.Queue(_TRIGGERS)
        self.server_of = Servers(source, clock)
        self.sampler = Sampler(source, clock, beat) if source.live else None
        self.detector = DetectorTask(
            config,
            batches=self.batches,
            triggers=self.triggers,
            recorder=recorder,
            server_of=self.server_of,
            clock=clock,
            log=log,
            audit=audit,
            ticks=source.live,
            source=source,
            samples=self.sampler.history if self.sampler else samples,
            publish=publish,
            history=history,
            hooks=hooks,
            is_silent=is_silent,
        )
        self.collector = Collector(
            config,
            output,
            source,
            log,
            children=children,
            memory=memory,
            sample=self.sampler.at_once if self.sampler else None,
            captures=captures,
            on_done=on_done,
            history=history,
            hooks=hooks,
        )

    def reconfigure(self, config: Config) -> None:
        """Go on by another configuration; what is queued, recorded and learnt stays."""
        self.detector.reconfigure(config)
        self.collector.reconfigure(config)

    @property
    def ordered_bundles(self) -> int:
        """Those that were written, are being written, or wait for their turn."""
        collector = self.collector
        return collector.metrics.bundles_written + collector.in_hand + self.triggers.qsize()

    async def collect(self) -> None:
        """The collector's life."""
        await self.collector.run(self.triggers)

    async def sample(self) -> None:
        """The sampler's life, where the host is live."""
        if self.sampler is not None:
            await self.sampler.run()
