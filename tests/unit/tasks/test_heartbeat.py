# SPDX-License-Identifier: MIT
"""One timer wakes all that looks around: often while there is something to see, else hardly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

from aodasync.tasks.heartbeat import BEAT_SEC, LINGER_SEC, SILENT_BEAT_SEC, Heartbeat
from tests.fake_time import FakeTimeLoop, in_fake_time


class Client:
    """What a heartbeat listens to, and what it was told."""

    def __init__(self) -> None:
        self.busy = False
        self.asked = 0
        self.began = 0
        self.late_ms: list[float] = []
        self.heart = Heartbeat(self._is_busy, began=self._begin, late=self.late_ms.append)

    def _is_busy(self) -> bool:
        self.asked += 1
        return self.busy

    def _begin(self) -> None:
        self.began += 1

    async def look(self, times: list[float], every_sec: float, silent_sec: float) -> None:
        """Look at these intervals, and note when."""
        while True:
            await self.heart.beat(every_sec, silent_sec)
            times.append(asyncio.get_running_loop().time())


@asynccontextmanager
async def _beating(
    client: Client, *intervals: tuple[float, float]
) -> AsyncIterator[list[list[float]]]:
    """Times at which each of those who look at these intervals did so."""
    looks: list[list[float]] = [[] for _ in intervals]
    tasks = [asyncio.create_task(client.heart.run())]
    tasks += [
        asyncio.create_task(client.look(times, *pair))
        for times, pair in zip(looks, intervals, strict=True)
    ]
    try:
        yield looks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _gaps(times: list[float]) -> list[float]:
    return [round(after - before, 6) for before, after in pairwise(times)]


@in_fake_time
async def test_silence_costs_one_wake_up_a_second(loop: FakeTimeLoop) -> None:
    """However many look around, and at whatever intervals."""
    client = Client()
    intervals = [(1.0, silent) for silent in (1.0, 5.0, 10.0, 30.0)] * 4
    async with _beating(client, *intervals) as looks:
        await asyncio.sleep(LINGER_SEC + 2)
        before, seen = loop.wakeups, [len(times) for times in looks]
        await asyncio.sleep(120)
        assert loop.wakeups - before <= 120 / SILENT_BEAT_SEC + 1
        done = [len(times) - count for times, count in zip(looks, seen, strict=True)]
    assert done[:4] == [120, 24, 12, 4]
    assert client.heart.silent


@in_fake_time
async def test_what_is_busy_is_looked_at_as_often_as_ever(loop: FakeTimeLoop) -> None:
    """By the shorter of the two intervals, for as long as it lasts."""
    client = Client()
    client.busy = True
    async with _beating(client, (1.0, 30.0), (0.25, 1.0)) as looks:
        await asyncio.sleep(60)
    assert set(_gaps(looks[0])) == {1.0}
    assert set(_gaps(looks[1])) == {0.25}
    assert client.asked <= 60 / LINGER_SEC + 1
    assert loop.wakeups <= 60 / BEAT_SEC + 2


@in_fake_time
async def test_what_begins_in_silence_is_seen_within_a_second(loop: FakeTimeLoop) -> None:
    """Everything that is due while it is busy looks at that very beat."""
    client = Client()
    async with _beating(client, (1.0, 600.0)) as looks:
        await asyncio.sleep(60.3)
        assert client.heart.silent
        looks[0].clear()
        begun_sec, client.busy = loop.now_sec, True
        await asyncio.sleep(1.0)
        assert client.began == 1
        assert looks[0][0] - begun_sec <= SILENT_BEAT_SEC
        await asyncio.sleep(10)
        assert set(_gaps(looks[0])) == {1.0}


@in_fake_time
async def test_rows_end_a_silence_at_once(loop: FakeTimeLoop) -> None:
    """It is busy from then on, the next beat comes soon, and silence only after a while."""
    client = Client()
    async with _beating(client, (1.0, 600.0)) as looks:
        await asyncio.sleep(60.1)
        looks[0].clear()
        begun_sec = loop.now_sec
        client.heart.stir()
        assert (client.heart.silent, client.began) == (False, 1)
        await asyncio.sleep(LINGER_SEC)
        assert looks[0][0] - begun_sec <= BEAT_SEC
        assert len(looks[0]) == LINGER_SEC
        await asyncio.sleep(60)
        assert client.heart.silent
        assert len(looks[0]) <= LINGER_SEC + 1


@in_fake_time
async def test_how_late_the_loop_is_is_told_at_each_beat(loop: FakeTimeLoop) -> None:
    """In silence too."""
    client = Client()
    async with _beating(client):
        await asyncio.sleep(30)
        assert max(client.late_ms) < 1
        assert len(client.late_ms) >= 30 - LINGER_SEC
        loop.call_later(0.6 * SILENT_BEAT_SEC, _hold_up, loop, 2.0)
        await asyncio.sleep(3)
    assert 1000 < max(client.late_ms) <= 2000


def _hold_up(loop: FakeTimeLoop, span_sec: float) -> None:
    loop.now_sec += span_sec


@in_fake_time
async def test_one_who_gives_up_waiting_is_forgotten(loop: FakeTimeLoop) -> None:
    """The others are not held up."""
    client = Client()
    async with _beating(client, (1.0, 1.0)) as looks:
        waiting = asyncio.create_task(client.heart.beat(1.0, 1.0))
        await asyncio.sleep(0.4)
        waiting.cancel()
        await asyncio.sleep(10 - 0.3)
        assert loop.now_sec > 1010
        assert len(client.heart._waiters) == 1
    assert len(looks[0]) == 10


@in_fake_time
async def test_a_failing_question_fails_the_task_and_not_the_beats(loop: FakeTimeLoop) -> None:
    """Whoever supervises hears of it; all others go on, as while it is busy."""
    client = Client()
    failures: list[Exception] = []

    def fail() -> bool:
        raise RuntimeError("broken")

    client.heart._is_busy = fail
    async with _beating(client, (1.0, 600.0)) as looks:

        async def supervise() -> None:
            while True:
                try:
                    await client.heart.run()
                except RuntimeError as error:
                    failures.append(error)
                    await asyncio.sleep(30)

        supervisor = asyncio.create_task(supervise())
        until_sec = loop.now_sec + 100
        await asyncio.sleep(until_sec - loop.now_sec)
        supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await supervisor
    assert 2 <= len(failures) <= 4
    assert len(looks[0]) == 100
