# SPDX-License-Identifier: MIT
"""What an agent in silence must not lose: tasks on one heartbeat, in a time that passes at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.events import EVENT, NO_OPERATIONS, EventArray
from aodasync.evidence.model import Connection, EvidenceSource, Snapshot, Trigger
from aodasync.evidence.recorder import FlightRecorder
from aodasync.host.aodv2_syslog import Audit
from aodasync.host.tcp_sockets import TcpSockets
from aodasync.probes.interface import Probe
from aodasync.probes.live_source import LiveEvidence
from aodasync.tasks import sampler as sampler_module
from aodasync.tasks import watchdog as watchdog_module
from aodasync.tasks.batch_queue import BatchQueue
from aodasync.tasks.detector import DetectorTask
from aodasync.tasks.heartbeat import Heartbeat
from aodasync.tasks.losses import Losses
from aodasync.tasks.reader import Reader
from aodasync.tasks.sampler import Sampler
from aodasync.tasks.watchdog import Watchdog, Work
from tests.builders import config, connection_anomaly, hang_anomaly, in_flight, request, requests
from tests.fake_time import FakeTimeLoop, in_fake_time

T = TypeVar("T")


class Ring:
    """A probe's ring without a descriptor that wakes, and its counters."""

    def __init__(self) -> None:
        self.held: EventArray = requests()
        self.waiting: EventArray = requests()
        self.lost = 0
        self.tables = {"losses": lambda: {"ring_full": self.lost}}
        self._wait, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._wait

    def is_quiet(self) -> bool:
        return not len(self.held) and not len(self.waiting)

    def read_into(self, into: npt.NDArray[np.void]) -> int:
        rows, self.held = self.held, requests()
        into.view(EVENT)[: len(rows)] = rows
        return len(rows)

    stopped_short = False

    def acknowledge(self) -> None:
        os.read(self._wait, 100)

    def settle(self) -> None:
        """No files are looked up here."""

    def wake(self) -> None:
        os.write(self._wake, b"!")

    def close(self) -> None:
        os.close(self._wait)
        os.close(self._wake)


