# SPDX-License-Identifier: MIT
"""From firing windows to episodes, and from episodes to bundles.

An episode of an anomaly on a server starts with its first firing window and ends
after three quiet intervals; what goes on without firing may hold it open. It asks
for one bundle at its start, and for a second one at its end if it lasted for over
half a minute. The cool-down (per anomaly and server) and the hourly budget (of all)
hold back bundles, both kinds, never the news of an episode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aodasync.detection.windows import Firing
from aodasync.evidence import Finding

__all__ = ["Ended", "Episodes", "Started"]

_QUIET_INTERVALS = 3
_LASTED_NS = 30_000_000_000
_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Started:
    """An episode began. ``suppressed`` says why it gets no bundle; empty when it gets one."""

    episode: int
    finding: Finding
    suppressed: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An episode is over.

    ``finding`` is its last one, with the events that counted and the worst latency
    of all of it; ``windows`` is how many fired. ``suppressed`` is None where no
    second bundle is due, else as in :class:`Started`.
    """

    episode: int
    finding: Finding
    windows: int
    duration_ms: float
    suppressed: str | None

    @property
    def count(self) -> int:
        """Events that counted."""
        return self.finding.count

    @property
    def max_latency_ms(self) -> float:
        """The worst latency."""
        return self.finding.max_latency_ms


@dataclass(slots=True)
class _Open:
    number: int
    first_ns: int
    finding: Finding
    last_window: int
    count: int = 0
    windows: int = 0
    max_latency_ms: float = 0.0

    def take(self, firing: Firing) -> None:
        self.finding = firing.finding
        self.first_ns = min(self.first_ns, firing.finding.first_ns)
        self.last_window = max(self.last_window, firing.window)
        self.count += firing.added
        self.windows += firing.first
        self.max_latency_ms = max(self.max_latency_ms, firing.finding.max_latency_ms)


class Episodes:
    """The open episodes and the budget; times are CLOCK_MONOTONIC in ns."""

    def __init__(
        self, *, interval_ns: int, cooldown_ns: Mapping[str, int], max_bundles_per_hour: int
    ) -> None:
        self._interval_ns = interval_ns
        self._cooldown_ns = dict(cooldown_ns)
        self._max_bundles_per_hour = max_bundles_per_hour
        self._open: dict[tuple[str, str], _Open] = {}
        self._last_bundle_ns: dict[tuple[str, str], int] = {}
        self._bundles_ns: deque[int] = deque()
        self._number = 0
        self.suppressed = 0

    @property
    def open_count(self) -> int:
        """How many episodes are open."""
        return len(self._open)

    def observe(self, firing: Firing, now_ns: int) -> Started | None:
        """Take a firing window in; says whether an episode started with it."""
        finding = firing.finding
        key = (finding.anomaly, finding.server)
        episode = self._open.get(key)
        if episode is not None:
            episode.take(firing)
            return None
        self._number += 1
        episode = self._open[key] = _Open(self._number, finding.first_ns, finding, firing.window)
        episode.take(firing)
        return Started(self._number, finding, self._hold_back(key, now_ns))

    def hold(self, anomaly: str, server: str, now_ns: int) -> None:
        """Let this interval be no quiet one for an open episode; without one, nothing."""
        episode = self._open.get((anomaly, server))
        if episode is not None:
            episode.last_window = max(episode.last_window, now_ns // self._interval_ns)

    def tick(self, now_ns: int) -> list[Ended]:
        """Close the episodes whose last three intervals were quiet, the eldest first."""
        window = now_ns // self._interval_ns
        over = [k for k, e in self._open.items() if window > e.last_window + _QUIET_INTERVALS]
        return [self._end(key, self._open.pop(key), now_ns) for key in over]

    def _end(self, key: tuple[str, str], episode: _Open, now_ns: int) -> Ended:
        end_ns = (episode.last_window + 1) * self._interval_ns
        lasted_ns = max(0, end_ns - episode.first_ns)
        return Ended(
            episode=episode.number,
            finding=replace(
                episode.finding,
                count=episode.count,
                max_latency_ms=episode.max_latency_ms,
                first_ns=episode.first_ns,
            ),
            windows=episode.windows,
            duration_ms=lasted_ns / 1e6,
            suppressed=self._hold_back(key, now_ns) if lasted_ns > _LASTED_NS else None,
        )

    def _hold_back(self, key: tuple[str, str], now_ns: int) -> str:
        reason = self._reason(key, now_ns)
        if reason:
            self.suppressed += 1
        else:
            self._last_bundle_ns[key] = now_ns
            self._bundles_ns.append(now_ns)
        return reason

    def _reason(self, key: tuple[str, str], now_ns: int) -> str:
        last_ns = self._last_bundle_ns.get(key)
        if last_ns is not None and now_ns - last_ns < self._cooldown_ns.get(key[0], 0):
            return "cooldown"
        while self._bundles_ns and now_ns - self._bundles_ns[0] >= _HOUR_NS:
            self._bundles_ns.popleft()
        return "hourly budget" if len(self._bundles_ns) >= self._max_bundles_per_hour else ""
