# SPDX-License-Identifier: MIT
"""Trouble of a connection: reconnects, credits, sessions, shares, lost writeback.

One reconnect leaves many traces (a tracepoint, requests cut off by it, the new
NEGOTIATE), and on some kernels only some of them, so the first one counts and
the others belong to it, until the connection has negotiated again, or answers.

While a connection is being made anew, its episode goes on: the kernel tries
again 3 s after an attempt that failed, which may itself take over 10 s.

Not trouble: the first NEGOTIATE of a connection, and what an umount cuts off:
clean_demultiplex_info ends with MID_SHUTDOWN what nobody waits for any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.windows import NO_HITS, Hits
from aodasync.events import EventArray, Kind, Outcome
from aodasync.ranks import distinct
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import STATUS_CODES, status_name

__all__ = ["ENDED_BY_UMOUNT", "ConnectionTrouble"]

_RECONNECTS: Final = frozenset({Kind.RECONNECT, Kind.PARTIAL_SEND_RECONNECT})
_TROUBLES: Final = frozenset(
    {
        Kind.CREDIT_TIMEOUT,
        Kind.INSUFFICIENT_CREDITS,
        Kind.RECONNECT_WITH_INVALID_CREDITS,
        Kind.SESSION_EXPIRED,
        Kind.SESSION_NOT_FOUND,
        Kind.KEY_EXPIRED,
        Kind.CONNECT_ERROR,
        Kind.FSYNC_ERROR,
        Kind.FLUSH_ERROR,
    }
)
"""The others are left out: LEASE_NOT_FOUND is a break that crossed a close, EIO has its
errno, and TREE_CONNECT_FAILED its response, which names the NTSTATUS. RECONNECT_DETECTED is an
echo, seconds after the new NEGOTIATE as well: credits of a request from before the reconnect are
given back (smb2_add_credits)."""

# An enum's members take a microsecond to look up, too much for every batch.
_REQUEST: Final = int(Kind.REQUEST)
_RETRY: Final = int(Outcome.RETRY)
_SHUTDOWN: Final = int(Outcome.SHUTDOWN)
_NEGOTIATE: Final = COMMAND_CODES["SMB2_NEGOTIATE"]
_SESSION_SETUP: Final = COMMAND_CODES["SMB2_SESSION_SETUP"]
_TREE_CONNECT: Final = COMMAND_CODES["SMB2_TREE_CONNECT"]
_WRITE: Final = COMMAND_CODES["SMB2_WRITE"]
_LOST_WRITES: Final = frozenset({Kind.FLUSH_ERROR, Kind.FSYNC_ERROR})
_LOST_SHARE: Final = STATUS_CODES["STATUS_NETWORK_NAME_DELETED"]
ENDED_BY_UMOUNT: Final = frozenset(
    COMMAND_CODES[name]
    for name in (
        "SMB2_CHANGE_NOTIFY",
        "SMB2_CANCEL",
        "SMB2_CLOSE",
        "SMB2_ECHO",
        "SMB2_LOCK",
        "SMB2_LOGOFF",
        "SMB2_OPLOCK_BREAK",
        "SMB2_TREE_DISCONNECT",
    )
)
"""Codes of commands whose MID_SHUTDOWN is nobody's loss."""

_REMEMBERED: Final = 4096
_GIVEN_UP_NS: Final = 60_000_000_000  # no attempt for so long: it was unmounted meanwhile


@dataclass(slots=True)
class _Connection:
    session_id: int = 0
    reconnected_ns: int = 0  # what was issued before belongs to that reconnect
    trouble_ns: int = 0  # when that reconnect last gave a sign


