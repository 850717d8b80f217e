# SPDX-License-Identifier: MIT
"""Logs what was lost, whoever counts it, as soon as it grows.

The counters themselves are the ``losses`` of :class:`aodasync.evidence.model.Snapshot`,
so manifests, ``status`` and metrics show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from structlog.typing import FilteringBoundLogger

from aodasync.probes.live_source import LiveEvidence
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Losses"]

_EVERY_SEC: Final = 1.0
_SILENT_SEC: Final = 5.0
_UNREADABLE_EVERY_SEC: Final = 60.0


class Losses:
    """Compares the counters with those it last logged, for the whole life of the agent."""

    def __init__(
        self,
        evidence: LiveEvidence,
        log: FilteringBoundLogger,
        clock_sec: Callable[[], float],
        beat: Beat = steady,
    ) -> None:
        self._beat = beat
        self._evidence = evidence
        self._log = log.bind(component="losses")
        self._clock_sec = clock_sec
        self._logged: Mapping[str, int] = {}
        self._unreadable_sec: dict[str, float] = {}

    async def run(self) -> None:
        """Report once a second until cancelled, in silence every five."""
        while True:
            await self._beat(_EVERY_SEC, _SILENT_SEC)
            self.report()

    def report(self) -> None:
        """Log each counter that grew, and once a minute each table that could not be read."""
        losses = self._evidence.snapshot("losses").losses
        for stage, total in losses.items():
            grown = total - self._logged.get(stage, 0)
            if grown > 0:
                self._log.warning("events_lost", stage=stage, count=grown, total=total)
        # A counter that could not be read now stays as it was logged.
        self._logged = {**self._logged, **losses}
        for table, (error, failures) in self._evidence.unreadable.items():
            now_sec = self._clock_sec()
            if now_sec - self._unreadable_sec.get(table, -_UNREADABLE_EVERY_SEC) >= (
                _UNREADABLE_EVERY_SEC
            ):
                self._unreadable_sec[table] = now_sec
                self._log.warning("table_unreadable", table=table, error=error, failures=failures)
        self._evidence.unreadable.clear()
