# SPDX-License-Identifier: MIT
"""The path of every event, in this process: ring, recorder, detectors."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from aodasync import config
from aodasync.events import EventBatch
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.clock import SystemClock
from aodasync.tasks.detector import DetectorTask
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.traffic import Background
from tests.kernel.rig import Rig

__all__ = ["measure"]

# ns a request from the ring to the decision, by batch size.
_DECISION_NS = {100: 100, 1_000: 35, 10_000: 22}

# ns a request that each stage may take: some three times what it takes here.
_READER_NS = {1: 12_000, 100: 150, 10_000: 45}
_DETECTORS_NS = {1: 30_000, 100: 200, 10_000: 25}

_ROUNDS = 40
_ROUND_ROWS = 20_000  # and two batches at least
_SHIPPED = Path(__file__).parents[2] / "config" / "config.yaml"


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures: the best of many rounds, as any other is the machine's doing.

    A round is some batches, so that what is done once in thousands of requests is in it.
    """
    recorder = FlightRecorder(50_000)
    detector = _detector(recorder)
    rounds: dict[int, list[tuple[float, float]]] = {}
    with bench.rig() as rig:
        background = Background(rig, connection_id=1)
        for size in sorted({1, *_DECISION_NS}):
            path = _Path(rig, background, recorder, detector)
            path.round(size)
            rounds[size] = [path.round(size) for _ in range(_ROUNDS)]
        background.close()
    for size, bound in _DECISION_NS.items():
        both = [read_ns + decide_ns for read_ns, decide_ns in rounds[size]]
        note = f"median {statistics.median(both):.1f}"
        yield Figure(f"ring to decision, batches of {size:,}", min(both), "ns/event", bound, note)
    for size, bound in _READER_NS.items():
        best_ns = min(read_ns for read_ns, _ in rounds[size])
        name = f"from the ring into the recorder, batches of {size:,}"
        yield Figure(name, best_ns, "ns/event", bound)
    for size, bound in _DETECTORS_NS.items():
        best_ns = min(decide_ns for _, decide_ns in rounds[size])
        yield Figure(f"detectors, batches of {size:,}", best_ns, "ns/event", bound)


@dataclass(frozen=True, slots=True)
class _Path:
    """Requests on their way, from the ring of a rig."""

    rig: Rig
    background: Background
    recorder: FlightRecorder
    detector: DetectorTask

    def round(self, size: int) -> tuple[float, float]:
        """Batches of a size; ns a request to read and record them, and to decide on them."""
        read_ns = decide_ns = 0
        batches = max(2, min(200, _ROUND_ROWS // size))
        for _ in range(batches):
            self.background.run(size)
            left = size
            while left:  # one batch, two where the recorder begins again
                begun_ns = time.perf_counter_ns()
                rows, _ = self.recorder.fill(self.rig.probe.read_into, left)
                read_at_ns = time.perf_counter_ns()
                self.detector.process(EventBatch(rows, time.monotonic_ns(), recorded=True))
                self.recorder.release(len(rows))
                decide_ns += time.perf_counter_ns() - read_at_ns
                read_ns += read_at_ns - begun_ns
                left -= len(rows)
        return read_ns / batches / size, decide_ns / batches / size


def _detector(recorder: FlightRecorder) -> DetectorTask:
    return DetectorTask(
        config.load(_SHIPPED),
        batches=asyncio.Queue(),
        triggers=asyncio.Queue(),
        recorder=recorder,
        server_of=str,
        clock=SystemClock(),
        log=structlog.get_logger(),
        audit=Audit(enabled=False),
    )
