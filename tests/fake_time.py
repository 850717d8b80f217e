# SPDX-License-Identifier: MIT
"""An event loop whose time passes at once when nothing is left to do, and is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["FakeTimeLoop", "in_fake_time"]


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """``wakeups`` counts how often it slept; whoever sets ``now_sec`` forward holds it up."""

    def __init__(self) -> None:
        super().__init__()
        self.now_sec = 1000.0
        self.wakeups = 0
        self._really_select: Callable[[float], Any] = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now_sec

    def monotonic_ns(self) -> int:
        """As a :class:`~aodasync.host.clock.Clock`."""
        return round(self.now_sec * 1e9)

    def realtime_ns(self) -> int:
        """As a :class:`~aodasync.host.clock.Clock`."""
        return 10**18 + self.monotonic_ns()

    def _select(self, timeout_sec: float | None) -> Any:
        ready = self._really_select(0)
        if ready or timeout_sec == 0:
            return ready
        if timeout_sec is None:
            raise RuntimeError("nothing is left that could wake this loop")
        self.wakeups += 1
        self.now_sec += timeout_sec
        return ready


def in_fake_time(test: Callable[[FakeTimeLoop], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs on such a loop, which it is given."""

    def run() -> None:
        loop = FakeTimeLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(loop))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
