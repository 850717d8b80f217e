# SPDX-License-Identifier: MIT
"""The last seconds of a stream, and tables of it: who does how much, and how fast. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.events import EVENT, EventArray, Kind
from aodasync.evidence.failures import failed, silent
from aodasync.live.frames import State
from aodasync.smb.commands import command_name

__all__ = ["VIEWS", "Line", "Window"]

_MS: Final = 1e6
_KEPT_ROWS: Final = 500_000

Key: TypeAlias = tuple[Any, ...]


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
class _Names:
    """Names of what rows hold as numbers, from the newest state."""

    servers: dict[int, str] = field(default_factory=dict)
    shares: dict[tuple[int, int], str] = field(default_factory=dict)

    def server(self, connection_id: int) -> str:
        return self.servers.get(connection_id) or f"connection {connection_id}"

    def share(self, session_id: int, tree_id: int) -> str:
        return self.shares.get((session_id, tree_id), "-")


def _by_server(rows: EventArray, names: _Names) -> list[Key]:
    return [(names.server(c),) for c in rows["connection_id"].tolist()]


def _by_share(rows: EventArray, names: _Names) -> list[Key]:
    ids = zip(*(rows[n].tolist() for n in ("connection_id", "session_id", "tree_id")), strict=True)
    return [(names.server(c), _plain_share(names.share(s, t))) for c, s, t in ids]


def _by_command(rows: EventArray, names: _Names) -> list[Key]:
    ids = zip(rows["connection_id"].tolist(), rows["command"].tolist(), strict=True)
    return [(names.server(c), command_name(k).removeprefix("SMB2_")) for c, k in ids]


def _by_process(rows: EventArray, _names: _Names) -> list[Key]:
    ids = zip(rows["comm"].tolist(), rows["tgid"].tolist(), strict=True)
    return [(comm.decode("utf-8", "replace"), tgid) for comm, tgid in ids]


VIEWS: Final[Mapping[str, Callable[[EventArray, _Names], list[Key]]]] = {
    "server": _by_server,
    "share": _by_share,
    "command": _by_command,
    "process": _by_process,
}
"""How rows are grouped, by the view's name."""

_GROUPED: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("connection_id",),
    "share": ("connection_id", "session_id", "tree_id"),
    "command": ("connection_id", "command"),
    "process": ("comm", "tgid"),
}


