# SPDX-License-Identifier: MIT
"""Counting over tumbling windows: per anomaly and server, on the release time of requests.

A window is ``released_ns // interval_ns``, so how the stream was cut into
batches changes nothing: counts add up until a window is old enough that no row
can still belong to it. A window fires once, at the row that made it an anomaly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, EventArray, Kind
from aodasync.evidence import Finding
from aodasync.ranks import distinct
from aodasync.smb.commands import command_name

__all__ = ["NO_HITS", "Firing", "Hits", "WindowCounter"]

_REQUEST = int(Kind.REQUEST)  # looking an enum's member up takes a microsecond
_OPEN_WINDOWS = 3
_MS = 1e6


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


NO_HITS: Final = Hits(
    rows=np.zeros(0, EVENT),
    latency_ns=np.zeros(0, np.uint64),
    threshold_ns=np.zeros(0, np.uint64),
    emergency=np.zeros(0, np.bool_),
    codes=(),
)
"""What most batches give."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A window at or over its limit, with its figures so far.

    ``window`` is its number, ``first`` whether it has just become so, ``added``
    how many events are new since it last fired (all of them at first).
    """

    window: int
    first: bool
    added: int
    finding: Finding


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
    commands: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)


class WindowCounter:
    """Adds hits up and says which windows fire."""

    def __init__(
        self,
        *,
        anomaly: str,
        type_: str,
        acceptable_count: int,
        interval_ns: int,
        server_of: Callable[[int], str],
    ) -> None:
        self._anomaly = anomaly
        self._type = type_
        self._acceptable_count = max(1, acceptable_count)
        self._interval_ns = interval_ns
        self._server_of = server_of
        self._windows: dict[tuple[str, int], _Window] = {}
        self._newest = 0

    def add(self, hits: Hits) -> list[Firing]:
        """Count the hits; one :class:`Firing` for each window that fires or grew after it had."""
        if len(hits.rows) == 0:
            return []
        windows = hits.rows["released_ns"] // np.uint64(self._interval_ns)
        connections = hits.rows["connection_id"]
        numbers, ids = distinct(windows), distinct(connections)
        servers: dict[str, list[int]] = {}
        for connection in ids:
            servers.setdefault(self._server_of(connection), []).append(connection)
        firings = []
        for server in sorted(servers):
            for number in numbers:
                if len(ids) == len(numbers) == 1:
                    mine = np.arange(len(windows))
                else:
                    mine = np.flatnonzero(
                        np.isin(connections, servers[server]) & (windows == number)
                    )
                firing = self._count(server, number, hits, mine) if len(mine) else None
                if firing is not None:
                    firings.append(firing)
        self._retire(numbers[-1])
        return firings

    def _count(
        self, server: str, number: int, hits: Hits, index: npt.NDArray[np.intp]
    ) -> Firing | None:
        # Lists: there are few hits as a rule, and numpy takes microseconds a call.
        released: list[int] = hits.rows["released_ns"][index].tolist()
        emergency: list[bool] = hits.emergency[index].tolist()
        commands = hits.rows["command"][index[hits.rows["kind"][index] == _REQUEST]]
        window = self._windows.setdefault((server, number), _Window())
        missing = self._acceptable_count - window.count
        window.count += len(released)
        window.emergency |= any(emergency)
        window.first_ns = min(window.first_ns or released[0], *released)
        window.last_ns = max(window.last_ns, *released)
        window.max_latency_ns = max(window.max_latency_ns, *hits.latency_ns[index].tolist())
        window.min_threshold_ns = min(window.min_threshold_ns, *hits.threshold_ns[index].tolist())
        window.commands.update(commands.tolist())
        window.codes.update(hits.codes[i] for i in index.tolist() if hits.codes)
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
        return Finding(
            anomaly=self._anomaly,
            type=self._type,
            server=server,
            commands=tuple(command_name(code) for code, _ in window.commands.most_common()),
            codes=tuple(code for code, _ in window.codes.most_common()),
            count=window.count,
            acceptable_count=self._acceptable_count,
            threshold_ms=window.min_threshold_ns / _MS if window.min_threshold_ns < 2**63 else 0.0,
            max_latency_ms=window.max_latency_ns / _MS,
            first_ns=window.first_ns,
            last_ns=window.last_ns,
            emergency=window.emergency,
            crossed_ns=window.crossed_ns,
        )

    def _retire(self, newest: int) -> None:
        self._newest = max(self._newest, newest)
        for key in [k for k in self._windows if k[1] <= self._newest - _OPEN_WINDOWS]:
            del self._windows[key]
