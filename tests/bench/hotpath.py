# SPDX-License-Identifier: MIT
"""The path of every event, in this process: ring, recorder, detectors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import structlog

from aodasync import config
from aodasync.detection.engine import Engine
from aodasync.events import EventArray, EventBatch
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.clock import SystemClock
from aodasync.tasks.detector import DetectorTask
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import Background

__all__ = ["measure"]

BATCHES = (1, 100, 10_000)

# ns an event that each stage may take, by batch size: some three times what it takes here.
_READER_NS = {1: 20_000, 100: 250, 10_000: 80}
_RECORDER_NS = {1: 6_000, 100: 60, 10_000: 10}
_DETECTORS_NS = {1: 60_000, 100: 700, 10_000: 50}

_ROUNDS = 60
_SHIPPED = Path(__file__).parents[2] / "config" / "config.yaml"


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures: the best of many rounds, as any other is the machine's doing."""
    rows: dict[int, EventArray] = {}
    with bench.rig() as rig:
        background = Background(rig, connection_id=1)
        for size in BATCHES:
            best = float("inf")
            for _ in range(_ROUNDS):
                background.run(size)
                begun_ns = time.perf_counter_ns()
                rows[size] = rig.probe.read(size)
                best = min(best, time.perf_counter_ns() - begun_ns)
                assert len(rows[size]) == size
            yield _figure("reader", size, best, _READER_NS[size])
        background.close()
    recorder = FlightRecorder(50_000)
    for size in BATCHES:
        best = _best(partial(recorder.append, rows[size]))
        yield _figure("recorder", size, best, _RECORDER_NS[size])
    engine = Engine(config.load(_SHIPPED), str)
    for size in BATCHES:
        best = _best(partial(engine.process, rows[size], 0))
        yield _figure("detectors", size, best, _DETECTORS_NS[size])
    detector = _detector()
    for size in BATCHES:
        batch = EventBatch(rows[size], time.monotonic_ns())
        best = _best(partial(detector.process, batch))
        yield _figure("all of that but the reader", size, best, None)


def _figure(stage: str, size: int, best_ns: float, bound: float | None) -> Figure:
    return Figure(f"{stage}, batches of {size:,}", best_ns / size, "ns/event", bound)


def _best(step: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        begun_ns = time.perf_counter_ns()
        step()
        best = min(best, time.perf_counter_ns() - begun_ns)
    return best


def _detector() -> DetectorTask:
    return DetectorTask(
        config.load(_SHIPPED),
        batches=asyncio.Queue(),
        triggers=asyncio.Queue(),
        recorder=FlightRecorder(50_000),
        server_of=str,
        clock=SystemClock(),
        log=structlog.get_logger(),
        audit=Audit(enabled=False),
    )
