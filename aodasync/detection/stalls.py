# SPDX-License-Identifier: MIT
"""Operations that wait before any request of theirs: for credits, or for a reconnect.

A thread that writes a lot waits for credits all the time, for moments, with requests
of its own in between. So what counts is for how long it has had none.

An operation does not name its connection. It is that of a request which its thread
had in flight meanwhile; else that of the only server in trouble (a reconnect that is
not over, missing credits, requests that wait for a second); else, of a wait for credits,
that of the only one with requests in flight, which hold them; else it is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from aodasync.events import EventArray, Kind, Outcome
from aodasync.evidence import Stall
from aodasync.operations import OperationArray, WaitsFor
from aodasync.smb.commands import COMMAND_CODES

__all__ = ["StallWatch", "Stalled"]

_MS = 1e6
_UNKNOWN_CONNECTION: Final = 0
_WAITS: Final = [WaitsFor.CREDITS, WaitsFor.RECONNECT]
_TROUBLES: Final = [
    Kind.RECONNECT,
    Kind.PARTIAL_SEND_RECONNECT,
    Kind.RECONNECT_WITH_INVALID_CREDITS,
    Kind.CREDIT_TIMEOUT,
    Kind.INSUFFICIENT_CREDITS,
    Kind.CONNECT_ERROR,
]
_REQUEST: Final = int(Kind.REQUEST)
_ANSWERED: Final = int(Outcome.ANSWERED)
_RETRY: Final = int(Outcome.RETRY)
_SESSION_SETUP: Final = COMMAND_CODES["SMB2_SESSION_SETUP"]


@dataclass(frozen=True, slots=True)
class Stalled:
    """A thread inside the client without a request since ``since_ns``, in operation ``xid``."""

    server: str
    xid: int
    since_ns: int
    stall: Stall


class StallWatch:
    """Remembers which threads are quiet, and which connections are in trouble."""

    def __init__(self, age_ns: int, server_of: Callable[[int], str]) -> None:
        self._age_ns = age_ns
        self._server_of = server_of
        self._quiet_ns: dict[int, int] = {}  # by thread: since when it has no request
        self._connection: dict[int, tuple[int, int]] = {}  # by thread: its last, and when
        self._trouble_ns: dict[int, int] = {}  # by connection: the last sign of trouble

    def add(self, rows: EventArray) -> None:
        """Take requests and troubles in, of shape (N,) and oldest first."""
        if self._quiet_ns:
            of_quiet = np.isin(rows["pid"], list(self._quiet_ns)) & (rows["kind"] == _REQUEST)
            for row in rows[of_quiet]:
                thread, ended_ns = int(row["pid"]), int(row["released_ns"])
                self._quiet_ns[thread] = max(self._quiet_ns[thread], ended_ns)
                self._connection[thread] = (int(row["connection_id"]), ended_ns)
        if self._trouble_ns:
            self._settle(rows)
        if np.count_nonzero(rows["kind"]) or np.count_nonzero(rows["outcome"]):
            told = np.isin(rows["kind"], _TROUBLES) | (rows["outcome"] == _RETRY)
            for row in rows[told & (rows["connection_id"] != _UNKNOWN_CONNECTION)]:
                self._trouble_ns[int(row["connection_id"])] = int(row["released_ns"])
            self._settle(rows)

    def look(
        self, operations: OperationArray, in_flight: EventArray, late: EventArray, now_ns: int
    ) -> list[Stalled]:
        """The threads that are stalled now, one operation each, the oldest.

        ``operations`` are all inside the client, oldest first, ``in_flight`` all
        requests, ``late`` those of them that wait for a second; shape (N,) each.
        """
        waits = operations[np.isin(operations["waits_for"], _WAITS)]
        busy = self._note_connections(operations, in_flight, now_ns)
        quiet = set(waits["pid"].tolist()) - busy
        self._quiet_ns = {thread: self._quiet_ns.get(thread, now_ns) for thread in quiet}
        suspects = {*self._trouble_ns, *late["connection_id"].tolist()}
        holders = set(in_flight["connection_id"].tolist())
        found: dict[int, Stalled] = {}
        for row in waits[np.isin(waits["pid"], list(quiet))]:
            thread = int(row["pid"])
            since_ns = max(int(row["started_ns"]), self._quiet_ns[thread])
            if thread not in found and now_ns - since_ns >= self._age_ns:
                for_credits = row["waits_for"] == WaitsFor.CREDITS
                server = self._server(row, suspects or (holders if for_credits else ()))
                stall = _described(row, since_ns, now_ns)
                found[thread] = Stalled(server, int(row["xid"]), since_ns, stall)
        return list(found.values())

    def _note_connections(
        self, operations: OperationArray, in_flight: EventArray, now_ns: int
    ) -> set[int]:
        """Note on which connection each thread has a request in flight; returns these threads."""
        inside = set(operations["pid"].tolist())
        mine = in_flight[np.isin(in_flight["pid"], list(inside))]
        busy = dict(zip(mine["pid"].tolist(), mine["connection_id"].tolist(), strict=True))
        kept = {t: last for t, last in self._connection.items() if t in inside}
        self._connection = kept | {thread: (known, now_ns) for thread, known in busy.items()}
        return set(busy)

    def _settle(self, rows: EventArray) -> None:
        """End the trouble of connections that answer again."""
        answered = (rows["kind"] == _REQUEST) & (rows["outcome"] == _ANSWERED)
        answered &= rows["command"] > _SESSION_SETUP
        for connection, told_ns in tuple(self._trouble_ns.items()):
            ours = answered & (rows["connection_id"] == connection)
            if (ours & (rows["issued_ns"] > told_ns)).any():
                del self._trouble_ns[connection]

    def _server(self, row: np.void, suspects: Iterable[int]) -> str:
        connection, known_ns = self._connection.get(int(row["pid"]), (_UNKNOWN_CONNECTION, 0))
        if connection and known_ns >= int(row["started_ns"]):
            return self._server_of(connection)
        servers = {self._server_of(suspect) for suspect in suspects}
        return servers.pop() if len(servers) == 1 else self._server_of(_UNKNOWN_CONNECTION)


def _described(row: np.void, since_ns: int, now_ns: int) -> Stall:
    return Stall(
        pid=int(row["pid"]),
        tgid=int(row["tgid"]),
        comm=bytes(row["comm"]).decode("utf-8", "replace"),
        function=bytes(row["function"]).decode("ascii", "replace"),
        waits_for=WaitsFor(row["waits_for"]).name.lower(),
        age_ms=round((now_ns - int(row["started_ns"])) / _MS, 3),
        quiet_ms=round((now_ns - since_ns) / _MS, 3),
    )
