# SPDX-License-Identifier: MIT
"""Processes all of whose requests are far too slow, though too few to be counted.

One process that waits 0.7 s for each of its requests never makes ten in a second, and none
of them is an emergency. So ten windows in a row in which every request of a process took ten
times its threshold, or half the emergency threshold, are an anomaly as well. It is judged by
server, process and command: its own CLOSE, and what others read meanwhile, may be quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from aodasync.config.model import LatencyAnomaly
from aodasync.detection.by_server import by_server
from aodasync.detection.detector import Context, Firing
from aodasync.events import NS_PER_MS, EventArray, pick
from aodasync.evidence.arrays import distinct, is_in
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import command_name

__all__ = ["SlowStreaks"]

_WINDOWS: Final = 10
_GAP: Final = 2  # windows; one without a request is none
_MOST: Final = 1024


class _Key(NamedTuple):
    server: str
    process: int
    command: int


@dataclass(slots=True)
class _Streak:
    first_ns: int
    windows: int = 0
    last_window: int = 0
    in_window: int = 0
    unreported: int = 0
    count: int = 0
    max_latency_ns: int = 0
    connections: set[int] = field(default_factory=set)


class SlowStreaks:
    """The streaks of processes, 1,024 at most."""

    def __init__(self, anomaly: LatencyAnomaly, context: Context) -> None:
        self._anomaly = anomaly
        self._interval_ns = context.interval_ns
        self._server_of = context.connections.server
        self._open: dict[_Key, _Streak] = {}
        self.forgotten = 0
        """Streaks that were given up, as there were too many."""

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(
        self,
        rows: EventArray,
        latency_ns: npt.NDArray[np.uint64],
        quick: EventArray,
        least_ns: int,
    ) -> list[Firing]:
        """Take in the requests of a batch that were far too slow, of shape (N,), oldest first.

        They took ``least_ns``, or what their command has instead. ``quick`` are tracked
        requests that took less.
        """
        processes = {key.process for key in self._open}.union(distinct(rows["tgid"]))
        quick = quick[is_in(quick["tgid"], list(processes))]
        not_all = self._keys(quick)
        for key in not_all:
            self._open.pop(key, None)
        firings = []
        for key in sorted(self._keys(rows) - not_all):
            mine = (rows["tgid"] == key.process) & (rows["command"] == key.command)
            servers = by_server(rows["connection_id"][mine], self._server_of)
            mine[mine] = servers.place == servers.servers.index(key.server)
            firings += self._extend(key, pick(rows, mine), latency_ns[mine], least_ns)
        return firings

    def _keys(self, rows: EventArray) -> set[_Key]:
        names = ("connection_id", "tgid", "command")
        found = set(zip(*(rows[name].tolist() for name in names), strict=True))
        return {_Key(self._server_of(c), process, command) for c, process, command in found}

    def end_silent(self, now_ns: int) -> None:
        """End the streaks whose servers had no request for longer than a gap.

        What was released in the window before this one may still be in the ring.
        """
        oldest = now_ns // self._interval_ns - 1 - _GAP
        self._open = {s: streak for s, streak in self._open.items() if streak.last_window >= oldest}

    def _extend(
        self, key: _Key, rows: EventArray, latency_ns: npt.NDArray[np.uint64], least_ns: int
    ) -> list[Firing]:
        firings = []
        numbers = rows["released_ns"] // np.uint64(self._interval_ns)
        for window in distinct(numbers):
            part = rows[numbers == window]
            streak = self._open.get(key)
            if streak is None or window > streak.last_window + _GAP:
                streak = self._begin(key, part)
            first = window > streak.last_window
            streak.in_window = len(part) if first else streak.in_window + len(part)
            streak.windows += first
            streak.last_window = max(window, streak.last_window)
            streak.count += len(part)
            streak.unreported += len(part)
            slowest_ns = int(latency_ns[numbers == window].max())
            streak.max_latency_ns = max(streak.max_latency_ns, slowest_ns)
            if len(streak.connections) < _MOST:
                streak.connections.update(part["connection_id"].tolist())
            if streak.in_window >= self._anomaly.acceptable_count:
                streak.windows = streak.unreported = 0  # the windows count these
            if streak.windows >= _WINDOWS:
                finding = self._finding(key, streak, part, least_ns)
                firings.append(Firing(window, first, streak.unreported, finding))
                streak.unreported = 0
        return firings

    def _begin(self, key: _Key, rows: EventArray) -> _Streak:
        while len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
            self.forgotten += 1
        first_ns = int(rows["released_ns"][0])
        streak = self._open[key] = _Streak(first_ns)
        return streak

    def _finding(self, key: _Key, streak: _Streak, rows: EventArray, least_ns: int) -> Finding:
        last_ns = int(rows["released_ns"][-1])
        return Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            symptom=Symptom.SLOW,
            server=key.server,
            connections=tuple(sorted(streak.connections)),
            commands=(command_name(key.command),),
            codes=(),
            count=streak.count,
            acceptable_count=self._anomaly.acceptable_count,
            threshold_ms=least_ns / NS_PER_MS,
            max_latency_ms=streak.max_latency_ns / NS_PER_MS,
            first_ns=streak.first_ns,
            last_ns=last_ns,
            emergency=False,
            crossed_ns=last_ns,
            figures={"windows_in_a_row": streak.windows},
        )
