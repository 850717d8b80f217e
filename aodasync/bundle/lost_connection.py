# SPDX-License-Identifier: MIT
"""What comes of a lost connection while its bundle is collected.

It may be lost at a moment when nobody uses it, and be back before all is collected, so who
waits for it is looked at in between.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

from aodasync.evidence.model import EvidenceSource, Snapshot, Symptom, Trigger
from aodasync.host.threads import in_thread
from aodasync.verdict.reconnects import is_undecided
from aodasync.verdict.waiting_threads import Inside

__all__ = ["LostConnection"]

_DECIDED_WITHIN_NS: Final = 20_000_000_000
_EVERY_SEC: Final = 0.25
_ROWS_BEFORE: Final = 4096  # a reconnect may be over when its bundle begins


class LostConnection:
    """Of any other trigger, and in a replay, there is nothing to wait for, nor to look at."""

    def __init__(self, trigger: Trigger, source: EvidenceSource) -> None:
        self._trigger = trigger
        self._source = source
        self._fullest: Inside | None = None

    async def watch(self) -> None:
        """Look who is inside the client, until cancelled."""
        finding = self._trigger.finding
        if finding is None or finding.symptom != Symptom.CONNECTION or not self._source.live:
            return
        while True:
            await asyncio.sleep(_EVERY_SEC)
            self._keep(self._source.snapshot("operations", "in_flight"))

    async def decided(self, recorded: int) -> None:
        """Wait until the server has taken or refused the next login, or for twenty seconds.

        ``recorded`` rows were there at the beginning.
        """
        finding, source = self._trigger.finding, self._source
        if finding is None or not source.live:
            return
        end_ns = self._trigger.decided_monotonic_ns + _DECIDED_WITHIN_NS
        earlier = max(0, recorded - _ROWS_BEFORE)
        while time.monotonic_ns() < end_ns:
            rows = source.events(earlier)
            if not await in_thread(partial(is_undecided, finding, rows)):
                break
            await asyncio.sleep(_EVERY_SEC)

    def inside(self, after: Snapshot) -> Inside | None:
        """Of ``after`` and the looks, the one in which most had waited; None in a replay."""
        if not self._source.live:
            return None
        self._keep(after)
        return self._fullest

    def _keep(self, now: Snapshot) -> None:
        look = Inside(now.operations, now.in_flight, now.clocks.monotonic_ns)
        if self._fullest is None or _waited_ns(look) > _waited_ns(self._fullest):
            self._fullest = look


def _waited_ns(look: Inside) -> int:
    started_ns: list[int] = look.operations["started_ns"].tolist()
    return look.now_ns * len(started_ns) - sum(started_ns)
