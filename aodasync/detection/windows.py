# SPDX-License-Identifier: MIT
"""Counting over tumbling windows: per anomaly and server, on the release time of requests.

A window is ``released_ns // interval_ns``, so how the stream was cut into
batches changes nothing: counts add up until a window is old enough that no row
can still belong to it. A window fires once, at the row that made it an anomaly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.config.model import ConnectionAnomaly, ErrorAnomaly, LatencyAnomaly
from aodasync.detection.by_server import by_server
from aodasync.detection.detector import Context, Firing
from aodasync.events import EVENT, NS_PER_MS, REQUEST, EventArray, pick
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import command_name

__all__ = ["NO_HITS", "Hits", "WindowCounter"]

_OPEN_WINDOWS = 3
_MOST_WINDOWS = 4096
_MOST_DIFFERENT = 1024  # codes, or connections, that one window distinguishes
_NAMED = 16  # codes that a finding names


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows that count towards an anomaly, all arrays of shape (N,).

    ``threshold_ns`` u8 is the limit each row met (0: none), ``emergency`` bool
    marks rows that fire alone, ``codes`` is empty or one name a row.
    """

    rows: EventArray
    latency_ns: npt.NDArray[np.uint64]
    threshold_ns: npt.NDArray[np.uint64]
    emergency: npt.NDArray[np.bool_]
    codes: tuple[str, ...]

    def at(self, index: npt.NDArray[np.intp]) -> Hits:
        """Those at the indices, shape (M,)."""
        return Hits(
            rows=pick(self.rows, index),
            latency_ns=self.latency_ns[index],
            threshold_ns=self.threshold_ns[index],
            emergency=self.emergency[index],
            codes=tuple(self.codes[i] for i in index.tolist()) if self.codes else (),
        )


NO_HITS: Final = Hits(
    rows=np.zeros(0, EVENT),
    latency_ns=np.zeros(0, np.uint64),
    threshold_ns=np.zeros(0, np.uint64),
    emergency=np.zeros(0, np.bool_),
    codes=(),
)
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
    commands: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


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
        if len(hits.rows) == 0:
            return []
        parts = [*self._parts(hits)]
        counted = (self._count(server, number, part) for server, number, part in parts)
        firings = [firing for firing in counted if firing is not None]
        self._retire(max(number for _, number, _ in parts))
        return firings

    def _parts(self, hits: Hits) -> Iterator[tuple[str, int, Hits]]:
        """The hits of each server and window, with its name and number."""
        if len(hits.rows) == 1:  # as an urgent one is, whose decision waits
            (connection,), (at_ns,) = hits.rows["connection_id"], hits.rows["released_ns"]
            yield self._server_of(int(connection)), int(at_ns) // self._interval_ns, hits
            return
        windows = hits.rows["released_ns"] // np.uint64(self._interval_ns)
        grouped = by_server(hits.rows["connection_id"], self._server_of)
        for index in _groups(grouped.place, windows):
            server, number = grouped.servers[grouped.place[index[0]]], int(windows[index[0]])
            yield server, number, hits.at(index)

    def _count(self, server: str, number: int, hits: Hits) -> Firing | None:
        # Lists: there are few hits as a rule, and numpy takes microseconds a call.
        rows = hits.rows
        released: list[int] = rows["released_ns"].tolist()
        emergency: list[bool] = hits.emergency.tolist()
        kinds = zip(rows["command"].tolist(), rows["kind"].tolist(), strict=True)
        window = self._windows.setdefault((server, number), _Window())
        missing = self._acceptable_count - window.count
        window.count += len(released)
        window.emergency |= any(emergency)
        window.first_ns = min(window.first_ns or released[0], *released)
        window.last_ns = max(window.last_ns, *released)
        window.max_latency_ns = max(window.max_latency_ns, *hits.latency_ns.tolist())
        window.min_threshold_ns = min(window.min_threshold_ns, *hits.threshold_ns.tolist())
        if len(window.connections) < _MOST_DIFFERENT:
            window.connections.update(rows["connection_id"].tolist()[:_MOST_DIFFERENT])
        _count_up(window.commands, [command for command, kind in kinds if kind == REQUEST])
        if hits.codes:
            _count_up(window.codes, list(hits.codes))
        crossings = [at_ns for at_ns, alone in zip(released, emergency, strict=True) if alone][:1]
        if 0 < missing <= len(released):
            crossings.append(sorted(released)[missing - 1])
        first = not window.fired and bool(crossings)
        if first:
            window.fired, window.crossed_ns = True, min(crossings)
        if not window.fired:
            return None
        added = window.count if first else len(released)
        return Firing(number, first, added, self._finding(server, window))

    def _finding(self, server: str, window: _Window) -> Finding:
        threshold_ns = window.min_threshold_ns if window.min_threshold_ns < 2**63 else 0
        return Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            symptom=self._symptom,
            grave=self._grave,
            server=server,
            connections=tuple(sorted(window.connections)),
            commands=tuple(map(command_name, _most_common(window.commands))),
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


def _groups(
    server: npt.NDArray[np.int64], windows: npt.NDArray[np.uint64]
) -> list[npt.NDArray[np.intp]]:
    """The rows of each server and window, by server, then window; in their order."""
    first = windows.min()
    group = server * (int(windows.max() - first) + 1) + (windows - first).astype(np.int64)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _most_common(counter: Counter[Any]) -> Iterable[Any]:
    """What was counted most; of one there is nothing to sort."""
    return counter if len(counter) <= 1 else [key for key, _ in counter.most_common(_NAMED)]


def _count_up(counter: Counter[Any], values: list[Any]) -> None:
    """Count values, as many different ones as a server may fill the table with."""
    if len(counter) < _MOST_DIFFERENT:
        counter.update(values)
    else:
        counter.update(value for value in values if value in counter)
