# SPDX-License-Identifier: MIT
"""All configured detectors over one stream: rows in, episodes out.

Pure: the rows and the clock are arguments, so a live agent, a replay and a test
drive the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aodasync.config.model import Config, ErrorAnomaly, LatencyAnomaly
from aodasync.detection.episodes import Ended, Episodes, Started
from aodasync.detection.errors import ErrorCodes
from aodasync.detection.latency import LatencyLimits, slow_requests
from aodasync.detection.windows import Hits, WindowCounter
from aodasync.events import EventArray

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
        for anomaly in config.anomalies:
            if isinstance(anomaly, LatencyAnomaly | ErrorAnomaly):
                counter = WindowCounter(
                    anomaly=anomaly.name,
                    type_=anomaly.type,
                    acceptable_count=anomaly.acceptable_count,
                    interval_ns=interval_ns,
                    server_of=server_of,
                )
                self._detectors.append(_Detector(_selector(anomaly), counter))
        self.episodes = Episodes(
            interval_ns=interval_ns,
            cooldown_ns={a.name: round(a.cooldown_sec * _SECOND_NS) for a in config.anomalies},
            max_bundles_per_hour=config.collector.max_bundles_per_hour,
        )

    def process(self, rows: EventArray, now_ns: int) -> list[Started]:
        """Take rows in, of shape (N,) and oldest first; returns the episodes they started."""
        started = []
        for detector in self._detectors:
            for firing in detector.counter.add(detector.select(rows)):
                episode = self.episodes.observe(firing, now_ns)
                if episode is not None:
                    started.append(episode)
        return started

    def tick(self, now_ns: int) -> list[Ended]:
        """Let time pass; returns the episodes that ended."""
        return self.episodes.tick(now_ns)


def _selector(anomaly: LatencyAnomaly | ErrorAnomaly) -> Callable[[EventArray], Hits]:
    if isinstance(anomaly, ErrorAnomaly):
        return ErrorCodes(anomaly).failed_requests
    limits = LatencyLimits.of(anomaly)
    return lambda rows: slow_requests(limits, rows)
