# SPDX-License-Identifier: MIT
"""The detector: batches into the recorder and the engine, episodes into logs and triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from structlog.typing import FilteringBoundLogger

from aodasync.config.model import Config
from aodasync.detection.batch_content import Content
from aodasync.detection.detector import View
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Ended, Escalated, Note, Refused, Started
from aodasync.events import NO_EVENTS, NO_OPERATIONS, NS_PER_MS, EventArray, EventBatch
from aodasync.evidence.model import EvidenceSource, Finding, Sample, Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.clock import Clock
from aodasync.tasks.history_keeper import HistoryKeeper
from aodasync.tasks.hooks import Hooks

__all__ = ["DetectorMetrics", "DetectorTask"]

_LOGGED = 8  # stalls in a log line; a bundle has all
_SILENT_SEC = 30.0


@dataclass(slots=True)
class DetectorMetrics:
    """Counts since the start; times in ms.

    ``undecided`` are events of batches at which the detector failed: recorded, not judged.
    """

    batches: int = 0
    events: int = 0
    undecided: int = 0
    anomalies: int = 0
    suppressed: int = 0
    dropped_triggers: int = 0
    last_process_ms: float = 0.0
    max_process_ms: float = 0.0
    max_detect_ms: float = 0.0


class DetectorTask:
    """Consumes ``batches``, feeds ``triggers``. ``ticks`` False leaves time to the batches.

    ``source`` has the requests in flight and the operations inside the client, ``samples``
    returns the surroundings up to this moment; ``publish`` takes each batch, and what it has to
    say, for the live view. None where there is none. While it ``is_silent`` time passes in
    greater steps, until :meth:`wake`.
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
        source: EvidenceSource | None = None,
        samples: Callable[[], tuple[Sample, ...]] | None = None,
        publish: Callable[[EventArray, Content], None] | None = None,
        history: HistoryKeeper | None = None,
        hooks: Hooks | None = None,
        is_silent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ticks = ticks
        self._is_silent = is_silent
        self._timer: asyncio.TimerHandle | None = None
        self._source = source
        self._samples = samples
        self._publish = publish
        self._history = history
        self._hooks = hooks
        self._next_look_ns = 0
        self._batches = batches
        self._triggers = triggers
        self._recorder = recorder
        self._clock = clock
        self._log = log.bind(component="detector")
        self._audit = audit
        self.engine = Engine(config, server_of)
        self.metrics = DetectorMetrics()
        self._take_over(config)

    def reconfigure(self, config: Config) -> None:
        """Detect by another configuration from the next batch on."""
        self.engine.reconfigure(config)
        self._take_over(config)

    def _take_over(self, config: Config) -> None:
        self._interval_sec = config.watch_interval_sec if self._ticks else None
        self._interval_ns = round(config.watch_interval_sec * 1e9)
        self._actions: Mapping[str, tuple[str, ...]] = {a.name: a.actions for a in config.anomalies}
        self._other_actions = config.watcher_actions

    async def run(self) -> None:
        """Detect until cancelled."""
        self._arm()
        try:
            while True:
                batch = await self._batches.get()
                try:
                    if len(batch.rows):
                        self.process(batch)
                    self.tick(batch.drained_ns)
                finally:
                    self._batches.task_done()
                    if not len(batch.rows):
                        self._arm()
                    del batch
        finally:
            self._disarm()

    def wake(self) -> None:
        """Let time pass now: a silence is over."""
        if self._timer is not None:
            self._disarm()
            self._timer = asyncio.get_running_loop().call_later(0, self._on_time)

    def _arm(self) -> None:
        """Have time pass at the next look, in silence later.

        It passes as a batch without rows: a timeout around each wait for a batch takes as
        long as some detectors do.
        """
        self._disarm()
        if self._interval_sec is None:
            return
        left_ns = self._next_look_ns - self._clock.monotonic_ns()
        pause_sec = left_ns / 1e9 if 0 < left_ns < self._interval_ns else self._interval_sec
        if self._is_silent():
            pause_sec = max(self._interval_sec, _SILENT_SEC)
        self._timer = asyncio.get_running_loop().call_later(pause_sec, self._on_time)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        if self._batches.empty():
            self._batches.put_nowait(EventBatch(NO_EVENTS, self._clock.monotonic_ns()))
        else:  # whose batches let time pass as well
            self._arm()

    def process(self, batch: EventBatch) -> None:
        """Record a batch and start the episodes that it calls for."""
        begun_ns = self._clock.monotonic_ns()
        metrics, rows = self.metrics, batch.rows
        metrics.undecided += len(rows)
        try:
            for started in self.engine.decide(rows, batch.drained_ns):
                self._start(started)
            metrics.undecided -= len(rows)
        finally:
            # No decision waits for these, and one that fails loses none of them; what
            # collects the evidence runs after them.
            metrics.events += len(rows)
            if not batch.recorded:
                self._recorder.append(rows)
            if self._publish is not None:
                self._publish(rows, self.engine.content)
        self._report()
        metrics.batches += 1
        took_ms = metrics.last_process_ms = (self._clock.monotonic_ns() - begun_ns) / NS_PER_MS
        metrics.max_process_ms = max(metrics.max_process_ms, took_ms)

    def tick(self, now_ns: int) -> None:
        """Let time pass: look at what is in flight, close episodes that went quiet."""
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + self._interval_ns
            self._look(now_ns)
        for ended in self.engine.tick(now_ns):
            self._end(ended)

    def _look(self, now_ns: int) -> None:
        for started in self.engine.look(self._view(now_ns)):
            self._start(started)
        self._report()

    def _report(self) -> None:
        """Log what is no episode's beginning or end."""
        for note in self.engine.episodes.take_notes():
            self._note(note)
        for failure in self.engine.take_failures():
            event = "detector_given_up" if failure.given_up else "detector_restarted"
            self._log.error(
                event,
                anomaly=failure.anomaly,
                detector=failure.detector,
                error=failure.error,
                where=failure.where,
                restarts=failure.restarts,
            )

    def _note(self, note: Note) -> None:
        finding = note.finding
        if isinstance(note, Escalated):
            self._log.warning(
                "anomaly_escalated",
                anomaly=finding.anomaly,
                episode=note.episode,
                server=finding.server,
                command=list(finding.commands),
                max_latency_ms=round(finding.max_latency_ms, 3),
                emergency=True,
            )
        elif isinstance(note, Refused):
            log = self._log.bind(
                anomaly=finding.anomaly,
                episode=note.episode,
                server=finding.server,
                code=list(finding.codes),
            )
            if note.data_lost:
                log.warning("data_lost")
            else:
                log.warning("logins_refused")
            self._order(note.episode, finding, note.suppressed, at_end=False)
        else:
            self._log.info(
                "idle_reconnects",
                anomaly=finding.anomaly,
                server=finding.server,
                note="the server drops idle connections: no more of these for an hour",
            )

    def _view(self, now_ns: int) -> View:
        if self._source is None:
            return View(now_ns, NO_EVENTS, NO_OPERATIONS)
        # Read in any case: reading drops the operations whose end was not seen.
        wanted = ("in_flight",) if self.engine.watches_in_flight else ()
        now = self._source.snapshot("operations", *wanted)
        return View(now_ns, now.in_flight, now.operations)

    def _start(self, started: Started) -> None:
        finding = started.finding
        now_ns = self._clock.monotonic_ns()
        detect_ms = max(0, now_ns - finding.crossed_ns) / NS_PER_MS
        self.metrics.anomalies += 1
        self.metrics.max_detect_ms = max(self.metrics.max_detect_ms, detect_ms)
        codes = {"code": list(finding.codes)} if finding.codes else {}
        rule = {"rule": finding.rule} if finding.rule else {}
        stalls = {"stalls": [asdict(each) for each in finding.stalls[:_LOGGED]]}
        self._log.warning(
            "anomaly_detected",
            anomaly=finding.anomaly,
            episode=started.episode,
            server=finding.server,
            command=list(finding.commands),
            **rule,
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
        if self._history is not None:
            self._history.began(started.episode, finding, started.suppressed)
        if self._hooks is not None:
            self._hooks.episode_began(finding)
        self._order(started.episode, finding, started.suppressed, at_end=False)

    def _order(self, episode: int, finding: Finding, suppressed: str, *, at_end: bool) -> None:
        """Order a bundle of an episode, or log why it gets none."""
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
        replayed = self._source is not None and not self._source.live
        self.trigger(
            Trigger(
                anomaly=finding.anomaly,
                finding=finding,
                actions=self._actions.get(finding.anomaly, self._other_actions),
                decided_monotonic_ns=self._clock.monotonic_ns(),
                decided_realtime_ns=self._clock.realtime_ns(),
                episode=episode,
                samples=self._samples() if self._samples else (),
                at_end=at_end,
                in_flight=self._view(0).in_flight if replayed else NO_EVENTS,
            )
        )

    def trigger(self, trigger: Trigger) -> bool:
        """Order a bundle; False, logged and counted, when the collector cannot take it."""
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
            return False
        return True

    def _end(self, ended: Ended) -> None:
        self._log.info(
            "anomaly_ended",
            anomaly=ended.finding.anomaly,
            episode=ended.episode,
            server=ended.finding.server,
            **({"rule": ended.finding.rule} if ended.finding.rule else {}),
            count=ended.finding.count,
            intervals=ended.windows,
            max_latency_ms=round(ended.finding.max_latency_ms, 3),
            duration_ms=round(ended.duration_ms, 1),
        )
        if self._history is not None:
            self._history.ended(ended.episode, ended.finding)
        if ended.suppressed is not None:
            self._order(ended.episode, ended.finding, ended.suppressed, at_end=True)
