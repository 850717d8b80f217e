# SPDX-License-Identifier: MIT
"""Connections that were negotiated, and on which this host then does not log in.

Without a Kerberos ticket or a key there is no SESSION_SETUP to be refused: the client
gives up before it sends one, at a mount as after a reconnect. So what shows is that
nothing follows the NEGOTIATE. A login that the server does not answer is in flight
meanwhile, and hangs.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from aodasync.detection.trouble_rows import ECHO, NEGOTIATE, SESSION_SETUP
from aodasync.events import ANSWERED, EVENT, REQUEST, EventArray

__all__ = ["NO_LOGIN", "LoginWatch"]

NO_LOGIN: Final = "NO_LOGIN"
_AFTER_NS: Final = 10_000_000_000  # cifs.upcall may have to find a KDC first
_GIVEN_UP_NS: Final = 60_000_000_000  # as request_key(2) gives up its upcall
_MOST: Final = 1024


class LoginWatch:
    """Since when connections wait for a login; at most 1,024."""

    def __init__(self) -> None:
        self._since_ns: dict[int, int] = {}
        self._seen_ns: dict[int, int] = {}  # the last NEGOTIATE: a client may try again and again
        self._told: set[int] = set()

    def __bool__(self) -> bool:
        """Whether any connection waits."""
        return bool(self._since_ns)

    def add(self, rows: EventArray) -> None:
        """Take a batch in, of shape (N,) and oldest first."""
        if not self._since_ns and not (rows["command"] == NEGOTIATE).any():
            return
        mine = rows[(rows["kind"] == REQUEST) & (rows["connection_id"] != 0)]
        mine = mine[mine["command"] != ECHO]  # it is answered without a session
        columns = ("connection_id", "command", "outcome", "status", "released_ns")
        for connection, command, outcome, status, at_ns in zip(
            *(mine[name].tolist() for name in columns), strict=True
        ):
            if command == NEGOTIATE and outcome == ANSWERED and status == 0:
                self._since_ns.setdefault(connection, at_ns)
                self._seen_ns[connection] = at_ns
            elif command != NEGOTIATE:
                self._since_ns.pop(connection, None)
                self._told.discard(connection)
        while len(self._since_ns) > _MOST:
            del self._since_ns[next(iter(self._since_ns))]

    def look(self, in_flight: EventArray, now_ns: int) -> tuple[EventArray, tuple[int, ...]]:
        """A row for each connection that has become overdue, and the ids of all that wait."""
        given_up_ns = now_ns - _GIVEN_UP_NS
        seen_ns = {c: self._seen_ns[c] for c in self._since_ns}
        self._seen_ns = {c: at for c, at in seen_ns.items() if at > given_up_ns}
        self._since_ns = {c: self._since_ns[c] for c in self._seen_ns}
        self._told &= self._since_ns.keys()
        logins = in_flight[in_flight["command"] == SESSION_SETUP]
        due = {c for c, at in self._since_ns.items() if now_ns - at >= _AFTER_NS}
        overdue = due.difference(logins["connection_id"].tolist())
        fresh = sorted(overdue.difference(self._told))
        self._told.update(fresh)
        rows = np.zeros(len(fresh), EVENT)
        rows["command"], rows["released_ns"] = SESSION_SETUP, now_ns
        rows["connection_id"] = fresh
        return rows, tuple(self._since_ns)
