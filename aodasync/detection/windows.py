# SPDX-License-Identifier: MIT
"""Counting over tumbling windows: per anomaly and server, on the release time of requests.

A window is ``released_ns // interval_ns``, so how the stream was cut into
batches changes nothing: counts add up until a window is old enough that no row
can still belong to it. A window fires once, at the row that made it an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias, TypeVar

import numpy as np

from aodasync.config.model import ConnectionAnomaly, ErrorAnomaly, LatencyAnomaly
from aodasync.detection.detector import Context, Firing
from aodasync.events import NS_PER_MS, REQUEST, EventArray
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import command_name

__all__ = ["Hit", "WindowCounter", "hits_of"]

_T = TypeVar("_T")
_Place: TypeAlias = tuple[str, int]  # server, number of the window

_OPEN_WINDOWS = 3
_MOST_WINDOWS = 4096
_MOST_DIFFERENT = 1024  # codes, or connections, that one window distinguishes
_NAMED = 16  # codes that a finding names
_NO_COMMAND = -1


Hit: TypeAlias = tuple[int, int, int, int, int, bool, str]
"""A row that counts towards an anomaly: a mere tuple, as a flood has 16,000 of them in a batch.

Connection id, ``released_ns``, command (a code, -1 for a trouble event), ns that it took, the
limit in ns that it met (0: none), whether it fires alone, and the name under which it counts, if
any.
"""


def hits_of(rows: EventArray, codes: Iterable[str], took_ns: Iterable[int]) -> list[Hit]:
    """Rows of shape (N,) that count under these names, whatever they took."""
    connections, released_ns = rows["connection_id"].tolist(), rows["released_ns"].tolist()
    commands = np.where(rows["kind"] == REQUEST, rows["command"], np.int64(_NO_COMMAND)).tolist()
    no_limits, no_emergencies = [0] * len(rows), [False] * len(rows)
    columns = connections, released_ns, commands, took_ns, no_limits, no_emergencies, codes
    return list(zip(*columns, strict=True))


@dataclass(slots=True)
class _Window:
    count: int = 0
    fired: bool = False
    emergency: bool = False
    crossed_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    max_latency_ns: int = 0
    min_threshold_ns: int = 2**63
    connections: set[int] = field(default_factory=set)
    commands: dict[int, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)


class WindowCounter:
    """Adds hits up and says which windows fire."""

    def __init__(
        self,
        anomaly: LatencyAnomaly | ErrorAnomaly | ConnectionAnomaly,
        context: Context,
        symptom: Symptom,
        *,
        grave: bool = False,
        rule: str = "",
    ) -> None:
        self._anomaly = anomaly
        self._symptom = symptom
        self._grave = grave
        self._rule = rule
        self._acceptable_count = max(1, anomaly.acceptable_count)
        self._interval_ns = context.interval_ns
        self._server_of = context.connections.server
        self._windows: dict[_Place, _Window] = {}
        self._newest = 0
        self.forgotten = 0
        """Windows that were counted no further, as there were too many."""

    def add(self, hits: Sequence[Hit]) -> list[Firing]:
        """Count the hits; one :class:`Firing` for each window that fires or grew after it had."""
        firings = []
        newest = self._newest
        for place, part in sorted(self._parts(hits).items()):
            newest = max(newest, place[1])
            if (firing := self._count(place, part)) is not None:
                firings.append(firing)
        self._retire(newest)
        return firings

    def _parts(self, hits: Sequence[Hit]) -> Mapping[_Place, Sequence[Hit]]:
        """The hits of each window."""
        interval_ns = self._interval_ns
        if len(hits) == 1:  # an urgent one, which a decision waits for
            return {(self._server_of(hits[0][0]), hits[0][1] // interval_ns): hits}
        different = {hit[0] for hit in hits}
        servers = {connection: self._server_of(connection) for connection in different}
        numbers = [hit[1] // interval_ns for hit in hits]
        if numbers and len({*servers.values()}) == 1 and min(numbers) == max(numbers):
            return {(servers[hits[0][0]], numbers[0]): hits}
        parts: dict[_Place, list[Hit]] = {}
        for hit, number in zip(hits, numbers, strict=True):
            parts.setdefault((servers[hit[0]], number), []).append(hit)
        return parts

    def _count(self, place: _Place, hits: Sequence[Hit]) -> Firing | None:
        window = self._windows.get(place)
        if window is None:
            window = self._windows[place] = _Window()
        missing = self._acceptable_count - window.count
        connections, released_ns, commands, took_ns, thresholds_ns, emergencies, codes = zip(
            *hits, strict=True
        )
        crossings = [released_ns[emergencies.index(True)]] if True in emergencies else []
        window.count += len(hits)
        window.emergency |= bool(crossings)
        window.first_ns = min(window.first_ns or released_ns[0], *released_ns)
        window.last_ns = max(window.last_ns, *released_ns)
        window.max_latency_ns = max(window.max_latency_ns, *took_ns)
        window.min_threshold_ns = min(window.min_threshold_ns, *thresholds_ns)
        if len(window.connections) < _MOST_DIFFERENT:
            window.connections.update(connections[:_MOST_DIFFERENT])
        _count_up(window.commands, commands)
        _count_up(window.codes, filter(None, codes))
        if 0 < missing <= len(hits):
            crossings.append(sorted(released_ns)[missing - 1])
        first = not window.fired and bool(crossings)
        if first:
            window.fired, window.crossed_ns = True, min(crossings)
        if not window.fired:
            return None
        server, number = place
        added = window.count if first else len(hits)
        return Firing(number, first, added, self._finding(server, window))

    def _finding(self, server: str, window: _Window) -> Finding:
        threshold_ns = window.min_threshold_ns if window.min_threshold_ns < 2**63 else 0
        commands = _most_common(window.commands)
        return Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            symptom=self._symptom,
            grave=self._grave,
            server=server,
            connections=tuple(sorted(window.connections)),
            commands=tuple([command_name(code) for code in commands if code != _NO_COMMAND]),
            codes=tuple(_most_common(window.codes)),
            count=window.count,
            acceptable_count=self._acceptable_count,
            threshold_ms=threshold_ns / NS_PER_MS,
            max_latency_ms=window.max_latency_ns / NS_PER_MS,
            first_ns=window.first_ns,
            last_ns=window.last_ns,
            emergency=window.emergency,
            crossed_ns=window.crossed_ns,
            rule=self._rule,
        )

    def _retire(self, newest: int) -> None:
        if newest > self._newest:
            self._newest = newest
            for place in [p for p in self._windows if p[1] <= newest - _OPEN_WINDOWS]:
                del self._windows[place]
        excess = len(self._windows) - _MOST_WINDOWS
        if excess > 0:
            self.forgotten += excess
            for place in list(islice(self._windows, excess)):
                del self._windows[place]


def _most_common(counted: dict[_T, int]) -> list[_T]:
    """What was counted most, and first of what was counted as often."""
    if len(counted) <= 1:  # as of an urgent one, for which a sort would be fetched from memory
        return [*counted]
    return sorted(counted, key=counted.__getitem__, reverse=True)[:_NAMED]


def _count_up(counted: dict[_T, int], values: Iterable[_T]) -> None:
    """Count values, as many different ones as a server may fill the table with."""
    full = len(counted) >= _MOST_DIFFERENT
    for value in values:
        if value in counted or not full:
            counted[value] = counted.get(value, 0) + 1
