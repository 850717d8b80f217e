# SPDX-License-Identifier: MIT
"""Replay: the live pipeline on recorded requests, with the recorded clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from structlog.typing import FilteringBoundLogger

from aodasync.audit import Audit
from aodasync.bundle.archive import load_recording
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.errors import RecordingError
from aodasync.events import EVENT, EventArray, EventBatch
from aodasync.evidence import Connection
from aodasync.host import host_facts
from aodasync.operations import NO_OPERATIONS, OperationArray
from aodasync.pipeline import Pipeline
from aodasync.recorder import FlightRecorder
from aodasync.tasks.supervisor import Supervisor

__all__ = ["replay"]

_BATCH_NS = 250_000_000  # as often as a live agent's floor timer drains the ring
_QUIET_INTERVALS = 5
_FINISH_SEC = 60.0


@dataclass(slots=True)
class _RecordedClock:
    """CLOCK_MONOTONIC as it was; CLOCK_REALTIME as it is, for names of bundles."""

    now_ns: int = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return time.time_ns()


class _RecordedEvidence:
    """What a recording can tell of its host."""

    def __init__(self, file: Path, manifest: Mapping[str, Any], recorder: FlightRecorder) -> None:
        self._recorder = recorder
        self._losses = dict(manifest.get("losses", {}))
        observed = ("agent", "kernel", "host", "cifs", "probe")
        self._facts = {
            **{name: manifest.get(name) for name in observed},
            "replayed": {"recording": file.name, "on": host_facts()},
        }
        self._connections = {
            int(c["connection_id"]): Connection(
                int(c["connection_id"]), c["server"], c["address"], int(c["port"])
            )
            for c in manifest.get("connections", [])
        }
        self._shares = _recorded_shares(manifest)

    @property
    def live(self) -> bool:
        return False

    def events(self, since: int = 0) -> EventArray:
        return self._recorder.snapshot(since)

    def recorded(self) -> int:
        return self._recorder.appended

    def in_flight(self) -> EventArray:
        return np.zeros(0, EVENT)

    def operations(self) -> OperationArray:
        return NO_OPERATIONS

    def losses(self) -> Mapping[str, int]:
        return self._losses

    def connections(self) -> Mapping[int, Connection]:
        return self._connections

    def shares(self) -> Mapping[tuple[int, int], str]:
        return self._shares

    def facts(self) -> Mapping[str, Any]:
        return self._facts


def _recorded_shares(manifest: Mapping[str, Any]) -> dict[tuple[int, int], str]:
    """By session id and tree id; none from a manifest that has none, or odd ones."""
    try:
        return {
            (int(entry["session_id"], 16), int(entry["tree_id"])): str(entry["share"])
            for entry in manifest.get("shares", [])
        }
    except (KeyError, TypeError, ValueError):
        return {}


def batches(rows: EventArray) -> Iterator[EventBatch]:
    """Cut recorded rows into batches of a quarter of a second, on their release time."""
    done = rows[rows["released_ns"] != 0]
    done = done[np.argsort(done["released_ns"], kind="stable")]
    slots = done["released_ns"] // np.uint64(_BATCH_NS)
    for batch in np.split(done, np.flatnonzero(np.diff(slots)) + 1):
        if len(batch):
            yield EventBatch(batch, int(batch["released_ns"][-1]))


async def replay(
    file: Path,
    config: Config,
    output: OutputDirectory,
    *,
    speed: float,
    log: FilteringBoundLogger,
) -> None:
    """Run the pipeline over a recording; ``speed`` 1 is real time, ``inf`` as fast as it goes.

    Raises:
        RecordingError: it cannot be read, or holds no request.
    """
    manifest, rows = await asyncio.to_thread(load_recording, file)
    queue = list(batches(rows))
    if not queue:
        raise RecordingError(f"{file}: no complete request in it", hint="record for longer")
    recorder = FlightRecorder(config.recorder.max_events)
    clock = _RecordedClock()
    pipeline = Pipeline(
        config,
        source=_RecordedEvidence(file, manifest, recorder),
        recorder=recorder,
        output=output,
        clock=clock,
        log=log,
        audit=Audit(enabled=False),
    )
    log.info("replay_started", recording=str(file), events=sum(len(b.rows) for b in queue))
    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, log, Audit(enabled=False))
        tasks = [
            supervisor.start("detector", pipeline.detector.run),
            supervisor.start("collector", pipeline.collect),
        ]
        for batch in queue:
            await asyncio.sleep(
                (batch.drained_ns - (clock.now_ns or batch.drained_ns)) / 1e9 / speed
            )
            clock.now_ns = batch.drained_ns
            await pipeline.batches.put(batch)
            await pipeline.batches.join()
        quiet_ns = round(_QUIET_INTERVALS * config.watch_interval_sec * 1e9)
        pipeline.detector.tick(clock.now_ns + quiet_ns)
        await pipeline.collector.finish(_FINISH_SEC)
        for task in tasks:
            task.cancel()
    metrics = pipeline.detector.metrics
    log.info(
        "replay_done",
        events=metrics.events,
        anomalies=metrics.anomalies,
        bundles=pipeline.collector.metrics.bundles_written,
    )
