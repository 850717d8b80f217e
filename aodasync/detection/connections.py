# SPDX-License-Identifier: MIT
"""What trouble the connections of this client are in.

One reconnect leaves many traces (a tracepoint, requests cut off by it, the new
NEGOTIATE), and on some kernels only some of them, so the first one counts and
the others belong to it, until the connection has negotiated again, or answers.

A login that is refused after a reconnect is trouble until a session works again: the
password was changed, or the account locked.

A share that was used and is gone, or refused after a reconnect, is so until the server takes
another TREE_CONNECT: a program may try again seldom.

A connection is in trouble from the first sign until it answers a request that was
issued after the last one. Without a sign for a minute it is given up: it was
unmounted meanwhile.

Not trouble: the first NEGOTIATE of a connection, and what an umount cuts off:
clean_demultiplex_info ends requests without a waiter with MID_SHUTDOWN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from aodasync.detection.batch_content import ANSWERS, ANYTHING, Content, content_of
from aodasync.detection.known_connections import UNKNOWN_CONNECTION, KnownConnections
from aodasync.detection.trouble_rows import (
    COUNTED,
    ECHO,
    ENDED_BY_UMOUNT,
    IO_TIMEOUT,
    LOST_WRITES,
    NEGOTIATE,
    RECONNECTS,
    SESSION_SETUP,
    SHUTDOWN,
    SIGNS,
    TREE_CONNECT,
    WAITED_FOR_BY_NONE,
    Batch,
    answered,
    failed_writes,
    is_lost_share,
    is_refused_login,
    suspects,
)
from aodasync.events import EVENT, REQUEST, RETRY, EventArray, Kind, Outcome, pick
from aodasync.smb.ntstatus import SESSION_ENDED, status_name

__all__ = ["Connections", "Troubles"]

_GIVEN_UP_NS: Final = 60_000_000_000
_MOUNT_TRIES_NS: Final = 2_000_000_000  # one mount asks for its share in several spellings


@dataclass(frozen=True, slots=True)
class Troubles:
    """Rows that report trouble, of shape (N,), and the name of each trouble.

    Their ``connection_id`` is filled in where the kernel did not know it.
    """

    rows: EventArray
    codes: tuple[str, ...]


NO_TROUBLES: Final = Troubles(np.zeros(0, EVENT), ())


class Connections:
    """Follows the connections; ``server_of`` names the server of a connection id."""

    def __init__(self, server_of: Callable[[int], str]) -> None:
        self._known = KnownConnections(server_of, self._forget)
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._troubled: set[int] = set()
        self._without_share: dict[int, int] = {}  # when a share was refused last
        self._failed_write = UNKNOWN_CONNECTION  # that of the last one
        self.content: Content = ANYTHING
        """Of the last batch."""
        self.ordinary = False
        """Whether the last batch has nothing to say: all requests, answered without an error."""
        self.plain = False
        """Whether it says nothing of connections, sessions and shares: it is ordinary but for
        errors of files."""
        self.troubles = NO_TROUBLES
        """What the last batch reported."""
        self.cut_off: list[int] = []
        """Connections of which it cut off requests after their reconnect had seemed idle."""

    def __len__(self) -> int:
        return len(self._known)

    @property
    def forgotten(self) -> int:
        """Connections that gave way to others."""
        return self._known.forgotten

    def observe(self, rows: EventArray) -> None:
        """Take a batch in: shape (N,), dtype EVENT, oldest first."""
        self.cut_off = []
        self.content = content_of(rows)
        self.ordinary = self.content is ANSWERS and not self._without_share
        self.plain = self.content is not ANYTHING and not self._without_share
        if not self.plain:
            self._known.regroup()
            self.troubles = self._observe(rows)
            self._known.learn(pick(rows, rows["kind"] == REQUEST))
        else:
            self.troubles = NO_TROUBLES
            self._known.learn(rows)
        self._settle_all(rows)

    def look(self, now_ns: int) -> None:
        """Give up what gave no sign for a minute."""
        self._known.regroup()
        since_ns = now_ns - _GIVEN_UP_NS
        self._without_share = {c: at for c, at in self._without_share.items() if at > since_ns}
        for connection in [c for c in self._troubled if self._known[c].trouble_ns <= since_ns]:
            self._troubled.discard(connection)
            self._known[connection].trouble_ns = 0

    def in_trouble(self) -> frozenset[int]:
        """Ids of the connections in trouble."""
        return frozenset(self._troubled - {UNKNOWN_CONNECTION})

    def unusable(self) -> list[int]:
        """Ids of the connections that the client is trying to re-establish, or to log in on again.

        So are those of which a share is gone that was used, or that is asked for again and
        again. A mount that failed is not among them: neither session nor share was lost.
        """
        troubled = ((c, self._known[c]) for c in self._troubled)
        lost = {c for c, k in troubled if k.reconnecting or (k.refused and (k.again or k.expired))}
        return sorted(lost.union(self._without_share))

    def idle(self, connection: int) -> bool:
        """Whether the last reconnect cost no request that something waited for."""
        return connection in self._known and not self._known[connection].busy

    def server(self, connection: int) -> str:
        """The name of a connection's server: for people, and it may change."""
        return self._known.server(connection)

    def of_same_server(self, connections: Iterable[int]) -> tuple[int, ...]:
        """These, and all known connections to the same servers, in rising order."""
        return self._known.of_same_server(connections)

    def _observe(self, rows: EventArray) -> Troubles:
        counted: list[int] = []
        codes: list[str] = []
        connections: list[int] = []
        batch = Batch(rows)
        for i in np.flatnonzero(suspects(rows)).tolist():
            connection = self._connection_of(rows[i], rows[:i])
            code = self._judge(connection, batch, i)
            if code:
                counted.append(i)
                codes.append(code)
                connections.append(connection)
        self._failed_write = self._last_failed_write(rows)
        found = rows[counted]
        found["connection_id"] = connections
        return Troubles(found, tuple(codes))

    def _judge(self, connection: int, batch: Batch, i: int) -> str:
        """The name under which row ``i`` counts; empty when it does not."""
        row = batch.rows[i]
        kind = int(row["kind"])
        sign = kind in SIGNS or (kind == REQUEST and row["outcome"] == RETRY)
        sign |= is_refused_login(row)
        troubled = sign or self._is_reconnecting(connection)
        code = self._name(connection, batch, i)
        if troubled:
            self._known.use(connection).trouble_ns = int(row["released_ns"])
            self._troubled.add(connection)
        return code

    def _name(self, connection: int, batch: Batch, i: int) -> str:
        row = batch.rows[i]
        kind = int(row["kind"])
        if kind in RECONNECTS:
            return self._reconnect(connection, batch, i)
        if kind != REQUEST:
            return Kind(kind).name if kind in COUNTED else ""
        if row["outcome"] == RETRY:
            return self._cut_off(connection, batch, i)
        if row["outcome"] == SHUTDOWN:
            return "" if int(row["command"]) in ENDED_BY_UMOUNT else Outcome.SHUTDOWN.name
        return self._answer(connection, batch, i)

    def _answer(self, connection: int, batch: Batch, i: int) -> str:
        """As :meth:`_name`, of a request that was answered."""
        row = batch.rows[i]
        refused = is_refused_login(row)
        if row["command"] == NEGOTIATE and not refused:
            return self._negotiated(connection, batch, i)
        if row["command"] <= SESSION_SETUP:
            return self._logged_in(connection, row, refused=refused)
        status = int(row["status"])
        if row["command"] == TREE_CONNECT:
            self._known.channels.note_tree_connect(connection)
            if status == 0:
                self._without_share.pop(connection, None)
                self._known.use(connection).asked_ns = 0
        if status == IO_TIMEOUT:
            self._known.use(connection).timed_out = True
        if status in SESSION_ENDED:
            known = self._known.use(connection)
            told, known.expired = known.expired, True
            return "" if told else status_name(status)
        if not is_lost_share(row, status):
            return ""
        known, at_ns = self._known.use(connection), int(row["released_ns"])
        known.asked_ns = known.asked_ns or at_ns
        insists = at_ns - known.asked_ns >= _MOUNT_TRIES_NS
        if known.again or insists or row["command"] != TREE_CONNECT:
            self._without_share[connection] = at_ns
        return status_name(status)

    def _cut_off(self, connection: int, batch: Batch, i: int) -> str:
        row, known = batch.rows[i], self._known.use(connection)
        waited = int(row["command"]) not in WAITED_FOR_BY_NONE
        late = int(row["issued_ns"]) <= known.reconnected_ns
        if late and waited and not known.busy:
            self.cut_off.append(connection)
        code = "" if late else self._reconnect(connection, batch, i)
        known.busy |= waited
        return code

    def _reconnect(self, connection: int, batch: Batch, i: int) -> str:
        self._settle(connection, batch.rows[:i])
        counted = self._is_reconnecting(connection)
        known = self._known.use(connection)
        known.used = known.reconnecting = True
        known.busy = (known.busy and counted) or known.timed_out
        known.timed_out = False
        known.reconnected_ns = int(batch.rows["released_ns"][i])
        return "" if counted else Kind.RECONNECT.name

    def _negotiated(self, connection: int, batch: Batch, i: int) -> str:
        """A NEGOTIATE was answered: a new connection, or a reconnect's end or first trace."""
        self._settle(connection, batch.rows[:i])
        known = self._known.use(connection)
        used = known.used or batch.has_request(connection, before=i)
        counted = known.reconnecting
        self._known.end_session(connection)
        known.again |= used
        known.busy &= counted
        known.used, known.reconnecting = True, False
        known.reconnected_ns = int(batch.rows["issued_ns"][i])
        return Kind.RECONNECT.name if used and not counted else ""

    def _logged_in(self, connection: int, row: np.void, *, refused: bool) -> str:
        """A login was answered: what refuses it counts by its NTSTATUS; a further leg does not."""
        known = self._known.use(connection)
        if refused or row["status"] == 0:
            known.refused = refused
            known.expired &= refused
        return status_name(int(row["status"])) if refused else ""

    def _is_reconnecting(self, connection: int) -> bool:
        return connection in self._troubled and self._known[connection].reconnecting

    def _settle_all(self, rows: EventArray) -> None:
        if not self._troubled:
            return
        found = rows[answered(rows)]
        for connection in self._troubled.intersection(found["connection_id"].tolist()):
            self._settle(connection, found)

    def _settle(self, connection: int, rows: EventArray) -> None:
        if connection in self._troubled:
            found = answered(rows) & (rows["connection_id"] == connection)
            if self._known[connection].refused:
                found &= rows["command"] != ECHO  # it is answered without a session
            issued_ns = rows["issued_ns"][found]
            self._answered_at(connection, int(issued_ns.max(initial=0)))

    def _answered_at(self, connection: int, issued_ns: int) -> None:
        """End what was before: a reconnect whose NEGOTIATE was not seen, or other trouble."""
        known = self._known[connection]
        if issued_ns > known.reconnected_ns:
            known.reconnecting = False
        if issued_ns > known.trouble_ns:
            known.trouble_ns = 0
            known.refused = False
            self._troubled.discard(connection)

    def _connection_of(self, row: np.void, before: EventArray) -> int:
        """The connection of a row.

        By its session; that of the last write that failed, of data that was lost; by its
        thread; or as the only one known. Else data was lost where there is trouble, if that is
        one server: the client fails writes before it sends them, too.
        """
        if row["connection_id"]:
            return int(row["connection_id"])
        if int(row["kind"]) in LOST_WRITES and (failed := self._last_failed_write(before)):
            return failed
        session, pid = int(row["session_id"]), int(row["pid"])
        if session:
            if (first := self._known.channels.of_session(session)) is not None:
                return first
            same = before[(before["session_id"] == session) & (before["connection_id"] != 0)]
        else:
            same = before[(before["pid"] == pid) & (before["connection_id"] != 0)]
        if len(same):
            return int(same["connection_id"][-1])
        if (only := self._known.only()) is not None:
            return only
        return self._only_troubled() if int(row["kind"]) in LOST_WRITES else UNKNOWN_CONNECTION

    def _only_troubled(self) -> int:
        """The newest connection in trouble, if all of those are to one server."""
        troubled = self.in_trouble()
        one = len({self.server(connection) for connection in troubled}) == 1
        return max(troubled) if one else UNKNOWN_CONNECTION

    def _last_failed_write(self, rows: EventArray) -> int:
        failed = failed_writes(rows)
        return int(rows["connection_id"][failed][-1]) if failed.any() else self._failed_write

    def _forget(self, connection: int) -> None:
        self._troubled.discard(connection)
        self._without_share.pop(connection, None)
