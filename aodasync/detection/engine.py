# SPDX-License-Identifier: MIT
"""All configured detectors over one stream: rows in, episodes out.

Pure: the rows and the clock are arguments, so a live agent, a replay and a test
drive the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aodasync.config.model import (
    Config,
    ConnectionAnomaly,
    DriftAnomaly,
    ErrorAnomaly,
    HangAnomaly,
    LatencyAnomaly,
)
from aodasync.detection.connection import ConnectionTrouble
from aodasync.detection.drift import DriftWatch
from aodasync.detection.episodes import Ended, Episodes, Started
from aodasync.detection.errors import ErrorCodes
from aodasync.detection.hang import HangWatch, named_commands
from aodasync.detection.latency import LatencyLimits, slow_requests
from aodasync.detection.windows import Firing, Hits, WindowCounter
from aodasync.events import EventArray
from aodasync.operations import NO_OPERATIONS, OperationArray

__all__ = ["Engine"]

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Detector:
    select: Callable[[EventArray], Hits]
    counter: WindowCounter


class Engine:
    """The detectors of a configuration and their episodes.

    ``server_of`` names the server of a connection id.
    """

    def __init__(self, config: Config, server_of: Callable[[int], str]) -> None:
        interval_ns = round(config.watch_interval_sec * _SECOND_NS)
        self._detectors: list[_Detector] = []
        self._hangs: list[HangWatch] = []
        self._drifts: dict[str, DriftWatch] = {}
        self._connections: dict[str, ConnectionTrouble] = {}
        self._server_of = server_of
        named = named_commands(config.anomalies)
        for anomaly in config.anomalies:
            if isinstance(anomaly, LatencyAnomaly | ErrorAnomaly | ConnectionAnomaly):
                counter = WindowCounter(
                    anomaly=anomaly.name,
                    type_=anomaly.type,
                    acceptable_count=anomaly.acceptable_count,
                    interval_ns=interval_ns,
                    server_of=server_of,
                )
                self._detectors.append(_Detector(self._selector(anomaly), counter))
            elif isinstance(anomaly, HangAnomaly):
                watch = HangWatch(
                    anomaly, named=named, interval_ns=interval_ns, server_of=server_of
                )
                self._hangs.append(watch)
            elif isinstance(anomaly, DriftAnomaly):
                self._drifts[anomaly.name] = DriftWatch(
                    anomaly, interval_ns=interval_ns, server_of=server_of
                )
        self.episodes = Episodes(
            interval_ns=interval_ns,
            cooldown_ns={a.name: round(a.cooldown_sec * _SECOND_NS) for a in config.anomalies},
            max_bundles_per_hour=config.collector.max_bundles_per_hour,
        )

    def process(self, rows: EventArray, now_ns: int) -> list[Started]:
        """Take rows in, of shape (N,) and oldest first; returns the episodes they started."""
        for drift in self._drifts.values():
            drift.add(rows)
        for watch in self._hangs:
            watch.add(rows)
        started = []
        for detector in self._detectors:
            started += self._observe(detector.counter.add(detector.select(rows)), now_ns)
        return started

    @property
    def watches_in_flight(self) -> bool:
        """Whether :meth:`look` has any use for the requests in flight, and for operations."""
        return bool(self._hangs)

    def look(
        self, in_flight: EventArray, now_ns: int, operations: OperationArray = NO_OPERATIONS
    ) -> list[Started]:
        """Look around, once an interval; returns the episodes that started.

        ``in_flight`` and ``operations`` have shape (N,); empty where nothing is live.
        """
        started = []
        for watch in self._hangs:
            started += self._observe(watch.look(in_flight, now_ns, operations), now_ns)
        for drift in self._drifts.values():
            started += self._observe(drift.look(now_ns), now_ns)
        for name, trouble in self._connections.items():
            for connection in trouble.reconnecting(now_ns):
                self.episodes.hold(name, self._server_of(connection), now_ns)
        return started

    def export(self) -> dict[str, Any]:
        """What was learnt, by anomaly, as plain JSON values."""
        return {name: drift.export() for name, drift in self._drifts.items()}

    def restore(self, exported: Mapping[str, Any]) -> None:
        """Take up what :meth:`export` returned, for the anomalies that there still are.

        Raises:
            ValueError: it is not of that kind.
        """
        for name, drift in self._drifts.items():
            if name in exported:
                drift.restore(exported[name])

    def tick(self, now_ns: int) -> list[Ended]:
        """Let time pass; returns the episodes that ended."""
        return self.episodes.tick(now_ns)

    def _observe(self, firings: Iterable[Firing], now_ns: int) -> list[Started]:
        observed = (self.episodes.observe(firing, now_ns) for firing in firings)
        return [started for started in observed if started is not None]

    def _selector(
        self, anomaly: LatencyAnomaly | ErrorAnomaly | ConnectionAnomaly
    ) -> Callable[[EventArray], Hits]:
        if isinstance(anomaly, ConnectionAnomaly):
            trouble = self._connections[anomaly.name] = ConnectionTrouble()
            return trouble.select
        if isinstance(anomaly, ErrorAnomaly):
            return ErrorCodes(anomaly).failed_requests
        limits = LatencyLimits.of(anomaly)
        return lambda rows: slow_requests(limits, rows)
