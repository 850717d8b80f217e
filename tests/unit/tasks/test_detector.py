# SPDX-License-Identifier: MIT
"""The detector looks at what is in flight once an interval, and logs what hangs while it hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.config.anomalies.rules import ErrorRule
from aodasync.detection.hang import HangDetector
from aodasync.events import (
    NO_OPERATIONS,
    OPERATION,
    EventArray,
    EventBatch,
    Kind,
    OperationArray,
    WaitsFor,
)
from aodasync.evidence.model import Sample, Snapshot, Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.tasks.detector import DetectorTask
from tests.builders import (
    SECOND,
    config,
    connection_anomaly,
    error_anomaly,
    hang_anomaly,
    in_flight,
    latency_anomaly,
    request,
    trouble,
)


class FakeClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = SECOND

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return 10**18 + self.now_ns


class Bench:
    """A detector with all that it is given; itself the source of evidence."""

    live = True

    def __init__(self, *anomalies: Any, **changes: Any) -> None:
        self.clock = FakeClock()
        self.triggers: asyncio.Queue[Trigger] = asyncio.Queue(8)
        self.rows: EventArray = in_flight(issued_ns=SECOND)
        self.inside: OperationArray = NO_OPERATIONS
        self.errors: dict[str, str] = {}
        self.looks = 0
        self.sampled = 0
        self.recorder = FlightRecorder(100)
        self.detector = DetectorTask(
            config(*anomalies, **changes),
            batches=asyncio.Queue(8),
            triggers=self.triggers,
            recorder=self.recorder,
            server_of=lambda number: f"server{number}",
            clock=self.clock,
            log=structlog.get_logger(),
            audit=Audit(enabled=False),
            source=self,
            samples=self._sample,
        )

    def _sample(self) -> tuple[Sample, ...]:
        self.sampled += 1
        return (Sample(self.clock.now_ns, (), {}),)

    def snapshot(self, *tables: str) -> Snapshot:
        self.looks += "in_flight" in tables
        return Snapshot(in_flight=self.rows, operations=self.inside, errors=self.errors)

    def events(self, since: int = 0) -> EventArray:
        raise NotImplementedError

    def recorded(self) -> int:
        raise NotImplementedError

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


def test_a_hang_is_reported_while_it_hangs() -> None:
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


def test_the_log_names_the_rule_that_fired() -> None:
    """At the start and the end of its episode; anomalies without rules have no such field."""
    rule = ErrorRule("no-space", 1, codes=("ENOSPC",))
    bench = Bench(error_anomaly(codes=(), rules=(rule,)), hang_anomaly())
    full = request("SMB2_WRITE", released_ns=2 * SECOND, status=STATUS_CODES["STATUS_DISK_FULL"])
    with capture_logs() as logs:
        bench.detector.process(EventBatch(full, 2 * SECOND))
        for second in range(3, 9):
            bench.tick(second * SECOND)
    named = [(log["event"], log["anomaly"], log.get("rule")) for log in logs]
    assert named == [
        ("anomaly_detected", "error", "no-space"),
        ("anomaly_detected", "hang", None),
        ("anomaly_ended", "error", "no-space"),
    ]


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


def test_a_table_that_cannot_be_read_is_survived() -> None:
    """The scan fails; the detector goes on without it (Losses logs it)."""
    bench = Bench(hang_anomaly())
    bench.rows = bench.rows[:0]
    bench.errors = {"in_flight": "lookup_batch: ENOMEM"}
    with capture_logs() as logs:
        bench.tick(10 * SECOND)
    assert logs == []


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


def test_a_detector_that_raises_is_logged_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure by name and place, the fifth as the last; the task itself goes on."""
    bench = Bench(hang_anomaly())

    def fail(_self: HangDetector, _rows: EventArray) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(HangDetector, "observe", fail)
    with capture_logs() as logs:
        for _ in range(7):
            bench.detector.process(EventBatch(request(released_ns=SECOND), SECOND))
    assert [entry["event"] for entry in logs] == ["detector_restarted"] * 4 + ["detector_given_up"]
    first = logs[0]
    assert (first["anomaly"], first["detector"]) == ("hang", "HangDetector")
    assert first["error"] == "ZeroDivisionError: oops"
    assert " in fail" in first["where"]
    assert bench.detector.metrics.batches == 7


