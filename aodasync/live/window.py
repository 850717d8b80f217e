# SPDX-License-Identifier: MIT
"""The last seconds of a stream, and tables of it: who does how much, and how fast. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, OPAQUE, EventArray, Kind, latency_ns, pick
from aodasync.evidence.failures import failed, silent
from aodasync.live.frames import State
from aodasync.live.groups import Figures, codes, figures_of, named, rising
from aodasync.live.views import VIEWS, Columns, Key, Names, name_of

__all__ = ["VIEWS", "Line", "Window"]

_MS: Final = 1e6
_KEPT_ROWS: Final = 500_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table, over the window. Times in ms; None where there is nothing to say.

    ``usual_ms`` is the learnt median, ``waiting`` counts requests in flight, ``oldest_ms`` is
    the age of the oldest of them, ``retransmits`` are those of the window, ``credits`` are
    those of the server's connection that has the fewest.
    """

    key: Key
    requests: int
    per_sec: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    sum_ms: float
    errors: int
    errors_per_sec: float
    waiting: int
    oldest_ms: float
    usual_ms: float | None = None
    rtt_ms: float | None = None
    retransmits: int | None = None
    credits: int | None = None


@dataclass(slots=True)
class _Servers:
    """What a state says of servers, by name: sockets, the fewest credits, what is usual in ms."""

    sockets: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)
    usual: dict[str, float] = field(default_factory=dict)
    usual_of: dict[Key, float] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State) -> _Servers:
        known = cls()
        addresses: dict[tuple[str, int], str] = {}
        for connection in state.get("connections", []):
            server = name_of(connection)
            addresses[connection["address"], connection["port"]] = server
            granted = connection.get("credits")
            if granted is not None:
                known.credits[server] = min(granted, known.credits.get(server, granted))
        for socket in state.get("sockets", []):
            named_ = addresses.get((socket["address"], socket["port"]))
            if named_ is not None:
                known.sockets.setdefault(named_, []).append(socket)
        for usual in state.get("usual", []):
            server, ms = usual["server"], usual["ms"]
            known.usual[server] = max(ms, known.usual.get(server, ms))
            known.usual_of.setdefault((server, usual["command"].removeprefix("SMB2_")), ms)
        return known

    def retransmits(self) -> dict[str, int]:
        return {name: sum(s["retransmits"] for s in of) for name, of in self.sockets.items()}


_ORDERS: Final[Mapping[str, Callable[[Figures], npt.NDArray[Any]]]] = {
    "oldest_ms": lambda figures: figures.oldest_ns,
    "sum_ms": lambda figures: figures.sum_ns,
    "p99_ms": lambda figures: np.nan_to_num(figures.p99_ns),
    "per_sec": lambda figures: figures.requests,
    "errors": lambda figures: figures.errors,
}


