# SPDX-License-Identifier: MIT
"""One timer for all that looks around regularly, so that an idle agent hardly ever wakes.

While there is something to watch it beats four times a second, in silence once. Whoever waits
names two intervals, one for either, and goes on with the first beat after it: all that is due
at a time costs one wake-up. Rows end the silence at once, what is seen at a beat with that beat.

It is silent once neither rows came nor ``is_busy`` said so for :data:`LINGER_SEC`, which is
longer than anything takes that follows from rows alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["BEAT_SEC", "LINGER_SEC", "SILENT_BEAT_SEC", "Beat", "Heartbeat", "steady"]

BEAT_SEC = 0.25
SILENT_BEAT_SEC = 1.0
LINGER_SEC = 5.0


class Beat(Protocol):
    """Waits for the first beat after ``every_sec``, in silence after ``silent_sec``."""

    def __call__(self, every_sec: float, silent_sec: float, /) -> Awaitable[None]:
        """Wait."""


def steady(every_sec: float, _silent_sec: float, /) -> Awaitable[None]:
    """The :class:`Beat` of one who is alone: a sleep."""
    return asyncio.sleep(every_sec)


@dataclass(frozen=True, slots=True)
class _Waiter:
    beat: asyncio.Future[None]
    due_sec: float
    silent_due_sec: float


class Heartbeat:
    """``is_busy`` says whether there is something to watch; it is asked at beats, and is cheap.

    ``began`` is called when a silence ends, ``late`` at each beat with the ms that the loop
    was late for it.
    """

    def __init__(
        self,
        is_busy: Callable[[], bool],
        *,
        began: Callable[[], None] = lambda: None,
        late: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._is_busy = is_busy
        self._began = began
        self._late = late
        self._waiters: list[_Waiter] = []
        self._soonest_sec = self._soonest_silent_sec = math.inf  # that any waiter is due
        self._timer: asyncio.TimerHandle | None = None
        self._failed: asyncio.Future[None] | None = None
        self._busy_until_sec = 0.0
        self.silent = False

    async def run(self) -> None:
        """Beat until cancelled. What fails is raised, and does not end the beats."""
        loop = asyncio.get_running_loop()
        self._busy_until_sec = loop.time() + LINGER_SEC
        self.silent = False
        self._failed = loop.create_future()
        self._arm()
        try:
            await self._failed
        except asyncio.CancelledError:
            self._disarm()
            raise

    def stir(self) -> None:
        """Rows came: the silence, if there was one, is over."""
        self._busy_until_sec = asyncio.get_running_loop().time() + LINGER_SEC
        if self.silent:
            self._end_silence()
            self._arm()

    async def beat(self, every_sec: float, silent_sec: float, /) -> None:
        """Wait, as :class:`Beat` says."""
        loop = asyncio.get_running_loop()
        beat, now_sec = loop.create_future(), loop.time()
        # Multiples: of those that look in silence at the same intervals, all do at one beat.
        silent_due_sec = round(now_sec / silent_sec + 1) * silent_sec
        self._wait(_Waiter(beat, now_sec + every_sec, silent_due_sec))
        await beat

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._disarm()
        gap_sec = SILENT_BEAT_SEC if self.silent else BEAT_SEC
        self._timer = asyncio.get_running_loop().call_later(gap_sec, self._on_timer)

    def _on_timer(self) -> None:
        timer, self._timer = self._timer, None
        assert timer is not None  # noqa: S101  # it called this
        now_sec = asyncio.get_running_loop().time()
        try:
            self._late(max(0.0, now_sec - timer.when()) * 1e3)
            self._listen(now_sec)
        except Exception as error:  # noqa: BLE001  # run() raises it
            self._busy_until_sec = now_sec + LINGER_SEC
            self.silent = False
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)
        self._release(now_sec)
        self._arm()

    def _listen(self, now_sec: float) -> None:
        if now_sec < self._busy_until_sec:
            return
        if not self._is_busy():
            self.silent = True
            return
        self._busy_until_sec = now_sec + LINGER_SEC
        if self.silent:
            self._end_silence()

    def _release(self, now_sec: float) -> None:
        # What is due before half of the next gap is due now, or it would come a beat late.
        until_sec = now_sec + BEAT_SEC / 2
        if (self._soonest_silent_sec if self.silent else self._soonest_sec) > until_sec:
            return
        waiters, self._waiters = self._waiters, []
        self._soonest_sec = self._soonest_silent_sec = math.inf
        for waiter in waiters:
            if waiter.beat.done():  # cancelled
                continue
            if (waiter.silent_due_sec if self.silent else waiter.due_sec) > until_sec:
                self._wait(waiter)
            else:
                waiter.beat.set_result(None)

    def _wait(self, waiter: _Waiter) -> None:
        self._waiters.append(waiter)
        self._soonest_sec = min(self._soonest_sec, waiter.due_sec)
        self._soonest_silent_sec = min(self._soonest_silent_sec, waiter.silent_due_sec)

    def _end_silence(self) -> None:
        self.silent = False
        self._began()
