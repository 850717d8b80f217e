# SPDX-License-Identifier: MIT
"""The reader's life: wait for the client, attach, read."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from aodasync import probes
from aodasync.clock import Clock
from aodasync.config.model import Config, LatencyAnomaly
from aodasync.detection.latency import urgent_though_announced, urgent_thresholds_ns
from aodasync.events import EventBatch
from aodasync.footprint import settle
from aodasync.live import LiveEvidence
from aodasync.notify import notify
from aodasync.probes.interface import Probe
from aodasync.tasks.reader import Reader, ReaderMetrics

__all__ = ["Watch"]


class Watch:
    """Attaches a probe once, into ``evidence``, and keeps a reader on it.

    ``imports_ms`` is what the process did before; it is logged with the other steps.
    """

    def __init__(
        self,
        config: Config,
        *,
        evidence: LiveEvidence,
        batches: asyncio.Queue[EventBatch],
        clock: Clock,
        cache_dir: Path,
        log: FilteringBoundLogger,
        imports_ms: float = 0.0,
    ) -> None:
        self._imports_ms = imports_ms
        self._config = config
        self._evidence = evidence
        self._batches = batches
        self._clock = clock
        self._cache_dir = cache_dir
        self._log = log
        self.reader: Reader | None = None

    @property
    def metrics(self) -> ReaderMetrics:
        """The reader's, over all of its lives."""
        return self.reader.metrics if self.reader else ReaderMetrics()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            ProbeError: the client cannot be probed.
        """
        if self._evidence.probe is None:
            await self._wait()
            self._evidence.probe = await self._attach()
        metrics = self.metrics
        self.reader = Reader(self._evidence.probe, self._batches, self._clock, self._log)
        self.reader.metrics = metrics
        await self.reader.run()

    async def _wait(self) -> None:
        if not probes.cifs_loaded():
            self._log.info("agent_waiting", **{"for": "the cifs module (the first SMB mount)"})
            notify("READY=1\nSTATUS=waiting for the cifs module")
            await probes.wait_for_cifs()

    async def _attach(self) -> Probe:
        begun_ns = self._clock.monotonic_ns()
        wanted_bytes = max(self._config.recorder.ring_bytes, resource.getpagesize())
        probe = await probes.open_probe(
            ring_bytes=1 << (wanted_bytes - 1).bit_length(), cache_dir=self._cache_dir
        )
        latency = tuple(a for a in self._config.anomalies if isinstance(a, LatencyAnomaly))
        announced = urgent_though_announced(latency)
        probe.set_emergency_ns(urgent_thresholds_ns(latency), interim_too=announced)
        plan = probe.plan
        settle()
        attach_ms = (self._clock.monotonic_ns() - begun_ns) / 1e6
        steps_ms = {"imports": self._imports_ms, **plan.steps_ms}
        steps_ms["rest"] = attach_ms - sum(plan.steps_ms.values())  # mostly the child's start
        self._log.info(
            "agent_ready",
            probe=plan.name,
            kernel=plan.kernel,
            start_ms=round(self._imports_ms + attach_ms, 1),
            steps_ms={name: round(ms, 1) for name, ms in steps_ms.items()},
            attached=[f"{a.role}:{a.method}:{a.target}" for a in plan.attachments if not a.error],
            not_attached={a.target: a.error for a in plan.attachments if a.error},
            notes=list(plan.notes),
        )
        notify(f"READY=1\nSTATUS=watching every SMB request ({plan.name})")
        return probe
