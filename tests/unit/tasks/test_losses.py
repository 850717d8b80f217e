# SPDX-License-Identifier: MIT
"""What is lost is logged once each time it grows, whoever counts it."""

from __future__ import annotations

from typing import Any, cast

import structlog
from structlog.testing import capture_logs

from aodasync.errors import BpfError
from aodasync.evidence.recorder import FlightRecorder
from aodasync.probes.interface import Probe
from aodasync.probes.live_source import LiveEvidence
from aodasync.tasks.losses import Losses


class Counting:
    """A probe with one counter, which cannot always be read."""

    def __init__(self) -> None:
        self.lost = 0
        self.readable = True
        self.tables = {"losses": self.losses}

    def losses(self) -> dict[str, int]:
        if not self.readable:
            raise BpfError("cannot read a map: Cannot allocate memory", 12)
        return {"ring_full": self.lost}


class Bench:
    """The reporter, what it reads, and the time."""

    def __init__(self) -> None:
        self.own = {"log_lines": 0}
        self.probe = Counting()
        self.now_sec = 100.0
        self.evidence = LiveEvidence(FlightRecorder(10), lambda: self.own)
        self.evidence.probe = cast("Probe", self.probe)
        log: Any = structlog.get_logger()
        self.losses = Losses(self.evidence, log, lambda: self.now_sec)

    def report(self) -> list[Any]:
        """What one report logs: stage, count and total, or the table and its failures."""
        with capture_logs() as logs:
            self.losses.report()
        keys = ("stage", "count", "total", "table", "failures")
        return [tuple(line[key] for key in keys if key in line) for line in logs]


def test_a_loss_is_logged_once() -> None:
    """events_lost names the stage and how many more were lost: in the kernel and by the agent."""
    bench = Bench()
    bench.probe.lost = 7
    assert bench.report() == [("ring_full", 7, 7)]
    assert bench.report() == []
    bench.probe.lost, bench.own["log_lines"] = 9, 3
    assert bench.report() == [("ring_full", 2, 9), ("log_lines", 3, 3)]


def test_a_counter_that_cannot_be_read_is_not_forgotten() -> None:
    """Once it can be read again only what is new counts; the failed reads count themselves."""
    bench = Bench()
    bench.probe.lost = 7
    bench.report()
    bench.probe.readable = False
    assert bench.report() == [("bpf_reads", 1, 1), ("losses", 1)]
    bench.probe.readable, bench.probe.lost = True, 8
    assert bench.report() == [("ring_full", 1, 8)]


def test_why_a_table_is_unreadable_is_logged_once_a_minute() -> None:
    """An hour without memory does not fill the log."""
    bench = Bench()
    bench.probe.readable = False
    told = []
    for _ in range(120):
        bench.now_sec += 1
        told += [line for line in bench.report() if line[0] == "losses"]
    assert len(told) == 2