def test_an_episode_that_becomes_an_emergency_is_logged_once_more() -> None:
    """It began by count; then a request took longer than a second."""
    bench = Bench(latency_anomaly(acceptable_count=1))
    with capture_logs() as logs:
        for second, latency_ns in ((10, SECOND // 2), (11, 2 * SECOND), (12, 2 * SECOND)):
            bench.clock.now_ns = second * SECOND
            slow = request(released_ns=second * SECOND, latency_ns=latency_ns)
            bench.detector.process(EventBatch(slow, second * SECOND))
    assert [log["event"] for log in logs] == ["anomaly_detected", "anomaly_escalated"]
    assert (logs[1]["episode"], logs[1]["max_latency_ms"]) == (logs[0]["episode"], 2000.0)


@pytest.mark.parametrize(("after_sec", "bundles"), [(5, 1), (40, 2)])
def test_a_server_that_comes_back_and_refuses_logins_is_logged(
    after_sec: int, bundles: int
) -> None:
    """With the NTSTATUS, and a bundle more if the first one could not know, cool-down or not."""
    bench = Bench(connection_anomaly())
    status = STATUS_CODES["STATUS_LOGON_FAILURE"]
    rows = {10: trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1)}
    for second in (10 + after_sec, 15 + after_sec):
        rows[second] = request(
            "SMB2_SESSION_SETUP", released_ns=second * SECOND, status=status, connection_id=1
        )
    bench.detector.process(EventBatch(request(released_ns=9 * SECOND), 9 * SECOND))
    with capture_logs() as logs:
        for second in range(10, 60):
            bench.clock.now_ns = second * SECOND
            if second in rows:
                bench.detector.process(EventBatch(rows[second], second * SECOND))
            bench.detector.tick(second * SECOND)
    events = [log["event"] for log in logs]
    assert events.count("anomaly_detected") == 1
    assert events.count("logins_refused") == bundles - 1
    assert bench.triggers.qsize() == bundles


def test_data_that_is_lost_in_an_episode_is_logged() -> None:
    """With a bundle more: the first one could not know."""
    bench = Bench(connection_anomaly())
    rows = {
        10: trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1),
        **{n: trouble(Kind.CONNECT_ERROR, at_ns=n * SECOND, connection_id=1) for n in (20, 30, 40)},
        50: trouble(Kind.FLUSH_ERROR, at_ns=50 * SECOND, connection_id=1),
    }
    bench.detector.process(EventBatch(request(released_ns=9 * SECOND), 9 * SECOND))
    with capture_logs() as logs:
        for second in range(10, 52):
            bench.clock.now_ns = second * SECOND
            if second in rows:
                bench.detector.process(EventBatch(rows[second], second * SECOND))
            bench.detector.tick(second * SECOND)
    events = [log["event"] for log in logs]
    assert (events.count("anomaly_detected"), events.count("data_lost")) == (1, 1)
    assert bench.triggers.qsize() == 2


def test_a_batch_at_which_the_detector_fails_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its rows are there and counted as not judged; the next batch is none of them."""
    bench = Bench(latency_anomaly())

    def fail(_rows: EventArray, _now_ns: int) -> Any:
        raise RuntimeError("broken")

    with monkeypatch.context() as broken:
        broken.setattr(bench.detector.engine, "decide", fail)
        with pytest.raises(RuntimeError):
            bench.detector.process(EventBatch(request(released_ns=SECOND), SECOND))
    bench.detector.process(EventBatch(request(released_ns=2 * SECOND), 2 * SECOND))
    metrics = bench.detector.metrics
    assert bench.recorder.appended == metrics.events == 2
    assert (metrics.undecided, metrics.batches) == (1, 1)
