# SPDX-License-Identifier: MIT
"""Which connections there are, what state each is in, and which are of one server. Bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aodasync.detection.channels import Channels
from aodasync.events import EventArray
from aodasync.evidence.arrays import distinct, is_in

__all__ = ["UNKNOWN_CONNECTION", "ConnectionState", "KnownConnections"]

UNKNOWN_CONNECTION: Final = 0
_REMEMBERED: Final = 4096


@dataclass(slots=True)
class ConnectionState:
    """What was seen of a connection; times are CLOCK_MONOTONIC."""

    used: bool = False  # had a request, so that a NEGOTIATE is not its first
    reconnecting: bool = False
    again: bool = False  # it has reconnected
    refused: bool = False  # its last login was refused
    timed_out: bool = False  # its server's storage did, for which the client reconnects
    asked_ns: int = 0  # since when each share that was asked for is refused, or is gone
    expired: bool = False  # its session is over, and that was reported
    busy: bool = False  # its last reconnect cut off a request, or came of such time-outs
    reconnected_ns: int = 0  # what was issued before belongs to that reconnect
    trouble_ns: int = 0  # the last sign of a trouble that is not over; 0: none


class KnownConnections:
    """At most 4,096; beyond, the one longest unused is forgotten, and counted.

    ``server_of`` names the server of a connection id, and ``forgetting`` is called with the id
    of one that is forgotten.
    """

    def __init__(self, server_of: Callable[[int], str], forgetting: Callable[[int], None]) -> None:
        self._server_of = server_of
        self._forgetting = forgetting
        self.forgotten = 0
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self._states: dict[int, ConnectionState] = {}  # in the order of their use
        self.channels = Channels(self._server_of)
        self._last = b""  # the id of the one connection of the last batches, if all of it is known
        self.regroup()

    def regroup(self) -> None:
        """Names may have changed: which are of one server is made out anew."""
        self._of_server: dict[str, list[int]] | None = None  # when asked for

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, connection: int) -> bool:
        return connection in self._states

    def __getitem__(self, connection: int) -> ConnectionState:
        return self._states[connection]

    def use(self, connection: int) -> ConnectionState:
        """The state of a connection, which may be a new one, and is the last to be forgotten."""
        if connection in self._states:
            state = self._states.pop(connection)
        else:
            state = ConnectionState()
            self._of_server = None
        self._states[connection] = state
        if len(self._states) > _REMEMBERED:
            oldest = next(iter(self._states))
            del self._states[oldest]
            self.channels.forget(oldest)
            self._last = b""
            self._forgetting(oldest)
            self.forgotten += 1
        return state

    def end_session(self, connection: int) -> None:
        """It negotiates again, and will have another session."""
        self.channels.end_session(connection)
        self._last = b""

    def only(self) -> int | None:
        """The one connection, if there is one."""
        return next(iter(self._states)) if len(self._states) == 1 else None

    def learn(self, rows: EventArray) -> None:
        """Note the connections of requests, and their sessions. Rows of shape (N,)."""
        ids = rows["connection_id"]
        # As bytes: quicker than any function of numpy.
        if ids.tobytes() == self._last * len(rows):
            return
        found = distinct(ids)
        fresh = []
        for connection in found:
            if connection != UNKNOWN_CONNECTION:
                self.use(connection).used = True
                if connection not in self.channels:
                    fresh.append(connection)
        if fresh and len(found) > _REMEMBERED:
            fresh = [connection for connection in fresh if connection in self._states]
        if fresh:
            learnt = len(self.channels)
            self.channels.learn(rows if found == fresh else rows[is_in(ids, fresh)])
            if len(self.channels) != learnt:
                self._of_server = None
        alone = len(found) == 1 and found[0] in self.channels
        self._last = ids[:1].tobytes() if alone else b""

    def server(self, connection: int) -> str:
        """The name of a connection's server: for people, and it may change."""
        return self.channels.server(connection)

    def of_same_server(self, connections: Iterable[int]) -> tuple[int, ...]:
        """These, and all known connections to the same servers, in rising order."""
        given = set(connections) - {UNKNOWN_CONNECTION}
        if given and self._of_server is None:
            self._of_server = self.channels.by_server(self._states)
        names = {self.server(connection) for connection in given}
        same = (self._of_server or {}).get
        return tuple(sorted(given.union(*(same(name, ()) for name in names))))
