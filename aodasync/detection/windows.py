# SPDX-License-Identifier: MIT
"""Counting over tumbling windows: per anomaly and server, on the release time of requests.

A window is ``released_ns // interval_ns``, so how the stream was cut into
batches changes nothing: counts add up until a window is old enough that no row
can still belong to it. A window fires once, at the row that made it an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar

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


class Hit(NamedTuple):
    """A row that counts towards an anomaly.

    ``command`` is a code, -1 for a trouble event; ``threshold_ns`` the limit that the row met
    (0: none); an ``emergency`` fires alone; ``code`` is the name under which it counts, if any.
    """

    connection: int
    released_ns: int
    command: int
    took_ns: int
    threshold_ns: int
    emergency: bool
    code: str


def hits_of(rows: EventArray, codes: Iterable[str], took_ns: Iterable[int]) -> list[Hit]:
    """Rows of shape (N,) that count under these names, whatever they took."""
    columns = (rows[name].tolist() for name in ("connection_id", "released_ns", "command", "kind"))
    return [
        Hit(
            connection=connection,
            released_ns=at_ns,
            command=command if kind == REQUEST else _NO_COMMAND,
            took_ns=took,
            threshold_ns=0,
            emergency=False,
            code=code,
        )
        for connection, at_ns, command, kind, took, code in zip(
            *columns, took_ns, codes, strict=True
        )
    ]


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

    def _parts(self, hits: Iterable[Hit]) -> dict[_Place, list[Hit]]:
        """The hits of each window."""
        servers: dict[int, str] = {}
        parts: dict[_Place, list[Hit]] = {}
        for hit in hits:
            server = servers.get(hit.connection)
            if server is None:
                server = servers[hit.connection] = self._server_of(hit.connection)
            parts.setdefault((server, hit.released_ns // self._interval_ns), []).append(hit)
        return parts

    def _count(self, place: _Place, hits: list[Hit]) -> Firing | None:
        window = self._windows.get(place)
        if window is None:
            window = self._windows[place] = _Window()
        missing = self._acceptable_count - window.count
        crossings: list[int] = []
        for connection, at_ns, command, took_ns, threshold_ns, emergency, code in hits:
            if emergency and not crossings:
                crossings.append(at_ns)
            window.first_ns = min(window.first_ns, at_ns) if window.first_ns else at_ns
            window.last_ns = max(window.last_ns, at_ns)
            window.max_latency_ns = max(window.max_latency_ns, took_ns)
            window.min_threshold_ns = min(window.min_threshold_ns, threshold_ns)
            if len(window.connections) < _MOST_DIFFERENT:
                window.connections.add(connection)
            _count_up(window.commands, command)
            if code:
                _count_up(window.codes, code)
        window.count += len(hits)
        window.emergency |= bool(crossings)
        if 0 < missing <= len(hits):
            crossings.append(sorted(hit.released_ns for hit in hits)[missing - 1])
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
        while len(self._windows) > _MOST_WINDOWS:
            del self._windows[next(iter(self._windows))]
            self.forgotten += 1


def _most_common(counted: dict[_T, int]) -> list[_T]:
    """What was counted most, and first of what was counted as often."""
    if len(counted) <= 1:  # as of an urgent one, for which a sort would be fetched from memory
        return [*counted]
    return sorted(counted, key=counted.__getitem__, reverse=True)[:_NAMED]


def _count_up(counted: dict[_T, int], value: _T) -> None:
    """Count a value, of as many different ones as a server may fill the table with."""
    if value in counted or len(counted) < _MOST_DIFFERENT:
        counted[value] = counted.get(value, 0) + 1
