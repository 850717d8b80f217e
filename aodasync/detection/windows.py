# SPDX-License-Identifier: MIT
"""Counting over tumbling windows: per anomaly and server, on the release time of requests.

A window is ``released_ns // interval_ns``, so how the stream was cut into
batches changes nothing: counts add up until a window is old enough that no row
can still belong to it. A window fires once, at the row that made it an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aodasync.config.model import ConnectionAnomaly, ErrorAnomaly, LatencyAnomaly
from aodasync.detection.detector import Context, Firing
from aodasync.events import NS_PER_MS, REQUEST, EventArray
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import command_name

__all__ = ["NO_HITS", "Hits", "WindowCounter"]

_T = TypeVar("_T")

_OPEN_WINDOWS = 3
_MOST_WINDOWS = 4096
_MOST_DIFFERENT = 1024  # codes, or connections, that one window distinguishes
_NAMED = 16  # codes that a finding names
_NO_COMMAND = -1


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows that count towards an anomaly: a value of each in every list.

    ``commands`` are codes, -1 for a trouble event; ``threshold_ns`` is the limit that each row
    met (0: none); ``emergency`` marks rows that fire alone; ``codes`` is empty or one name a
    row. Lists, as there are few as a rule, and numpy takes microseconds a call.
    """

    connections: list[int]
    released_ns: list[int]
    commands: list[int]
    latency_ns: list[int]
    threshold_ns: list[int]
    emergency: list[bool]
    codes: tuple[str, ...]

    @classmethod
    def of(cls, rows: EventArray, codes: Iterable[str], latency_ns: list[int]) -> Hits:
        """Rows of shape (N,) that count under these names, whatever they took."""
        kinds = zip(rows["command"].tolist(), rows["kind"].tolist(), strict=True)
        return cls(
            connections=rows["connection_id"].tolist(),
            released_ns=rows["released_ns"].tolist(),
            commands=[command if kind == REQUEST else _NO_COMMAND for command, kind in kinds],
            latency_ns=latency_ns,
            threshold_ns=[0] * len(rows),
            emergency=[False] * len(rows),
            codes=tuple(codes),
        )

    def __len__(self) -> int:
        return len(self.released_ns)

    def at(self, index: Sequence[int]) -> Hits:
        """Those at the indices."""
        return Hits(
            connections=_at(self.connections, index),
            released_ns=_at(self.released_ns, index),
            commands=_at(self.commands, index),
            latency_ns=_at(self.latency_ns, index),
            threshold_ns=_at(self.threshold_ns, index),
            emergency=_at(self.emergency, index),
            codes=tuple(_at(self.codes, index)) if self.codes else (),
        )


NO_HITS: Final = Hits([], [], [], [], [], [], ())
"""What most batches give."""


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
        self._windows: dict[tuple[str, int], _Window] = {}
        self._newest = 0
        self.forgotten = 0
        """Windows that were counted no further, as there were too many."""

    def add(self, hits: Hits) -> list[Firing]:
        """Count the hits; one :class:`Firing` for each window that fires or grew after it had."""
        if not hits:
            return []
        parts = self._parts(hits)
        counted = (self._count(server, number, part) for server, number, part in parts)
        firings = [firing for firing in counted if firing is not None]
        self._retire(max(number for _, number, _ in parts))
        return firings

    def _parts(self, hits: Hits) -> list[tuple[str, int, Hits]]:
        """The hits of each server and window, with its name and number."""
        if len(hits) == 1:  # as an urgent one is, whose decision waits
            (connection,), (at_ns,) = hits.connections, hits.released_ns
            return [(self._server_of(connection), at_ns // self._interval_ns, hits)]
        servers = {connection: self._server_of(connection) for connection in {*hits.connections}}
        numbers = [at_ns // self._interval_ns for at_ns in hits.released_ns]
        if len({*servers.values()}) == 1 and min(numbers) == max(numbers):
            return [(servers[hits.connections[0]], numbers[0], hits)]
        index: dict[tuple[str, int], list[int]] = {}
        places = zip(map(servers.__getitem__, hits.connections), numbers, strict=True)
        for i, place in enumerate(places):
            index.setdefault(place, []).append(i)
        return [(*place, hits.at(index[place])) for place in sorted(index)]

    def _count(self, server: str, number: int, hits: Hits) -> Firing | None:
        released_ns = hits.released_ns
        window = self._windows.setdefault((server, number), _Window())
        missing = self._acceptable_count - window.count
        window.count += len(hits)
        window.emergency |= any(hits.emergency)
        window.first_ns = min(window.first_ns or released_ns[0], *released_ns)
        window.last_ns = max(window.last_ns, *released_ns)
        window.max_latency_ns = max(window.max_latency_ns, *hits.latency_ns)
        window.min_threshold_ns = min(window.min_threshold_ns, *hits.threshold_ns)
        if len(window.connections) < _MOST_DIFFERENT:
            window.connections.update(hits.connections[:_MOST_DIFFERENT])
        _count_up(window.commands, hits.commands)
        _count_up(window.codes, hits.codes)
        alone = zip(released_ns, hits.emergency, strict=True)
        crossings = [at_ns for at_ns, emergency in alone if emergency][:1]
        if 0 < missing <= len(hits):
            crossings.append(sorted(released_ns)[missing - 1])
        first = not window.fired and bool(crossings)
        if first:
            window.fired, window.crossed_ns = True, min(crossings)
        if not window.fired:
            return None
        added = window.count if first else len(hits)
        return Firing(number, first, added, self._finding(server, window))

    def _finding(self, server: str, window: _Window) -> Finding:
        threshold_ns = window.min_threshold_ns if window.min_threshold_ns < 2**63 else 0
        commands = [code for code in _most_common(window.commands) if code != _NO_COMMAND]
        return Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            symptom=self._symptom,
            grave=self._grave,
            server=server,
            connections=tuple(sorted(window.connections)),
            commands=tuple(map(command_name, commands)),
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
            for key in [k for k in self._windows if k[1] <= newest - _OPEN_WINDOWS]:
                del self._windows[key]
        excess = tuple(self._windows)[: max(0, len(self._windows) - _MOST_WINDOWS)]
        self.forgotten += len(excess)
        for key in excess:
            del self._windows[key]


def _at(values: Sequence[_T], index: Sequence[int]) -> list[_T]:
    return [values[i] for i in index]


def _most_common(counted: dict[_T, int]) -> list[_T]:
    """What was counted most, and first of what was counted as often."""
    return sorted(counted, key=counted.__getitem__, reverse=True)[:_NAMED]


def _count_up(counted: dict[_T, int], values: Iterable[_T]) -> None:
    """Count values, as many different ones as a server may fill the table with."""
    full = len(counted) >= _MOST_DIFFERENT
    for value in values:
        if value in counted or not full:
            counted[value] = counted.get(value, 0) + 1
