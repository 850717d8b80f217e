# SPDX-License-Identifier: MIT
"""The pipeline that a live agent and a replay share: queues, recorder, detector, collector."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from aodasync.actions import Action
from aodasync.audit import Audit
from aodasync.bundle.judging import judge_by_rules
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.clock import Clock
from aodasync.config.model import Config
from aodasync.events import EventBatch
from aodasync.evidence import EvidenceSource, Trigger
from aodasync.recorder import FlightRecorder
from aodasync.surroundings import Surroundings
from aodasync.tasks.collector import Collector
from aodasync.tasks.detector import Detector
from aodasync.tasks.sampler import sample_surroundings

__all__ = ["Pipeline", "Servers"]

_BATCHES = 64
_TRIGGERS = 64


class Servers:
    """Names of servers by connection id, asked of the evidence once each."""

    def __init__(self, source: EvidenceSource) -> None:
        self._source = source
        self._known: dict[int, str] = {}

    def __call__(self, connection_id: int) -> str:
        """The server's name; ``connection N`` while it is not known, ``unknown`` for 0."""
        if connection_id == 0:
            return "unknown"
        if connection_id not in self._known:
            connection = self._source.connections().get(connection_id)
            if connection is None:
                return f"connection {connection_id}"
            self._known[connection_id] = connection.server or connection.address
        return self._known[connection_id]


class Pipeline:
    """Wires the stages together; ``source`` is where evidence comes from."""

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
        captures: tuple[Action, ...] = (),
        on_done: Callable[[Trigger, Path | None], None] | None = None,
    ) -> None:
        self.batches: asyncio.Queue[EventBatch] = asyncio.Queue(_BATCHES)
        self.triggers: asyncio.Queue[Trigger] = asyncio.Queue(_TRIGGERS)
        self.server_of = Servers(source)
        self.surroundings = Surroundings(source.connections, clock) if source.live else None
        self.detector = Detector(
            config,
            batches=self.batches,
            triggers=self.triggers,
            recorder=recorder,
            server_of=self.server_of,
            clock=clock,
            log=log,
            audit=audit,
            ticks=source.live,
            in_flight=source.in_flight if source.live else None,
            operations=source.operations if source.live else None,
            samples=self.surroundings.now if self.surroundings else None,
        )
        sample = self.surroundings.at_once if self.surroundings else None
        self.collector = Collector(
            config,
            output,
            source,
            log,
            judge=judge_by_rules(sample),
            captures=captures,
            on_done=on_done,
        )

    async def collect(self) -> None:
        """The collector's life."""
        await self.collector.run(self.triggers)

    async def sample(self) -> None:
        """The sampler's life, where the host is live."""
        if self.surroundings is not None:
            await sample_surroundings(self.surroundings)