class ConnectionTrouble:
    """Picks the rows that tell of trouble, and remembers connections (at most 4,096)."""

    def __init__(self) -> None:
        self._known: dict[int, _Connection] = {}
        self._reconnecting: set[int] = set()
        self._failed_write = 0  # the connection of the last one

    def select(self, rows: EventArray) -> Hits:
        """The rows that count, ``codes`` aligned; their ``connection_id`` filled in if unknown."""
        if not _is_any_odd(rows):
            self._learn(rows)
            self._settle_all(rows)
            return NO_HITS
        index = np.flatnonzero(_suspects(rows))
        counted: list[int] = []
        codes: list[str] = []
        connections: list[int] = []
        for i in index.tolist():
            row = rows[i]
            connection = self._whose(row, rows[:i])
            code = self._judge(row, connection, rows[:i])
            if code:
                counted.append(i)
                codes.append(code)
                connections.append(connection)
        self._learn(rows[rows["kind"] == _REQUEST])
        self._failed_write = self._last_failed_write(rows)
        self._settle_all(rows)
        hits = rows[counted]
        hits["connection_id"] = connections
        return Hits(
            rows=hits,
            latency_ns=np.zeros(len(hits), np.uint64),
            threshold_ns=np.zeros(len(hits), np.uint64),
            emergency=np.zeros(len(hits), np.bool_),
            codes=tuple(codes),
        )

    def reconnecting(self, now_ns: int) -> list[int]:
        """The connections that the client is trying to make anew."""
        since_ns = now_ns - _GIVEN_UP_NS
        return [c for c in sorted(self._reconnecting) if self._known[c].trouble_ns > since_ns]

    def _judge(self, row: np.void, connection: int, before: EventArray) -> str:
        """The name under which a row counts; empty when it does not."""
        kind = int(row["kind"])
        if connection in self._reconnecting:
            self._known[connection].trouble_ns = int(row["released_ns"])
        if kind in _RECONNECTS:
            return self._reconnect(connection, int(row["released_ns"]), before)
        if kind != Kind.REQUEST:
            return Kind(kind).name if kind in _TROUBLES else ""
        if row["outcome"] == Outcome.RETRY:
            return self._cut_off(connection, row, before)
        if row["outcome"] == Outcome.SHUTDOWN:
            return "" if int(row["command"]) in ENDED_BY_UMOUNT else Outcome.SHUTDOWN.name
        if row["command"] == _NEGOTIATE:
            return self._negotiated(connection, row, before)
        status = int(row["status"])
        return status_name(status) if _is_lost_share(row, status) else ""

    def _reconnect(self, connection: int, at_ns: int, before: EventArray) -> str:
        known = self._known.setdefault(connection, _Connection())
        self._settle(connection, before)
        told = connection in self._reconnecting
        self._reconnecting.add(connection)
        known.reconnected_ns = known.trouble_ns = at_ns
        return "" if told else Kind.RECONNECT.name

    def _cut_off(self, connection: int, row: np.void, before: EventArray) -> str:
        known = self._known.setdefault(connection, _Connection())
        if int(row["issued_ns"]) <= known.reconnected_ns:
            return ""
        return self._reconnect(connection, int(row["released_ns"]), before)

    def _negotiated(self, connection: int, row: np.void, before: EventArray) -> str:
        """A NEGOTIATE was answered: a new connection, or a reconnect's end or first trace."""
        issued_ns = int(row["issued_ns"])
        self._settle(connection, before)
        known = self._known.get(connection)
        same = before[(before["connection_id"] == connection) & (before["kind"] == Kind.REQUEST)]
        used = known is not None or len(same) > 0
        told = connection in self._reconnecting
        self._reconnecting.discard(connection)
        self._known[connection] = _Connection(reconnected_ns=issued_ns)
        return Kind.RECONNECT.name if used and not told else ""

    def _settle_all(self, rows: EventArray) -> None:
        for connection in tuple(self._reconnecting):
            self._settle(connection, rows)

    def _settle(self, connection: int, rows: EventArray) -> None:
        """End a reconnect whose NEGOTIATE was not seen, by the first request answered since."""
        if connection not in self._reconnecting:
            return
        answered = (rows["connection_id"] == connection) & (rows["outcome"] == Outcome.ANSWERED)
        answered &= (rows["kind"] == Kind.REQUEST) & (rows["command"] > _SESSION_SETUP)
        answered &= rows["issued_ns"] > self._known[connection].reconnected_ns
        if answered.any():
            self._reconnecting.discard(connection)

    def _whose(self, row: np.void, before: EventArray) -> int:
        """The connection of a row.

        By its session; that of the last write that failed, of data that was lost; by its
        thread; or as the only one known.
        """
        if row["connection_id"]:
            return int(row["connection_id"])
        if int(row["kind"]) in _LOST_WRITES and (failed := self._last_failed_write(before)):
            return failed
        session, pid = int(row["session_id"]), int(row["pid"])
        if session:
            for connection, known in self._known.items():
                if known.session_id == session:
                    return connection
            same = before[(before["session_id"] == session) & (before["connection_id"] != 0)]
        else:
            same = before[(before["pid"] == pid) & (before["connection_id"] != 0)]
        if len(same):
            return int(same["connection_id"][-1])
        return next(iter(self._known)) if len(self._known) == 1 else 0

    def _last_failed_write(self, rows: EventArray) -> int:
        failed = (rows["kind"] == _REQUEST) & (rows["command"] == _WRITE)
        failed &= (rows["status"] != 0) | (rows["outcome"] != Outcome.ANSWERED)
        return int(rows["connection_id"][failed][-1]) if failed.any() else self._failed_write

    def _learn(self, rows: EventArray) -> None:
        ids = rows["connection_id"]
        if len(ids) == 0:
            return
        one = int(ids[0])
        for connection in [one] if np.count_nonzero(ids == one) == len(ids) else distinct(ids):
            known = self._known.get(connection)
            if connection and (known is None or not known.session_id):
                known = self._known.setdefault(connection, _Connection())
                known.session_id = int(rows["session_id"][ids == connection].max())
        while len(self._known) > _REMEMBERED:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._reconnecting.discard(oldest)


def _is_any_odd(rows: EventArray) -> bool:
    """Whether any row may be a suspect, by what is 0 in others: kind, outcome, status.

    The command that is 0 is NEGOTIATE.
    """
    odd = any(np.count_nonzero(rows[name]) for name in ("kind", "outcome", "status"))
    return odd or bool(np.count_nonzero(rows["command"]) < len(rows))


def _suspects(rows: EventArray) -> npt.NDArray[np.bool_]:
    outcome, command, status = rows["outcome"], rows["command"], rows["status"]
    found = (rows["kind"] != _REQUEST) | (command == _NEGOTIATE)
    found |= (outcome == _RETRY) | (outcome == _SHUTDOWN)
    found |= (status == _LOST_SHARE) | ((command == _TREE_CONNECT) & (status != 0))
    suspects: npt.NDArray[np.bool_] = found
    return suspects


def _is_lost_share(row: np.void, status: int) -> bool:
    if row["outcome"] != Outcome.ANSWERED:
        return False
    return status == _LOST_SHARE or (bool(status) and row["command"] == _TREE_CONNECT)
