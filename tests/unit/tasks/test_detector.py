# SPDX-License-Identifier: MIT
"""The detector looks at what is in flight once an interval, and logs what hangs while it hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import structlog
from structlog.testing import capture_logs

from aodasync.audit import Audit
from aodasync.errors import BpfError
from aodasync.events import EventArray, EventBatch
from aodasync.evidence import Sample, Trigger
from aodasync.operations import NO_OPERATIONS, OPERATION, OperationArray, WaitsFor
from aodasync.recorder import FlightRecorder
from aodasync.tasks.detector import Detector
from tests.unit.builders import SECOND, config, hang_anomaly, in_flight, latency_anomaly, request


class FakeClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = SECOND

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return 10**18 + self.now_ns


class Bench:
    """A detector with all that it is given."""

    def __init__(self, *anomalies: Any, **changes: Any) -> None:
        self.clock = FakeClock()
        self.triggers: asyncio.Queue[Trigger] = asyncio.Queue(8)
        self.rows: EventArray = in_flight(issued_ns=SECOND)
        self.inside: OperationArray = NO_OPERATIONS
        self.looks = 0
        self.sampled = 0
        self.detector = Detector(
            config(*anomalies, **changes),
            batches=asyncio.Queue(8),
            triggers=self.triggers,
            recorder=FlightRecorder(100),
            server_of=lambda number: f"server{number}",
            clock=self.clock,
            log=structlog.get_logger(),
            audit=Audit(enabled=False),
            in_flight=self._look,
            operations=lambda: self.inside,
            samples=self._sample,
        )

    def _sample(self) -> tuple[Sample, ...]:
        self.sampled += 1
        return (Sample(self.clock.now_ns, (), {}),)

    def _look(self) -> EventArray:
        self.looks += 1
        return self.rows

    def tick(self, now_ns: int) -> None:
        """Let the clock and the detector come to this time."""
        self.clock.now_ns = now_ns
        self.detector.tick(now_ns)


def test_requests_in_flight_are_scanned_once_an_interval() -> None:
    """However many batches come, the scan keeps to the watch interval."""
    bench = Bench(hang_anomaly())
    for tenth in range(10, 61):
        bench.clock.now_ns = tenth * SECOND // 10
        bench.detector.process(EventBatch(request(released_ns=SECOND), bench.clock.now_ns))
        bench.detector.tick(bench.clock.now_ns)
    assert bench.looks == 6


def test_nothing_is_scanned_when_nothing_asks_for_it() -> None:
    """Without a hang anomaly the table in the kernel is left alone."""
    bench = Bench(latency_anomaly())
    bench.tick(SECOND)
    assert bench.looks == 0


def test_a_hang_is_told_while_it_hangs() -> None:
    """anomaly_detected comes with the age of the oldest, anomaly_ended after it went."""
    bench = Bench(hang_anomaly())
    with capture_logs() as logs:
        for second in range(2, 9):
            bench.tick(second * SECOND)
        bench.rows = bench.rows[:0]
        for second in range(9, 15):
            bench.tick(second * SECOND)
    detected, ended = logs
    assert detected["event"] == "anomaly_detected"
    assert (detected["anomaly"], detected["max_latency_ms"]) == ("hang", 5000.0)
    assert detected["in_flight"] == 1
    assert ended["event"] == "anomaly_ended"
    assert bench.triggers.get_nowait().anomaly == "hang"


def test_an_episode_that_lasted_orders_a_second_bundle() -> None:
    """After 40 s of hanging, with no cool-down: one trigger at the start, one marked at the end."""
    bench = Bench(hang_anomaly(cooldown_sec=0.0))
    for second in range(2, 47):
        bench.tick(second * SECOND)
    bench.rows = bench.rows[:0]
    for second in range(47, 52):
        bench.tick(second * SECOND)
    first, second_ = bench.triggers.get_nowait(), bench.triggers.get_nowait()
    assert (first.at_end, second_.at_end) == (False, True)
    assert first.episode == second_.episode
    assert second_.finding is not None
    assert second_.finding.max_latency_ms == 45_000.0
    assert bench.triggers.empty()


def test_the_surroundings_are_sampled_at_the_trigger() -> None:
    """TCP's figures of the moment go with the trigger; a suppressed one costs nothing."""
    bench = Bench(latency_anomaly(acceptable_count=1))
    for second in (10, 30):
        bench.clock.now_ns = second * SECOND
        slow = request(released_ns=second * SECOND, latency_ns=SECOND // 2)
        bench.detector.process(EventBatch(slow, second * SECOND))
        bench.tick((second + 5) * SECOND)
    trigger = bench.triggers.get_nowait()
    assert [sample.monotonic_ns for sample in trigger.samples] == [10 * SECOND]
    assert (bench.sampled, bench.triggers.empty()) == (1, True)


def test_a_table_that_cannot_be_read_is_told_and_survived() -> None:
    """The scan fails; the detector says so and goes on."""
    bench = Bench(hang_anomaly())

    def refuse() -> EventArray:
        raise BpfError("lookup_batch", 12)

    bench.detector._in_flight = refuse
    with capture_logs() as logs:
        bench.tick(10 * SECOND)
    assert [entry["event"] for entry in logs] == ["in_flight_unreadable"]


def test_operations_without_a_request_are_logged_with_their_owners() -> None:
    """Eight of them at most; the count has all."""
    bench = Bench(hang_anomaly())
    bench.rows = bench.rows[:0]
    bench.inside = np.zeros(11, OPERATION)
    bench.inside["pid"] = bench.inside["xid"] = range(11)
    bench.inside["comm"], bench.inside["function"] = b"cp", b"cifs_open"
    bench.inside["waits_for"], bench.inside["started_ns"] = WaitsFor.CREDITS, SECOND
    with capture_logs() as logs:
        for second in range(2, 8):
            bench.tick(second * SECOND)
    (event,) = [log for log in logs if log["event"] == "anomaly_detected"]
    assert (event["anomaly"], event["count"], event["waiting_for_credits"]) == ("hang", 11, 11)
    assert [stall["pid"] for stall in event["stalls"]] == list(range(8))
    assert event["stalls"][0]["comm"] == "cp"
    assert event["stalls"][0]["function"] == "cifs_open"
    assert event["stalls"][0]["waits_for"] == "credits"
