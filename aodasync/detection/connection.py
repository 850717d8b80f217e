# SPDX-License-Identifier: MIT
"""Trouble of a connection: reconnects, credits, sessions, shares, lost writeback.

While the client reconnects, or its logins are refused, the episode goes on:
the kernel tries again 3 s after an attempt that failed, which may itself take over 10 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from aodasync.config.model import ConnectionAnomaly
from aodasync.detection.detector import Context, CutOff, Detector, Firing, Held, Signal, View
from aodasync.detection.logins import NO_LOGIN, LoginWatch
from aodasync.detection.windows import Hit, WindowCounter, hits_of
from aodasync.events import EventArray, Kind
from aodasync.evidence.model import Symptom

__all__ = ["ConnectionDetector"]


class ConnectionDetector(Detector):
    """Counts the troubles that :class:`~aodasync.detection.connections.Connections` reports."""

    watches_in_flight = True

    def __init__(self, anomaly: ConnectionAnomaly, context: Context) -> None:
        self._counter = WindowCounter(anomaly, context, Symptom.CONNECTION, grave=True)
        self._connections = context.connections
        self._logins = LoginWatch()

    @property
    def awaits(self) -> bool:
        """A login."""
        return bool(self._logins)

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        """Count the troubles of the batch."""
        if self._connections.plain and not self._logins:
            return ()
        return self._count(rows)

    def _count(self, rows: EventArray) -> Iterator[Signal]:
        self._logins.add(rows)
        for firing in self._counter.add(self.select()):
            yield self._noting_idle(firing)
        if self._connections.cut_off:
            yield CutOff(tuple(self._connections.cut_off))

    def look(self, view: View) -> Iterable[Signal]:
        """Count logins that are overdue, and hold episodes of what does not work again yet."""
        rows, waiting = self._logins.look(view.in_flight, view.now_ns)
        if len(rows):
            yield from self._counter.add(_hits(rows, (NO_LOGIN,) * len(rows)))
        for connection in sorted({*self._connections.unusable(), *waiting}):
            yield Held((connection,))

    def forgotten(self) -> int:
        """Windows."""
        return self._counter.forgotten

    def _noting_idle(self, firing: Firing) -> Firing:
        """The same, marked as idle if there were only reconnects, and none cost a request."""
        finding = firing.finding
        reconnects = finding.codes == (Kind.RECONNECT.name,)
        if not reconnects or not all(map(self._connections.idle, finding.connections)):
            return firing
        return replace(firing, finding=replace(finding, idle=True))

    def select(self) -> list[Hit]:
        """The troubles of the batch; each one's ``code`` is its name."""
        troubles = self._connections.troubles
        return _hits(troubles.rows, troubles.codes) if troubles.codes else []


def _hits(rows: EventArray, codes: tuple[str, ...]) -> list[Hit]:
    return hits_of(rows, codes, took_ns=[0] * len(rows))