class Window:
    """Rows of the last ``seconds``, and the newest state. Memory is bounded."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.state: State = {}
        self.in_flight: EventArray = np.zeros(0, EVENT)
        self._batches: deque[EventArray] = deque()
        self._held = 0
        self._names = _Names()
        self._retransmits: deque[tuple[int, dict[str, int]]] = deque()

    @property
    def now_ns(self) -> int:
        """The agent's CLOCK_MONOTONIC at the newest state."""
        return int(self.state.get("now_ns", 0))

    def add(self, rows: EventArray) -> None:
        """Take rows in, shape (N,)."""
        if len(rows):
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
        connections = state.get("connections", [])
        self._names = _Names(
            {int(c["connection_id"]): str(c["server"] or c["address"]) for c in connections},
            {
                (int(s["session_id"], 16), int(s["tree_id"])): str(s["share"])
                for s in state.get("shares", [])
            },
        )
        totals = {name: sum(s["retransmits"] for s in of) for name, of in self._sockets().items()}
        self._retransmits.append((self.now_ns, totals))
        while len(self._retransmits) > 1 and self._retransmits[1][0] < since_ns:
            self._retransmits.popleft()

    def rows(self) -> EventArray:
        """The requests that ended within the window, oldest batch first."""
        if not self._batches:
            return np.zeros(0, EVENT)
        rows = np.concatenate(list(self._batches))
        since_ns = max(0, self.now_ns - round(self.seconds * 1e9))
        kept = (rows["kind"] == int(Kind.REQUEST)) & (rows["released_ns"] >= np.uint64(since_ns))
        found: EventArray = rows[kept & (rows["issued_ns"] != 0)]
        return found

    def names(self, rows: EventArray) -> list[tuple[str, str]]:
        """Server and share of each row."""
        ids = (rows[n].tolist() for n in ("connection_id", "session_id", "tree_id"))
        return [
            (self._names.server(c), _plain_share(self._names.share(s, t)))
            for c, s, t in zip(*ids, strict=True)
        ]

    def table(self, view: str) -> list[Line]:
        """A line for each group of a view (a key of :data:`VIEWS`), in no particular order."""
        rows = self.rows()
        ended, waiting = self._groups(rows, view), self._groups(self.in_flight, view)
        return [
            self._line(view, key, rows[ended.get(key, [])], self.in_flight[waiting.get(key, [])])
            for key in dict.fromkeys([*ended, *waiting])
        ]

    def _groups(self, rows: EventArray, view: str) -> dict[Key, npt.NDArray[np.intp]]:
        """Indices of rows by key: numpy finds the groups, names are looked up once a group."""
        if len(rows) == 0:
            return {}
        columns = rows[list(_GROUPED[view])]
        _, first, inverse = np.unique(columns, return_index=True, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(inverse.ravel()))[:-1])
        found: dict[Key, npt.NDArray[np.intp]] = {}
        for key, part in zip(VIEWS[view](rows[first], self._names), parts, strict=True):
            found[key] = np.concatenate([found[key], part]) if key in found else part
        return found

    def _line(self, view: str, key: Key, rows: EventArray, waiting: EventArray) -> Line:
        latency_ms = (rows["released_ns"] - rows["issued_ns"]).astype(np.float64) / _MS
        percentiles = np.percentile(latency_ms, (50, 99, 100)) if len(rows) else (None,) * 3
        p50, p99, worst = (None if p is None else round(float(p), 3) for p in percentiles)
        errors = int(np.count_nonzero(failed(rows) | silent(rows)))
        oldest_ns = self.now_ns - int(waiting["issued_ns"].min()) if len(waiting) else 0
        sockets = self._sockets().get(key[0], []) if view == "server" else []
        return Line(
            key=key,
            requests=len(rows),
            per_sec=round(len(rows) / self.seconds, 2),
            p50_ms=p50,
            p99_ms=p99,
            max_ms=worst,
            sum_ms=round(float(latency_ms.sum()), 3),
            errors=errors,
            errors_per_sec=round(errors / self.seconds, 2),
            waiting=len(waiting),
            oldest_ms=round(max(0, oldest_ns) / _MS, 3),
            usual_ms=self._usual_ms(view, key),
            rtt_ms=max((s["rtt_ms"] for s in sockets), default=None),
            retransmits=self._retransmitted(key[0]) if sockets else None,
            credits=self._credits(key[0]) if view == "server" else None,
        )

    def _credits(self, server: str) -> int | None:
        """Of its connections that are still there."""
        granted = (
            c.get("credits")
            for c in self.state.get("connections", [])
            if str(c["server"] or c["address"]) == server
        )
        return min((c for c in granted if c is not None), default=None)

    def _sockets(self) -> dict[str, list[Mapping[str, Any]]]:
        """TCP figures by server."""
        addresses = {
            (c["address"], c["port"]): str(c["server"] or c["address"])
            for c in self.state.get("connections", [])
        }
        found: dict[str, list[Mapping[str, Any]]] = {}
        for socket in self.state.get("sockets", []):
            server = addresses.get((socket["address"], socket["port"]))
            if server is not None:
                found.setdefault(server, []).append(socket)
        return found

    def _retransmitted(self, server: str) -> int:
        first, last = self._retransmits[0][1], self._retransmits[-1][1]
        return max(0, last.get(server, 0) - first.get(server, 0))

    def _usual_ms(self, view: str, key: Key) -> float | None:
        usual = self.state.get("usual", [])
        if view == "command":
            return next((u["ms"] for u in usual if (u["server"], u["command"][5:]) == key), None)
        if view == "server":
            return max((u["ms"] for u in usual if u["server"] == key[0]), default=None)
        return None


def _plain_share(share: str) -> str:
    """``//server/share`` without its server, which has a column of its own."""
    return share.rpartition("/")[2] or share