class Agent:
    """Reader and detector on a heartbeat; itself the source of evidence."""

    live = True

    def __init__(self, loop: FakeTimeLoop) -> None:
        log: Any = structlog.get_logger()
        self.ring = Ring()
        self.recorder = FlightRecorder(1000)
        self.known: dict[int, Connection] = {}
        self.batches = BatchQueue(self.recorder)
        self.heart = Heartbeat(self._is_busy, began=self._began)
        self.detector = DetectorTask(
            config(hang_anomaly(), connection_anomaly()),
            batches=self.batches,
            triggers=asyncio.Queue[Trigger](8),
            recorder=self.recorder,
            server_of=str,
            clock=loop,
            log=log,
            audit=Audit(enabled=False),
            source=cast("EvidenceSource", self),
            is_silent=lambda: self.heart.silent,
        )
        probe = cast("Probe", self.ring)
        self.reader = Reader(probe, self.batches, loop, beat=self.heart.beat, stir=self.heart.stir)
        self.evidence = LiveEvidence(FlightRecorder(10))
        self.evidence.probe = probe
        self.losses = Losses(self.evidence, log, loop.time, self.heart.beat)

    def _began(self) -> None:
        self.detector.wake()

    def _is_busy(self) -> bool:
        return not self.reader.is_quiet() or self.detector.engine.awaits

    def snapshot(self, *_tables: str) -> Snapshot:
        return Snapshot(
            in_flight=self.ring.waiting, operations=NO_OPERATIONS, connections=self.known
        )

    @asynccontextmanager
    async def running(self, *more: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """In silence; with these tasks, too."""
        lives = [self.heart.run, self.detector.run, self.reader.run, *more]
        tasks = [asyncio.ensure_future(life()) for life in lives]
        await asyncio.sleep(60.4)
        assert self.heart.silent
        try:
            yield
        finally:
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.ring.close()


@in_fake_time
async def test_silence_hardly_wakes_the_agent(loop: FakeTimeLoop) -> None:
    """Reader, detector and counters: one wake-up a second, and the detector's two a minute."""
    agent = Agent(loop)
    async with agent.running(agent.losses.run):
        before = loop.wakeups
        await asyncio.sleep(600)
        assert loop.wakeups - before <= 600 + 20 + 1


@pytest.mark.parametrize("after_sec", [0.0, 0.3, 0.61, 0.99, 7.77])
def test_a_hang_that_begins_in_silence_is_told_in_time(after_sec: float) -> None:
    """Within a second of the age that makes it one, though no row ever comes."""

    @in_fake_time
    async def hang(loop: FakeTimeLoop) -> None:
        agent = Agent(loop)
        with capture_logs() as logs:
            async with agent.running():
                await asyncio.sleep(after_sec)
                agent.ring.waiting = in_flight(issued_ns=loop.monotonic_ns())
                await asyncio.sleep(5.0 - 0.01)
                assert [line["event"] for line in logs] == []
                await asyncio.sleep(1.0 + 0.02)
                assert [line["event"] for line in logs] == ["anomaly_detected"]
                agent.ring.waiting = requests()
                await asyncio.sleep(6)
        assert [line["event"] for line in logs] == ["anomaly_detected", "anomaly_ended"]

    hang()


@in_fake_time
async def test_a_login_that_is_not_sent_is_told_in_time(loop: FakeTimeLoop) -> None:
    """Ten seconds after a NEGOTIATE, though nothing comes after it; then it is silent again."""
    agent = Agent(loop)
    with capture_logs() as logs:
        async with agent.running():
            now_ns = loop.monotonic_ns()
            agent.ring.held = request("SMB2_NEGOTIATE", released_ns=now_ns, latency_ns=1)
            agent.ring.wake()
            await asyncio.sleep(10.0 - 0.01)
            assert [line["event"] for line in logs] == []
            await asyncio.sleep(1.0)
            assert [(line["event"], line["code"]) for line in logs] == [
                ("anomaly_detected", ["NO_LOGIN"])
            ]
            await asyncio.sleep(120)
            assert agent.heart.silent


@in_fake_time
async def test_the_first_record_after_a_silence_is_read_within_a_second(
    loop: FakeTimeLoop,
) -> None:
    """Those after it within a quarter of one; what the kernel wakes for, at once."""
    agent = Agent(loop)
    async with agent.running():
        for at_most_sec in (1.0, 0.25, 0.25):
            begun_sec, agent.ring.held = loop.now_sec, in_flight(issued_ns=1)
            before = agent.reader.metrics.events
            while agent.reader.metrics.events == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert loop.now_sec - begun_sec <= at_most_sec + 0.02
        await asyncio.sleep(60.3)
        assert agent.heart.silent
        begun_sec, agent.ring.held = loop.now_sec, in_flight(issued_ns=1)
        agent.ring.wake()
        await asyncio.sleep(0.001)
        assert agent.detector.metrics.events == before + 2
        assert not agent.heart.silent


@in_fake_time
async def test_losses_are_logged_within_seconds(loop: FakeTimeLoop) -> None:
    """Five in silence, in which hardly anything can be lost; one while rows come."""
    agent = Agent(loop)
    async with agent.running(agent.losses.run):
        for stirred, at_most_sec in ((False, 5.0), (True, 1.0), (True, 1.0)):
            if stirred:
                agent.heart.stir()
            agent.ring.lost += 1
            with capture_logs() as logs:
                await asyncio.sleep(at_most_sec + 0.3)
            assert [line["event"] for line in logs] == ["events_lost"]


@pytest.mark.parametrize("limit_sec", [3, 60])
def test_the_watchdog_is_fed_through_a_silence(
    limit_sec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring is looked at often enough; a reader that stopped is seen in silence as well."""
    fed: list[float] = []
    monkeypatch.setattr(watchdog_module, "watchdog_sec", lambda: float(limit_sec))

    @in_fake_time
    async def feed(loop: FakeTimeLoop) -> None:
        monkeypatch.setattr(watchdog_module, "notify", lambda _: fed.append(loop.now_sec))
        agent = Agent(loop)

        def work() -> Work:
            metrics = agent.reader.metrics
            return Work(metrics.looks, metrics.batches, agent.batches.qsize(), ())

        watchdog = Watchdog(work, structlog.get_logger(), agent.heart.beat)
        with capture_logs() as logs:
            async with agent.running(watchdog.run):
                await asyncio.sleep(600)
                assert logs == []
                assert loop.now_sec - fed[-1] < limit_sec
                assert max(after - before for before, after in pairwise(fed)) < limit_sec
                agent.reader._running = False
                monkeypatch.setattr(agent.reader, "_read_on", lambda: 0)
                await asyncio.sleep(2 * limit_sec)
        assert [line["reason"] for line in logs] == ["the ring is not read"]

    feed()


async def _now(work: Callable[[], T]) -> T:
    return work()


def test_samples_are_sparse_in_silence_and_there_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One in ten seconds while nothing comes; one at once, and each second, while rows do."""
    monkeypatch.setattr(sampler_module, "in_thread", _now)
    monkeypatch.setattr(TcpSockets, "read", lambda *_: [])

    @in_fake_time
    async def sample(loop: FakeTimeLoop) -> None:
        agent = Agent(loop)
        agent.known[1] = Connection(1, "nas", "192.0.2.1", 445)
        around = Sampler(cast("EvidenceSource", agent), loop, agent.heart.beat)
        async with agent.running(around.run):
            begun_sec = loop.now_sec
            await asyncio.sleep(100)
            assert len(_since(around, begun_sec)) == 10
            await asyncio.sleep(5)
            begun_sec = loop.now_sec
            agent.ring.held = in_flight(issued_ns=1)
            agent.ring.wake()
            await asyncio.sleep(0.3)
            assert len(_since(around, begun_sec)) == 1
            await asyncio.sleep(4)
            assert len(_since(around, begun_sec)) == 5

    sample()


def _since(around: Sampler, begun_sec: float) -> list[int]:
    return [s.monotonic_ns for s in around.history() if s.monotonic_ns > begun_sec * 1e9]
