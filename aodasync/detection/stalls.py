# SPDX-License-Identifier: MIT
"""Operations that wait before any request of theirs: for credits, a reconnect, or this host.

A thread that writes a lot waits for credits all the time, for moments, with requests
of its own in between. So what counts is for how long it has had none.

An operation does not name its connection. It is that of a request which its thread
had in flight meanwhile; else that of the only server in trouble (a reconnect that is
not over, missing credits, requests that wait for a second); else, of a wait for credits,
that of the only one with requests in flight, which hold them; else it is not known.

A lock of the client is held by a thread that itself waits for the server, as a rule. It is
the client that is stuck only while no request is old and no connection in trouble.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from aodasync.detection.connections import Connections
from aodasync.detection.known_connections import UNKNOWN_CONNECTION
from aodasync.events import (
    NS_PER_MS,
    REQUEST,
    EventArray,
    OperationArray,
    WaitsFor,
)
from aodasync.evidence.arrays import is_in
from aodasync.evidence.model import Stall

__all__ = ["StallWatch", "Stalled"]

_WAITS: Final = [WaitsFor.CREDITS, WaitsFor.RECONNECT]
_OLD_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stalled:
    """A thread inside the client without a request since ``since_ns``, in operation ``xid``.

    ``connections`` are those that it may wait for, all of one server; none if not known.
    """

    connections: tuple[int, ...]
    xid: int
    since_ns: int
    stall: Stall


class StallWatch:
    """Remembers since when threads have no request, and on which connection they had one."""

    def __init__(self, age_ns: int, connections: Connections) -> None:
        self._age_ns = age_ns
        self._connections = connections
        self._quiet_ns: dict[int, int] = {}  # by thread: since when it has no request
        self._connection: dict[int, tuple[int, int]] = {}  # by thread: its last, and when

    def add(self, rows: EventArray) -> None:
        """Take requests in, of shape (N,) and oldest first."""
        if self._quiet_ns:
            of_quiet = is_in(rows["pid"], list(self._quiet_ns)) & (rows["kind"] == REQUEST)
            for row in rows[of_quiet]:
                thread, ended_ns = int(row["pid"]), int(row["released_ns"])
                self._quiet_ns[thread] = max(self._quiet_ns[thread], ended_ns)
                self._connection[thread] = (int(row["connection_id"]), ended_ns)

    def forget(self) -> None:
        """No thread is inside the client."""
        self._quiet_ns, self._connection = {}, {}

    def look(
        self, operations: OperationArray, in_flight: EventArray, late: EventArray, now_ns: int
    ) -> list[Stalled]:
        """The threads that are stalled now, one operation each, the oldest.

        ``operations`` are all inside the client, oldest first, ``in_flight`` all
        requests, ``late`` those of them that wait for a second; shape (N,) each.
        """
        waits = operations[is_in(operations["waits_for"], _WAITS)]
        if len(waits) == 0 and not self._may_be_the_servers(in_flight, now_ns):
            waits = operations[operations["waits_for"] == WaitsFor.CLIENT]
        busy = self._note_connections(operations, in_flight, now_ns)
        quiet = set(waits["pid"].tolist()) - busy
        self._quiet_ns = {thread: self._quiet_ns.get(thread, now_ns) for thread in quiet}
        suspects = self._connections.in_trouble().union(late["connection_id"].tolist())
        of_credits = suspects or set(in_flight["connection_id"].tolist())
        for_reconnect, for_credits = self._of_one_server(suspects), self._of_one_server(of_credits)
        found: dict[int, Stalled] = {}
        for row in waits[is_in(waits["pid"], list(quiet))]:
            thread = int(row["pid"])
            since_ns = max(int(row["started_ns"]), self._quiet_ns[thread])
            if thread not in found and now_ns - since_ns >= self._age_ns:
                others = for_credits if row["waits_for"] == WaitsFor.CREDITS else for_reconnect
                if row["waits_for"] == WaitsFor.CLIENT:
                    others = ()
                connections = self._own_connection(row) or others
                stall = _described(row, since_ns, now_ns)
                found[thread] = Stalled(connections, int(row["xid"]), since_ns, stall)
        return list(found.values())

    def _may_be_the_servers(self, in_flight: EventArray, now_ns: int) -> bool:
        """Whether any request, of whatever kind, waits for long, or a connection is in trouble."""
        old_ns = np.uint64(max(0, now_ns - _OLD_NS))
        old = (in_flight["issued_ns"] <= old_ns) & (in_flight["received_ns"] == 0)
        return bool(old.any()) or bool(self._connections.in_trouble())

    def _note_connections(
        self, operations: OperationArray, in_flight: EventArray, now_ns: int
    ) -> set[int]:
        """Note on which connection each thread has a request in flight; returns these threads."""
        inside = set(operations["pid"].tolist())
        mine = in_flight[is_in(in_flight["pid"], list(inside))]
        busy = dict(zip(mine["pid"].tolist(), mine["connection_id"].tolist(), strict=True))
        kept = {t: last for t, last in self._connection.items() if t in inside}
        self._connection = kept | {thread: (known, now_ns) for thread, known in busy.items()}
        return set(busy)

    def _own_connection(self, row: np.void) -> tuple[int, ...]:
        connection, known_ns = self._connection.get(int(row["pid"]), (UNKNOWN_CONNECTION, 0))
        return (connection,) if connection and known_ns >= int(row["started_ns"]) else ()

    def _of_one_server(self, connections: Collection[int]) -> tuple[int, ...]:
        """These, if they are all of one server."""
        servers = {self._connections.server(connection) for connection in connections}
        return tuple(sorted(connections)) if len(servers) == 1 else ()


def _described(row: np.void, since_ns: int, now_ns: int) -> Stall:
    return Stall(
        pid=int(row["pid"]),
        tgid=int(row["tgid"]),
        comm=bytes(row["comm"]).decode("utf-8", "replace"),
        function=bytes(row["function"]).decode("ascii", "replace"),
        waits_for=WaitsFor(row["waits_for"]).name.lower(),
        age_ms=round((now_ns - int(row["started_ns"])) / NS_PER_MS, 3),
        quiet_ms=round((now_ns - since_ns) / NS_PER_MS, 3),
    )
