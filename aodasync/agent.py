# SPDX-License-Identifier: MIT
"""The live agent: one event loop, one TaskGroup, the kernel's requests in, bundles out."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from structlog.typing import FilteringBoundLogger

from aodasync import __version__
from aodasync.actions.crash_memory import CrashMemory
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.detection.batch_content import Content
from aodasync.errors import BpfError
from aodasync.events import EventArray
from aodasync.evidence.model import Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.clock import SystemClock, process_age_ms
from aodasync.host.logs import dropped, flush
from aodasync.host.signals import handle
from aodasync.host.state_file import CACHE_DIR, STATE_DIR
from aodasync.host.systemd import notify
from aodasync.host.threads import LEFT_BEHIND
from aodasync.live.counters import RequestCounters
from aodasync.live.frames import State
from aodasync.probes.live_source import LiveEvidence
from aodasync.process.children import Children
from aodasync.status import in_flight_summary, server_summary
from aodasync.tasks.attach import Attach
from aodasync.tasks.blindness_check import BlindnessCheck
from aodasync.tasks.capture_keeper import Captures, configured
from aodasync.tasks.cleaner import Cleaner
from aodasync.tasks.control_server import ControlServer
from aodasync.tasks.health import Health, LoopLag
from aodasync.tasks.heartbeat import Heartbeat
from aodasync.tasks.history_keeper import HistoryKeeper
from aodasync.tasks.hooks import Hooks
from aodasync.tasks.learnt_state import LearntState
from aodasync.tasks.live_facts import LiveFacts, describe_mount
from aodasync.tasks.live_stream import LiveStream
from aodasync.tasks.losses import Losses
from aodasync.tasks.mount_watch import MountWatch
from aodasync.tasks.output_watch import OutputWatch
from aodasync.tasks.pipeline import Pipeline
from aodasync.tasks.reloader import Reloader
from aodasync.tasks.snapshots import Snapshots
from aodasync.tasks.stack_reader import StackReader
from aodasync.tasks.supervisor import Supervisor
from aodasync.tasks.textfile import Textfile
from aodasync.tasks.throttled import Throttled
from aodasync.tasks.watchdog import Watchdog, Work

__all__ = ["CACHE_DIR", "Agent"]

_GRACE_SEC = 15.0
_DRAIN_SEC = 2.0
_HOOKS_SEC = 3.0
_SUMMARY_SEC = 0.25
_LAST_WORDS_SEC = 0.5


class Agent:
    """Watches this host until it is told to stop."""

    def __init__(
        self,
        config: Config,
        *,
        output: OutputDirectory,
        run_dir: Path,
        log: FilteringBoundLogger,
        read_config: Callable[[], Config] | None = None,
    ) -> None:
        self._config = config
        self._log = log
        self._clock = SystemClock()
        self._audit = Audit(enabled=config.audit.enabled)
        self._recorder = FlightRecorder(config.recorder.max_events)
        self._evidence = LiveEvidence(self._recorder, self._own_losses, self._own_facts)
        self._cleaner = Cleaner(config, output, log)
        self._children = Children()
        self._captures = Captures(configured(config, CACHE_DIR / "captures"), self._children, log)
        self._history = HistoryKeeper(STATE_DIR, self._clock, log)
        self._hooks = Hooks(config, self._children, log)
        lag = LoopLag()
        heartbeat = self._heartbeat = Heartbeat(
            self._is_busy, began=self._silence_ended, late=lag.add
        )
        self._live = LiveStream(self._state, log, self._file_names)
        self._pipeline = Pipeline(
            config,
            source=self._evidence,
            recorder=self._recorder,
            output=output,
            clock=self._clock,
            log=log,
            audit=self._audit,
            children=self._children,
            memory=CrashMemory(STATE_DIR, __version__),
            captures=self._captures.actions,
            on_done=self._bundle_done,
            publish=self._publish,
            history=self._history,
            hooks=self._hooks,
            beat=heartbeat.beat,
            is_silent=lambda: heartbeat.silent,
        )
        engine = self._pipeline.detector.engine
        self._learnt = LearntState(engine, STATE_DIR, log, heartbeat.beat)
        self._attach = Attach(
            config,
            evidence=self._evidence,
            batches=self._pipeline.batches,
            clock=self._clock,
            cache_dir=CACHE_DIR,
            urgency=engine.urgency,
            log=log,
            imports_ms=process_age_ms(),
            beat=heartbeat.beat,
            stir=heartbeat.stir,
        )
        self._health = Health(self._metrics, log, lag, heartbeat.beat)
        self._losses = Losses(self._evidence, log, time.monotonic, heartbeat.beat)
        sampler = self._pipeline.sampler
        self._snapshots = Snapshots(
            actions=config.watcher_actions,
            drain=self._attach.drain,
            samples=sampler.history if sampler else tuple,
            put=self._pipeline.detector.trigger,
            clock=self._clock,
        )
        self._blindness = BlindnessCheck(
            self._children,
            self._recorded,
            log,
            connections=lambda: self._evidence.snapshot("connections").connections,
            beat=heartbeat.beat,
        )
        self._mounts = MountWatch(
            self._recorder.since,
            in_flight=lambda: self._evidence.snapshot("in_flight").in_flight,
            connections=lambda: self._evidence.snapshot("connections").connections,
            clock=self._clock,
            log=log,
            shares=lambda: self._evidence.snapshot("shares").shares,
            listed=OutputWatch(output.path, log).look,
            beat=heartbeat.beat,
        )
        self._facts = LiveFacts(
            evidence=self._evidence,
            recorder=self._recorder,
            pipeline=self._pipeline,
            mounts=self._mounts,
            blindness=self._blindness,
            history=self._history,
            counters=RequestCounters(self._pipeline.server_of),
        )
        self._textfile = Textfile(config.metrics.textfile, self._metric_facts, log, heartbeat.beat)
        self._stacks = StackReader(
            lambda: self._evidence.probe, self._children, self._clock, log, heartbeat.beat
        )
        handlers = {"status": self.status, "snapshot": self._snapshots.ask, "metrics": self.metrics}
        self._control = ControlServer(
            run_dir,
            handlers,
            log,
            self._live.serve,
            group=config.control.group,
            beat=heartbeat.beat,
        )
        self._reloader = Reloader(config, read_config, self._take_over, log)
        self._watchdog = Watchdog(self._work, log, heartbeat.beat)
        self._supervisor: Supervisor | None = None
        self._servers: Throttled[dict[str, Any]] = Throttled(_SUMMARY_SEC)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then bring in what is in hand; a second one ends it at once.

        SIGHUP has the configuration read again, SIGUSR1 orders a snapshot.

        Raises:
            ExceptionGroup: of an AodasyncError, when the host cannot be probed.
        """
        pipeline = self._pipeline
        self._handle_signals()
        try:
            async with asyncio.TaskGroup() as group:
                supervisor = self._supervisor = Supervisor(group, self._log, self._audit)
                tasks = [
                    # First: the probe is what the others wait for.
                    supervisor.start("reader", self._attach.run, essential=True),
                    supervisor.start("heartbeat", self._heartbeat.run),
                    supervisor.start("detector", pipeline.detector.run),
                    supervisor.start("collector", pipeline.collect),
                    supervisor.start("sampler", pipeline.sample),
                    supervisor.start("stacks", self._stacks.run),
                    supervisor.start("learnt", self._learnt.run),
                    supervisor.start("history", self._history.run),
                    supervisor.start("mounts", self._mounts.run),
                    supervisor.start("textfile", self._textfile.run),
                    supervisor.start("hooks", self._hooks.run),
                    supervisor.start("cleaner", self._cleaner.run),
                    supervisor.start("captures", self._captures.run),
                    supervisor.start("health", self._health.run),
                    supervisor.start("blindness", self._blindness.run),
                    supervisor.start("control", self._control.run),
                    supervisor.start("reloader", self._reloader.run),
                    supervisor.start("watchdog", self._watchdog.run),
                    supervisor.start("losses", self._losses.run),
                ]
                await self._stop.wait()
                notify("STOPPING=1")
                await self._bring_in()
                for task in tasks:
                    task.cancel()
        finally:
            if self._evidence.probe is not None:
                self._health.report()
                self._evidence.probe.close()
        self._log.info("agent_stopped")

    def _handle_signals(self) -> None:
        handle(
            asyncio.get_running_loop(),
            {
                signal.SIGTERM: partial(self._end, signal.SIGTERM),
                signal.SIGINT: partial(self._end, signal.SIGINT),
                signal.SIGHUP: self._reloader.order,
                signal.SIGUSR1: self._snapshots.order,
            },
        )

    def _end(self, number: signal.Signals) -> None:
        """Stop; told so twice, exit without bringing anything in. The kernel kills the children."""
        if self._stop.is_set():
            self._log.warning("agent_ended_at_once", signal=number.name)
            flush(_LAST_WORDS_SEC)
            os._exit(128 + number)
        self._log.info("agent_stopping", signal=number.name)
        self._stop.set()

    def _take_over(self, config: Config) -> None:
        """Go on by another configuration."""
        self._config = config
        self._audit.enabled = config.audit.enabled
        self._pipeline.reconfigure(config)
        self._snapshots.actions = config.watcher_actions
        self._cleaner.reconfigure(config)
        self._hooks.reconfigure(config)
        self._textfile.reconfigure(config.metrics.textfile)
        self._attach.urgency_changed()

    def _work(self) -> Work:
        """How far the work is, for the watchdog."""
        detector, batches = self._pipeline.detector, self._pipeline.batches
        return Work(
            looks=self._attach.metrics.looks if self._attach.reader else None,
            taken=detector.metrics.batches,
            queued=batches.rows,
            given_up=tuple(n for n, d in detector.engine.detectors().items() if d["given_up"]),
        )

    def _is_busy(self) -> bool:
        """Whether anything waits in the ring, is in flight, or goes on; also if nobody knows."""
        reader = self._attach.reader
        try:
            quiet = reader is None or reader.is_quiet()
        except BpfError:  # who reads the table reports it
            quiet = False
        return not quiet or self._pipeline.detector.engine.awaits

    def _silence_ended(self) -> None:
        self._pipeline.detector.wake()

    def _bundle_done(self, trigger: Trigger, path: Path | None) -> None:
        self._cleaner.wake()
        self._snapshots.done(trigger, path)

    def _recorded(self) -> int | None:
        """Requests recorded, or seen and not recorded; None while nothing is attached.

        Not those that found the in-flight map full: a probe that misses every
        release fills it, and is blind.
        """
        if self._evidence.probe is None:
            return None
        now = self._evidence.snapshot("losses")
        if now.errors:
            return None
        not_recorded = now.losses["ring_full"] + now.losses["unended"]
        return self._recorder.appended + not_recorded

    async def _bring_in(self) -> None:
        """Take the last events in, let the detector decide on them, finish bundles in hand.

        Of an anomaly that still goes on, one more bundle says how it stood at the end.
        It takes 25 s at most: the unit's TimeoutStopSec is longer.
        """
        pipeline = self._pipeline
        with anyio.move_on_after(_DRAIN_SEC):
            while self._attach.drain():
                await pipeline.batches.join()
            await pipeline.batches.join()
        if pipeline.detector.engine.episodes.open_count:
            self._snapshots.order()
        await self._learnt.save()
        await pipeline.collector.finish(_GRACE_SEC)
        await self._history.finish()
        await self._hooks.finish(_HOOKS_SEC)
        self._losses.report()

    def _own_losses(self) -> dict[str, int]:
        """What the agent itself lost, by stage; see :class:`Losses`."""
        detector, history = self._pipeline.detector, self._history
        return {
            "triggers": detector.metrics.dropped_triggers,
            "live_readers_cut_off": self._live.metrics.cut_off,
            "hooks_dropped": self._hooks.metrics.dropped,
            "undecided": detector.metrics.undecided,
            "history_records": history.dropped,
            "children_left_behind": self._children.abandoned,
            "threads_left_behind": LEFT_BEHIND.ever,
            "log_lines": dropped(),
            "audit_lines": self._audit.dropped,
            "detector_restarts": sum(d["restarts"] for d in detector.engine.detectors().values()),
        }

    def _own_facts(self) -> dict[str, Any]:
        """What manifests state that the agent alone knows."""
        return {"mounts": [describe_mount(state) for state in self._mounts.states]}

    async def status(self) -> Mapping[str, Any]:
        """The live state, as ``aodasync status`` shows it."""
        evidence = self._evidence
        in_flight = evidence.snapshot("in_flight").in_flight
        now_ns = self._clock.monotonic_ns()
        plan = evidence.probe.plan if evidence.probe else None
        return {
            "schema_version": 1,
            "version": __version__,
            "config": str(self._config.source or ""),
            "open_episodes": self._facts.open_episodes(now_ns),
            "probe": plan.name if plan else "waiting for the cifs module",
            "blind": self._blindness.blind,
            "sight": self._blindness.compared,
            "kernel": plan.kernel if plan else None,
            "mounts": self._mounts.as_status(now_ns),
            "servers": await self._servers.ask(self._prepare_servers),
            "in_flight": in_flight_summary(in_flight, now_ns),
            **self._health.snapshot(),
        }

    def _prepare_servers(self) -> Callable[[], dict[str, Any]]:
        rows, now_ns = self._recorder.snapshot(), self._clock.monotonic_ns()
        return partial(server_summary, rows, self._pipeline.server_of, now_ns)

    def _publish(self, rows: EventArray, content: Content) -> None:
        self._facts.observe(rows, content)
        self._live.publish(rows)
        self._evidence.settle()

    def _state(self) -> tuple[State, EventArray]:
        return self._facts.state()

    def _file_names(self, rows: EventArray) -> list[str]:
        return self._facts.file_names(rows)

    async def metrics(self) -> Mapping[str, Any]:
        """What ``aodasync metrics`` and ``aodasync check`` are made of."""
        return self._metric_facts()

    def _metric_facts(self) -> Mapping[str, Any]:
        return self._facts.metrics(self._health.snapshot())

    def _metrics(self) -> dict[str, Mapping[str, Any]]:
        pipeline = self._pipeline
        counted = self._evidence.snapshot("losses", "figures")
        return {
            "reader": asdict(self._attach.metrics),
            "detector": asdict(pipeline.detector.metrics),
            "detectors": pipeline.detector.engine.detectors(),
            "collector": asdict(pipeline.collector.metrics),
            "cleaner": asdict(self._cleaner.metrics),
            "captures": self._captures.metrics,
            "children": self._children.metrics,
            "stacks": asdict(self._stacks.metrics),
            "threads": asdict(LEFT_BEHIND),
            "live": asdict(self._live.metrics),
            "hooks": asdict(self._hooks.metrics),
            "queues": {
                "batches": pipeline.batches.qsize(),
                "triggers": pipeline.triggers.qsize(),
            },
            "recorder": {"held": len(self._recorder), "appended": self._recorder.appended},
            "episodes": {"open": pipeline.detector.engine.episodes.open_count},
            "detection": pipeline.detector.engine.figures(),
            "losses": counted.losses,
            "kernel_side": counted.figures,
            "restarts": dict(self._supervisor.restarts) if self._supervisor else {},
        }
