# SPDX-License-Identifier: MIT
"""Feeds systemd's watchdog while the agent does its work, and not merely because it runs.

That the loop turns shows in the feeding itself. Beyond it the ring has to be read, what
was read has to be taken by the detector, and no detector may have been given up. An agent
that is not fed is ended and started again by systemd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from aodasync.host.systemd import notify, watchdog_sec
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Watchdog", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """How far the work is.

    ``looks`` at the ring (None: nothing is attached), batches ``taken``, rows ``queued``, and
    the anomalies whose detector was ``given_up``.
    """

    looks: int | None
    taken: int
    queued: int
    given_up: tuple[str, ...]


class Watchdog:
    """``work`` returns what the agent did so far."""

    def __init__(
        self, work: Callable[[], Work], log: FilteringBoundLogger, beat: Beat = steady
    ) -> None:
        self._beat = beat
        self._work = work
        self._log = log.bind(component="watchdog")
        self._before: Work | None = None

    async def run(self) -> None:
        """Feed until cancelled, twice in the unit's WatchdogSec; returns where there is none."""
        limit_sec = watchdog_sec()
        if limit_sec is None:
            return
        reason = ""
        while True:
            before, reason = reason, self.reason()
            if not reason:
                notify("WATCHDOG=1")
            elif reason != before:
                self._log.error("watchdog_not_fed", reason=reason, limit_sec=limit_sec)
            await self._beat(limit_sec / 2, limit_sec / 2)

    def reason(self) -> str:
        """Why the agent should be started again; empty while it does its work."""
        now, before = self._work(), self._before
        self._before = now
        if now.given_up:
            return f"detectors given up: {', '.join(now.given_up)}"
        if before is None:
            return ""
        if now.looks is not None and now.looks == before.looks:
            return "the ring is not read"
        if now.queued and before.queued and now.taken == before.taken:
            return "the detector takes no batch"
        return ""
