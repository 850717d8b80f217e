# SPDX-License-Identifier: MIT
"""Replay: the live pipeline on recorded requests, with the recorded clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from structlog.typing import FilteringBoundLogger

from aodasync.bundle.archive import load_recording, load_samples
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.config.model import Config
from aodasync.errors import RecordingError
from aodasync.events import NO_EVENTS, REQUEST, EventArray, EventBatch, Outcome
from aodasync.evidence.model import Connection, Snapshot
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.facts import host_facts
from aodasync.host.threads import in_thread
from aodasync.process.children import Children
from aodasync.tasks.pipeline import Pipeline
from aodasync.tasks.supervisor import Supervisor

__all__ = ["replay"]

_BATCH_NS = 250_000_000  # as often as a live agent's floor timer drains the ring
_BATCH_ROWS = 8192  # and a ring that fills wakes it
# A recording's clock may say anything, and a moment takes as long as a hundred rows.
_MOST_BATCHES = 5_000  # of some 20 minutes without a pause
_MOST_SILENT = 1_000
_MOST_BUNDLES = 100  # in spite of the hourly budget
_QUIET_INTERVALS = 5
_FINISH_SEC = 60.0
_LONG_NS = 250_000_000
_LONGEST_NS = 600_000_000_000
_MOST_LONG = 50_000
_MOST_IN_FLIGHT = 256


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

    def __init__(
        self,
        file: Path,
        manifest: Mapping[str, Any],
        rows: EventArray,
        recorder: FlightRecorder,
        clock: _RecordedClock,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._long = _long_ones(rows)
        observed = ("agent", "kernel", "host", "cifs", "probe")
        self._tables: dict[str, Any] = {
            "losses": dict(manifest.get("losses", {})),
            "connections": {
                int(c["connection_id"]): Connection(
                    int(c["connection_id"]),
                    c["server"],
                    c["address"],
                    int(c["port"]),
                    netns=_integer(c, "netns"),
                )
                for c in manifest.get("connections", [])
            },
            "shares": _recorded_shares(manifest),
            "facts": {
                **{name: manifest.get(name) for name in observed},
                "mounts": manifest.get("mounts", []),
                "replayed": {"recording": file.name, "on": host_facts()},
            },
        }

    @property
    def live(self) -> bool:
        return False

    def snapshot(self, *tables: str) -> Snapshot:
        known = self._tables
        if not tables or "in_flight" in tables:
            known = {**known, "in_flight": in_flight_at(self._long, self._clock.now_ns)}
        return Snapshot(**{name: known[name] for name in tables or known if name in known})

    def events(self, since: int = 0) -> EventArray:
        return self._recorder.snapshot(since)

    def recorded(self) -> int:
        return self._recorder.appended


def _long_ones(rows: EventArray) -> EventArray:
    """The requests that took so long that it matters whether they were in flight, by their age."""
    requests = rows[(rows["kind"] == REQUEST) & (rows["issued_ns"] != 0)]
    never = requests["released_ns"] == 0
    found = requests[never | (requests["released_ns"] - requests["issued_ns"] >= _LONG_NS)]
    ordered: EventArray = found[np.argsort(found["issued_ns"], kind="stable")]
    return ordered[:_MOST_LONG]


def in_flight_at(rows: EventArray, now_ns: int) -> EventArray:
    """The requests, oldest first, as they were known while they were in flight at ``now_ns``."""
    now = np.uint64(now_ns)
    ended = (rows["released_ns"] != 0) & (rows["released_ns"] <= now)
    open_then = (rows["issued_ns"] <= now) & ~ended
    found: EventArray = rows[np.flatnonzero(open_then)[:_MOST_IN_FLIGHT]]
    found["received_ns"][found["received_ns"] > now] = 0
    found["released_ns"] = found["status"] = 0
    found["outcome"] = Outcome.IN_FLIGHT
    return found


def _moments(earlier_ns: int, later_ns: int, step_ns: int) -> range:
    """When to look around while nothing ends; a silence of hours is not looked at all through."""
    if earlier_ns == 0:
        return range(0)
    return range(earlier_ns + step_ns, min(later_ns, earlier_ns + _LONGEST_NS), step_ns)


def _integer(recorded: Mapping[str, Any], key: str) -> int:
    value = recorded.get(key)
    return value if isinstance(value, int) else 0


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
    """Cut recorded rows into batches as a live agent gets them, on their release time.

    Where there were too many, several of them are one.
    """
    done = rows[rows["released_ns"] != 0]
    done = done[np.argsort(done["released_ns"], kind="stable")]
    slots = done["released_ns"] // np.uint64(_BATCH_NS)
    cuts = np.flatnonzero(np.diff(slots)) + 1
    for slot in np.split(done, cuts[:: 1 + len(cuts) // _MOST_BATCHES]):
        for start in range(0, len(slot), _BATCH_ROWS):
            batch = slot[start : start + _BATCH_ROWS]
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
    manifest, rows = await in_thread(partial(load_recording, file))
    samples = await in_thread(partial(load_samples, file))
    queue = list(batches(rows))
    if not queue:
        raise RecordingError(f"{file}: no complete request in it", hint="record for longer")
    recorder = FlightRecorder(config.recorder.max_events)
    clock = _RecordedClock()
    pipeline = Pipeline(
        config,
        source=_RecordedEvidence(file, manifest, rows, recorder, clock),
        recorder=recorder,
        output=output,
        clock=clock,
        log=log,
        audit=Audit(enabled=False),
        children=Children(),
        samples=lambda: tuple(s for s in samples if s.monotonic_ns <= clock.now_ns),
    )
    log.info("replay_started", recording=str(file), events=sum(len(b.rows) for b in queue))
    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, log, Audit(enabled=False))
        tasks = [
            supervisor.start("detector", pipeline.detector.run),
            supervisor.start("collector", pipeline.collect),
        ]
        step_ns = round(config.watch_interval_sec * 1e9)
        silent = _MOST_SILENT
        for batch in queue:
            moments = _moments(clock.now_ns, batch.drained_ns, step_ns)[:silent]
            silent -= len(moments)
            for now_ns in (*moments, batch.drained_ns):
                await asyncio.sleep((now_ns - (clock.now_ns or now_ns)) / 1e9 / speed)
                clock.now_ns = now_ns
                due = batch if now_ns == batch.drained_ns else EventBatch(NO_EVENTS, now_ns)
                await pipeline.batches.put(due)
                await pipeline.batches.join()
            if pipeline.ordered_bundles >= _MOST_BUNDLES:
                left_out = sum(len(b.rows) for b in queue) - pipeline.detector.metrics.events
                log.warning("replay_cut_off", bundles=_MOST_BUNDLES, left_out_events=left_out)
                break
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
