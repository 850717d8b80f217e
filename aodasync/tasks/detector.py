# SPDX-License-Identifier: MIT
"""The detector: batches into the recorder and the engine, episodes into logs and triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from structlog.typing import FilteringBoundLogger

from aodasync.audit import Audit
from aodasync.clock import Clock
from aodasync.config.model import Config
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Ended, Started
from aodasync.errors import BpfError
from aodasync.events import EVENT, EventArray, EventBatch
from aodasync.evidence import Finding, Sample, Trigger
from aodasync.operations import NO_OPERATIONS, OperationArray
from aodasync.recorder import FlightRecorder

__all__ = ["Detector", "DetectorMetrics"]

_MS = 1e6
_TOLD = 8  # stalls in a log line; a bundle has all
_NONE: EventArray = np.zeros(0, EVENT)


@dataclass(slots=True)
class DetectorMetrics:
    """Counts since the start; times in ms."""

    batches: int = 0
    events: int = 0
    anomalies: int = 0
    suppressed: int = 0
    dropped_triggers: int = 0
    last_process_ms: float = 0.0
    max_process_ms: float = 0.0
    max_detect_ms: float = 0.0


class Detector:
    """Consumes ``batches``, feeds ``triggers``. ``ticks`` False leaves time to the batches.

    ``in_flight`` returns the requests in flight, shape (N,), ``operations`` those inside
    the client, ``samples`` the surroundings
    up to this moment; None where nothing is live.
    """

    def __init__(
        self,
        config: Config,
        *,
        batches: asyncio.Queue[EventBatch],
        triggers: asyncio.Queue[Trigger],
        recorder: FlightRecorder,
        server_of: Callable[[int], str],
        clock: Clock,
        log: FilteringBoundLogger,
        audit: Audit,
        ticks: bool = True,
        in_flight: Callable[[], EventArray] | None = None,
        operations: Callable[[], OperationArray] | None = None,
        samples: Callable[[], tuple[Sample, ...]] | None = None,
    ) -> None:
        self._interval_sec = config.watch_interval_sec if ticks else None
        self._interval_ns = round(config.watch_interval_sec * 1e9)
        self._in_flight = in_flight
        self._operations = operations
        self._samples = samples
        self._next_look_ns = 0
        self._actions: Mapping[str, tuple[str, ...]] = {a.name: a.actions for a in config.anomalies}
        self._batches = batches
        self._triggers = triggers
        self._recorder = recorder
        self._clock = clock
        self._log = log.bind(component="detector")
        self._audit = audit
        self.engine = Engine(config, server_of)
        self.metrics = DetectorMetrics()

    async def run(self) -> None:
        """Detect until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._interval_sec):
                    batch = await self._batches.get()
            except TimeoutError:
                self.tick(self._clock.monotonic_ns())
                continue
            try:
                self.process(batch)
                self.tick(batch.drained_ns)
            finally:
                self._batches.task_done()
                del batch  # up to 1.6 MB, which would wait here for the next one

    def process(self, batch: EventBatch) -> None:
        """Record a batch and start the episodes that it calls for."""
        begun_ns = self._clock.monotonic_ns()
        self._recorder.append(batch.rows)
        for started in self.engine.process(batch.rows, batch.drained_ns):
            self._start(started)
        metrics = self.metrics
        metrics.batches += 1
        metrics.events += len(batch.rows)
        metrics.last_process_ms = (self._clock.monotonic_ns() - begun_ns) / _MS
        metrics.max_process_ms = max(metrics.max_process_ms, metrics.last_process_ms)

    def tick(self, now_ns: int) -> None:
        """Let time pass: look at what is in flight, close episodes that went quiet."""
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + self._interval_ns
            self._look(now_ns)
        for ended in self.engine.tick(now_ns):
            self._end(ended)

    def _look(self, now_ns: int) -> None:
        # Looked at even if nobody asks: it forgets what the kernel side did not see end.
        operations = self._operations() if self._operations is not None else NO_OPERATIONS
        for started in self.engine.look(self._rows_in_flight(), now_ns, operations):
            self._start(started)

    def _rows_in_flight(self) -> EventArray:
        if self._in_flight is None or not self.engine.watches_in_flight:
            return _NONE
        try:
            return self._in_flight()
        except BpfError as error:
            self._log.warning("in_flight_unreadable", error=str(error))
            return _NONE

    def _start(self, started: Started) -> None:
        finding = started.finding
        now_ns = self._clock.monotonic_ns()
        detect_ms = max(0, now_ns - finding.crossed_ns) / _MS
        self.metrics.anomalies += 1
        self.metrics.max_detect_ms = max(self.metrics.max_detect_ms, detect_ms)
        codes = {"code": list(finding.codes)} if finding.codes else {}
        stalls = {"stalls": [asdict(each) for each in finding.stalls[:_TOLD]]}
        self._log.warning(
            "anomaly_detected",
            anomaly=finding.anomaly,
            episode=started.episode,
            server=finding.server,
            command=list(finding.commands),
            **codes,
            count=finding.count,
            acceptable_count=finding.acceptable_count,
            threshold=finding.threshold_ms,
            max_latency_ms=round(finding.max_latency_ms, 3),
            emergency=finding.emergency,
            **finding.figures,
            **(stalls if finding.stalls else {}),
            detect_ms=round(detect_ms, 3),
        )
        self._audit.anomaly(finding.type, finding.count)
        self._order(started.episode, finding, started.suppressed, at_end=False)

    def _order(self, episode: int, finding: Finding, suppressed: str, *, at_end: bool) -> None:
        """Order a bundle of an episode, or tell why it gets none."""
        if suppressed:
            self.metrics.suppressed += 1
            self._log.info(
                "trigger_suppressed",
                anomaly=finding.anomaly,
                episode=episode,
                server=finding.server,
                reason=suppressed,
                suppressed_total=self.engine.episodes.suppressed,
            )
            return
        self.trigger(
            Trigger(
                anomaly=finding.anomaly,
                finding=finding,
                actions=self._actions[finding.anomaly],
                decided_monotonic_ns=self._clock.monotonic_ns(),
                decided_realtime_ns=self._clock.realtime_ns(),
                episode=episode,
                samples=self._samples() if self._samples else (),
                at_end=at_end,
            )
        )

    def trigger(self, trigger: Trigger) -> None:
        """Order a bundle; told and counted when the collector cannot take it."""
        try:
            self._triggers.put_nowait(trigger)
        except asyncio.QueueFull:
            self.metrics.dropped_triggers += 1
            self._log.error(
                "trigger_suppressed",
                anomaly=trigger.anomaly,
                episode=trigger.episode,
                reason="collector queue full",
            )

    def _end(self, ended: Ended) -> None:
        self._log.info(
            "anomaly_ended",
            anomaly=ended.finding.anomaly,
            episode=ended.episode,
            server=ended.finding.server,
            count=ended.count,
            intervals=ended.windows,
            max_latency_ms=round(ended.max_latency_ms, 3),
            duration_ms=round(ended.duration_ms, 1),
        )
        if ended.suppressed is not None:
            self._order(ended.episode, ended.finding, ended.suppressed, at_end=True)