class Window:
    """Rows of the last ``seconds``, and the newest state. Memory is bounded."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.state: State = {}
        self.in_flight: EventArray = np.zeros(0, EVENT)
        self._batches: deque[EventArray] = deque()
        self._held = 0
        self._names = Names()
        self._servers = _Servers()
        self._columns: Columns | None = None  # made when asked for
        self._retransmits: deque[tuple[int, dict[str, int]]] = deque()

    @property
    def now_ns(self) -> int:
        """The agent's CLOCK_MONOTONIC at the newest state."""
        return int(self.state.get("now_ns", 0))

    def add(self, rows: EventArray) -> None:
        """Take rows in, shape (N,)."""
        if len(rows):
            self._columns = None
            self._batches.append(rows)
            self._held += len(rows)
        while self._held > _KEPT_ROWS:
            self._held -= len(self._batches.popleft())

    def update(self, state: State, in_flight: EventArray) -> None:
        """Take a state in, and forget rows that are older than the window."""
        self.state, self.in_flight = state, in_flight
        since_ns = self.now_ns - round(self.seconds * 1e9)
        while self._batches and int(self._batches[0]["released_ns"].max()) < since_ns:
            self._held -= len(self._batches.popleft())
        self._columns = None
        self._servers = _Servers.of(state)
        self._names = self._names.after(state)
        self._retransmits.append((self.now_ns, self._servers.retransmits()))
        while len(self._retransmits) > 1 and self._retransmits[1][0] < since_ns:
            self._retransmits.popleft()

    def rows(self) -> EventArray:
        """The requests that ended within the window, oldest batch first."""
        return self._all().rows

    def names(self, rows: EventArray) -> list[tuple[str, str]]:
        """Server and share of each row."""
        ids = (rows[n].tolist() for n in ("connection_id", "session_id", "tree_id"))
        return [
            (self._names.server(c), self._names.shares.get((s, t), "-"))
            for c, s, t in zip(*ids, strict=True)
        ]

    def table(
        self,
        view: str,
        *,
        by: str = "sum_ms",
        most: int | None = None,
        wanted: Callable[[Key], bool] | None = None,
    ) -> list[Line]:
        """A line for each group of a view (a key of :data:`VIEWS`), the largest ``by`` first.

        No more than ``most``, of those whose keys are ``wanted``. ``by`` is a field of a line:
        oldest_ms, sum_ms, p99_ms, per_sec or errors.
        """
        columns = self._all()
        keys, place = VIEWS[view](columns, self._names).groups()
        ended, waiting = np.split(place, [len(columns.rows)])
        age_ns = self.now_ns - columns.in_flight["issued_ns"].astype(np.int64)
        figures = figures_of(
            len(keys),
            ended=ended,
            latency_ns=columns.latency_ns,
            by_latency=columns.by_latency,
            bad=columns.bad,
            waiting=waiting,
            age_ns=age_ns,
        )
        chosen = np.arange(len(keys))
        if wanted is not None:
            chosen = np.array([n for n in range(len(keys)) if wanted(keys[n])], np.int64)
        value, total = _ORDERS[by](figures)[chosen], figures.sum_ns[chosen]
        chosen = chosen[_first(value, total, most)]
        lines = [self._line(view, keys[n], figures, n) for n in chosen.tolist()]
        lines.sort(key=lambda line: (-(getattr(line, by) or 0), -line.sum_ms, str(line.key)))
        return lines[:most]

    def _all(self) -> Columns:
        if self._columns is None:
            rows = self._recent()
            both = [rows["connection_id"], self.in_flight["connection_id"]]
            different, place = codes(np.concatenate(both))
            servers, server = named(place, map(self._names.server, different.tolist()))
            took_ns = latency_ns(rows)
            self._columns = Columns(
                rows=rows,
                in_flight=self.in_flight,
                latency_ns=took_ns,
                by_latency=rising(took_ns),
                bad=failed(rows) | silent(rows),
                servers=servers,
                server=server,
            )
        return self._columns

    def _recent(self) -> EventArray:
        if not self._batches:
            return np.zeros(0, EVENT)
        rows = np.concatenate([rows.view(OPAQUE) for rows in self._batches]).view(EVENT)
        since_ns = max(0, self.now_ns - round(self.seconds * 1e9))
        kept = (rows["kind"] == int(Kind.REQUEST)) & (rows["released_ns"] >= np.uint64(since_ns))
        return pick(rows, kept & (rows["issued_ns"] != 0))

    def _line(self, view: str, key: Key, figures: Figures, n: int) -> Line:
        requests, errors = int(figures.requests[n]), int(figures.errors[n])
        p50, p99, worst = (
            round(float(each[n]) / _MS, 3) if requests else None
            for each in (figures.p50_ns, figures.p99_ns, figures.max_ns)
        )
        known = self._servers
        sockets = known.sockets.get(key[0], []) if view == "server" else []
        usual = {"server": known.usual.get(key[0]), "command": known.usual_of.get(key)}
        return Line(
            key=key,
            requests=requests,
            per_sec=round(requests / self.seconds, 2),
            p50_ms=p50,
            p99_ms=p99,
            max_ms=worst,
            sum_ms=round(float(figures.sum_ns[n]) / _MS, 3),
            errors=errors,
            errors_per_sec=round(errors / self.seconds, 2),
            waiting=int(figures.waiting[n]),
            oldest_ms=round(int(figures.oldest_ns[n]) / _MS, 3),
            usual_ms=usual.get(view),
            rtt_ms=max((s["rtt_ms"] for s in sockets), default=None),
            retransmits=self._retransmitted(key[0]) if sockets else None,
            credits=known.credits.get(key[0]) if view == "server" else None,
        )

    def _retransmitted(self, server: str) -> int:
        first, last = self._retransmits[0][1], self._retransmits[-1][1]
        return max(0, last.get(server, 0) - first.get(server, 0))


def _first(
    value: npt.NDArray[Any], total: npt.NDArray[np.float64], most: int | None
) -> npt.NDArray[np.intp]:
    """Which have the largest values, and of equal ones the largest totals, with all ties."""
    order = np.lexsort((-total, -value))
    if most is None or len(order) <= most or most < 1:
        return order
    last = order[most - 1]
    return np.flatnonzero((value > value[last]) | ((value == value[last]) & (total >= total[last])))
