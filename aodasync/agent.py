# SPDX-License-Identifier: MIT
"""The live agent: one event loop, one TaskGroup, the kernel's requests in, bundles out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from structlog.typing import FilteringBoundLogger

from aodasync import probes
from aodasync.audit import Audit
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.clock import SystemClock
from aodasync.config.model import Config, LatencyAnomaly
from aodasync.detection.latency import urgent_thresholds_ns
from aodasync.events import EVENT, EventArray
from aodasync.evidence import Connection, Trigger
from aodasync.host import host_facts
from aodasync.notify import notify
from aodasync.pipeline import Pipeline
from aodasync.probes.interface import Probe
from aodasync.recorder import FlightRecorder
from aodasync.tasks.cleaner import Cleaner
from aodasync.tasks.reader import Reader, ReaderMetrics
from aodasync.tasks.supervisor import Supervisor
from aodasync.tasks.vitals import Vitals

__all__ = ["Agent"]

_CACHE_DIR = Path("/var/cache/aodasync")
_GRACE_SEC = 15.0
_DRAIN_SEC = 2.0


class Agent:
    """Watches this host until it is told to stop. It is its own evidence source."""

    def __init__(self, config: Config, output: OutputDirectory, log: FilteringBoundLogger) -> None:
        self._config = config
        self._log = log
        self._clock = SystemClock()
        self._audit = Audit(enabled=config.audit.enabled)
        self._recorder = FlightRecorder(config.recorder.max_events)
        self._probe: Probe | None = None
        self._reader: Reader | None = None
        self._stop = asyncio.Event()
        self._pipeline = Pipeline(
            config,
            source=self,
            recorder=self._recorder,
            output=output,
            clock=self._clock,
            log=log,
            audit=self._audit,
        )
        self._cleaner = Cleaner(config, output, log)
        self._vitals = Vitals(self._metrics, log)
        self._supervisor: Supervisor | None = None

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then bring in what is in hand.

        Raises:
            ExceptionGroup: of an AodasyncError, when the host cannot be probed.
        """
        pipeline = self._pipeline
        try:
            async with asyncio.TaskGroup() as group:
                supervisor = self._supervisor = Supervisor(group, self._log, self._audit)
                tasks = [
                    supervisor.start("detector", pipeline.detector.run),
                    supervisor.start(
                        "collector", lambda: pipeline.collector.run(pipeline.triggers)
                    ),
                    supervisor.start("cleaner", self._cleaner.run),
                    supervisor.start("vitals", self._vitals.run),
                    supervisor.start("signals", self._signals),
                    supervisor.start("reader", self._read),
                ]
                await self._stop.wait()
                notify("STOPPING=1")
                await self._bring_in()
                for task in tasks:
                    task.cancel()
        finally:
            if self._probe is not None:
                self._probe.close()
            self._vitals.report()
            self._log.info("agent_stopped")

    async def _signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as received:
            async for number in received:
                if number == signal.SIGUSR1:
                    self._snapshot()
                else:
                    self._log.info("agent_stopping", signal=signal.Signals(number).name)
                    self._stop.set()

    def _snapshot(self) -> None:
        trigger = Trigger(
            anomaly="snapshot",
            finding=None,
            actions=self._config.watcher_actions,
            decided_monotonic_ns=self._clock.monotonic_ns(),
            decided_realtime_ns=self._clock.realtime_ns(),
            episode=0,
        )
        try:
            self._pipeline.triggers.put_nowait(trigger)
        except asyncio.QueueFull:
            self._log.error("trigger_suppressed", anomaly="snapshot", reason="collector queue full")

    async def _read(self) -> None:
        probe = self._probe or await self._attach()
        reader = Reader(probe, self._pipeline.batches, self._clock, self._log)
        if self._reader is not None:
            reader.metrics = self._reader.metrics
        self._reader = reader
        await reader.run()

    async def _attach(self) -> Probe:
        if not probes.cifs_loaded():
            self._log.info("agent_waiting", **{"for": "the cifs module (the first SMB mount)"})
            notify("READY=1\nSTATUS=waiting for the cifs module")
            await probes.wait_for_cifs()
        begun_ns = self._clock.monotonic_ns()
        probe = self._probe = await probes.open_probe(cache_dir=_CACHE_DIR)
        latency = tuple(a for a in self._config.anomalies if isinstance(a, LatencyAnomaly))
        probe.set_emergency_ns(urgent_thresholds_ns(latency))
        plan = probe.plan
        self._log.info(
            "agent_ready",
            probe=plan.name,
            kernel=plan.kernel,
            start_ms=round((self._clock.monotonic_ns() - begun_ns) / 1e6, 1),
            steps_ms={name: round(ms, 1) for name, ms in plan.steps_ms.items()},
            attached={a.role: f"{a.method}:{a.target}" for a in plan.attachments if not a.error},
            not_attached={a.role: a.error for a in plan.attachments if a.error},
            notes=list(plan.notes),
        )
        notify(f"READY=1\nSTATUS=watching every SMB request ({plan.name})")
        return probe

    async def _bring_in(self) -> None:
        """Take the last events in, let the detector decide on them, finish bundles in hand."""
        pipeline = self._pipeline
        with anyio.move_on_after(_DRAIN_SEC):
            if self._reader is not None:
                self._reader.drain()
            await pipeline.batches.join()
        if self._reader is not None:
            self._reader.report_losses()
        await pipeline.collector.finish(_GRACE_SEC)

    # The agent as an EvidenceSource.

    @property
    def live(self) -> bool:
        """This host is the one observed."""
        return True

    def events(self) -> EventArray:
        """A copy of the flight recorder, what is still in the ring included."""
        return self._recorder.snapshot()

    def in_flight(self) -> EventArray:
        """Requests in flight now."""
        return self._probe.in_flight() if self._probe else np.zeros(0, EVENT)

    def losses(self) -> Mapping[str, int]:
        """Every loss counter: the kernel side's, and our own."""
        metrics = self._pipeline.detector.metrics
        return {
            **(self._probe.losses() if self._probe else {}),
            "triggers_dropped": metrics.dropped_triggers,
        }

    def connections(self) -> Mapping[int, Connection]:
        """Connections seen so far."""
        return self._probe.connections() if self._probe else {}

    def facts(self) -> Mapping[str, Any]:
        """The host, the agent, and the probe in use."""
        return {**host_facts(), "probe": asdict(self._probe.plan) if self._probe else None}

    def _metrics(self) -> dict[str, Mapping[str, Any]]:
        pipeline = self._pipeline
        reader = self._reader.metrics if self._reader else ReaderMetrics()
        return {
            "reader": asdict(reader),
            "detector": asdict(pipeline.detector.metrics),
            "collector": asdict(pipeline.collector.metrics),
            "cleaner": asdict(self._cleaner.metrics),
            "queues": {
                "batches": pipeline.batches.qsize(),
                "triggers": pipeline.triggers.qsize(),
            },
            "recorder": {"held": len(self._recorder), "appended": self._recorder.appended},
            "episodes": {"open": pipeline.detector.engine.episodes.open_count},
            "losses": self.losses(),
            "restarts": dict(self._supervisor.restarts) if self._supervisor else {},
        }
