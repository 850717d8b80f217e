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
from structlog.typing import FilteringBoundLogger

from aodasync.audit import Audit
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.children import Children
from aodasync.clock import SystemClock, process_age_ms
from aodasync.config.model import Config
from aodasync.evidence import Trigger
from aodasync.learnt import STATE_DIR
from aodasync.live import LiveEvidence
from aodasync.notify import notify
from aodasync.pipeline import Pipeline
from aodasync.recorder import FlightRecorder
from aodasync.status import in_flight_summary, server_summary
from aodasync.tasks.captures import Captures, configured
from aodasync.tasks.cleaner import Cleaner
from aodasync.tasks.control import Control
from aodasync.tasks.memory import Memory
from aodasync.tasks.sight import Sight
from aodasync.tasks.supervisor import Supervisor
from aodasync.tasks.vitals import Vitals
from aodasync.tasks.watch import Watch

__all__ = ["CACHE_DIR", "Agent"]

CACHE_DIR = Path("/var/cache/aodasync")

_GRACE_SEC = 15.0
_DRAIN_SEC = 2.0
_SNAPSHOT_SEC = 60.0


class Agent:
    """Watches this host until it is told to stop."""

    def __init__(
        self,
        config: Config,
        *,
        output: OutputDirectory,
        run_dir: Path,
        log: FilteringBoundLogger,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = SystemClock()
        self._audit = Audit(enabled=config.audit.enabled)
        self._recorder = FlightRecorder(config.recorder.max_events)
        self._evidence = LiveEvidence(self._recorder)
        self._cleaner = Cleaner(config, output, log)
        self._children = Children()
        self._captures = Captures(configured(config, CACHE_DIR / "captures"), self._children, log)
        self._pipeline = Pipeline(
            config,
            source=self._evidence,
            recorder=self._recorder,
            output=output,
            clock=self._clock,
            log=log,
            audit=self._audit,
            captures=self._captures.actions,
            on_done=self._bundle_done,
        )
        self._memory = Memory(self._pipeline.detector.engine, STATE_DIR, log)
        self._watch = Watch(
            config,
            evidence=self._evidence,
            batches=self._pipeline.batches,
            clock=self._clock,
            cache_dir=CACHE_DIR,
            log=log,
            imports_ms=process_age_ms(),
        )
        self._vitals = Vitals(self._metrics, log)
        self._snapshots: dict[int, asyncio.Future[Path | None]] = {}
        self._sight = Sight(self._children, self._recorded, log)
        handlers = {"status": self.status, "snapshot": self.snapshot}
        self._control = Control(run_dir, handlers, log)
        self._supervisor: Supervisor | None = None
        self._stop = asyncio.Event()

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
                    supervisor.start("collector", pipeline.collect),
                    supervisor.start("sampler", pipeline.sample),
                    supervisor.start("memory", self._memory.run),
                    supervisor.start("cleaner", self._cleaner.run),
                    supervisor.start("captures", self._captures.run),
                    supervisor.start("vitals", self._vitals.run),
                    supervisor.start("sight", self._sight.run),
                    supervisor.start("control", self._control.run),
                    supervisor.start("signals", self._signals),
                    supervisor.start("reader", self._watch.run),
                ]
                await self._stop.wait()
                notify("STOPPING=1")
                await self._bring_in()
                for task in tasks:
                    task.cancel()
        finally:
            if self._evidence.probe is not None:
                self._vitals.report()
                self._evidence.probe.close()
            self._log.info("agent_stopped")

    async def _signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) as signals:
            async for number in signals:
                if number == signal.SIGUSR1:
                    self._order_snapshot()
                else:
                    self._log.info("agent_stopping", signal=signal.Signals(number).name)
                    self._stop.set()

    def _order_snapshot(self) -> int:
        """Order a bundle of what is now, with ``watcher.actions``; returns what identifies it."""
        if self._watch.reader is not None:
            self._watch.reader.drain()
        trigger = Trigger(
            anomaly="snapshot",
            finding=None,
            actions=self._config.watcher_actions,
            decided_monotonic_ns=self._clock.monotonic_ns(),
            decided_realtime_ns=self._clock.realtime_ns(),
            episode=0,
        )
        self._pipeline.detector.trigger(trigger)
        return trigger.decided_monotonic_ns

    async def snapshot(self) -> Mapping[str, Any]:
        """Order a bundle and wait for it."""
        ordered = self._order_snapshot()
        done = self._snapshots[ordered] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_SNAPSHOT_SEC):
                path = await done
        except TimeoutError:
            return {"error": f"no bundle within {_SNAPSHOT_SEC:.0f} s"}
        finally:
            del self._snapshots[ordered]
        return {"path": str(path)} if path else {"error": "the bundle could not be written"}

    def _bundle_done(self, trigger: Trigger, path: Path | None) -> None:
        self._cleaner.wake()
        waiting = self._snapshots.get(trigger.decided_monotonic_ns)
        if waiting is not None and not waiting.done():
            waiting.set_result(path)

    def _recorded(self) -> int | None:
        """Requests recorded, or seen and not recorded; None while nothing is attached.

        Not those that found the in-flight map full: a probe that misses every
        release fills it, and is blind.
        """
        if self._evidence.probe is None:
            return None
        losses = self._evidence.losses()
        return self._recorder.appended + losses["ring_full"] + losses["unended"]

    async def _bring_in(self) -> None:
        """Take the last events in, let the detector decide on them, finish bundles in hand.

        Of an anomaly that still goes on, one more bundle says how it stood at the end.
        It takes 22 s at most: the unit's TimeoutStopSec is longer.
        """
        reader, pipeline = self._watch.reader, self._pipeline
        with anyio.move_on_after(_DRAIN_SEC):
            if reader is not None:
                reader.drain()
                reader.report_losses()
            await pipeline.batches.join()
        if pipeline.detector.engine.episodes.open_count:
            self._order_snapshot()
        await self._memory.save()
        await pipeline.collector.finish(_GRACE_SEC)

    async def status(self) -> Mapping[str, Any]:
        """The live state, as ``aodasync status`` shows it."""
        evidence = self._evidence
        in_flight = evidence.in_flight()
        now_ns = self._clock.monotonic_ns()
        plan = evidence.probe.plan if evidence.probe else None
        return {
            "probe": plan.name if plan else "waiting for the cifs module",
            "blind": self._sight.blind,
            "sight": self._sight.compared,
            "kernel": plan.kernel if plan else None,
            "servers": server_summary(self._recorder.snapshot(), self._pipeline.server_of, now_ns),
            "in_flight": in_flight_summary(in_flight, now_ns),
            **self._vitals.snapshot(),
        }

    def _metrics(self) -> dict[str, Mapping[str, Any]]:
        pipeline = self._pipeline
        return {
            "reader": asdict(self._watch.metrics),
            "detector": asdict(pipeline.detector.metrics),
            "collector": asdict(pipeline.collector.metrics),
            "cleaner": asdict(self._cleaner.metrics),
            "captures": self._captures.metrics,
            "queues": {
                "batches": pipeline.batches.qsize(),
                "triggers": pipeline.triggers.qsize(),
            },
            "recorder": {"held": len(self._recorder), "appended": self._recorder.appended},
            "episodes": {"open": pipeline.detector.engine.episodes.open_count},
            "losses": self._evidence.losses(),
            "kernel_side": self._evidence.figures(),
            "restarts": dict(self._supervisor.restarts) if self._supervisor else {},
        }
