# SPDX-License-Identifier: MIT
"""What servers and this host state themselves in rows: NTSTATUS and errno, counted. Pure."""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.trouble_rows import ECHO, TREE_CONNECT, answered
from aodasync.events import ANSWERED, REQUEST, EventArray, Kind, pick
from aodasync.evidence.arrays import distinct, is_in
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import (
    LEAST_ERROR,
    LOGIN_REFUSED,
    LOGIN_UNCHECKED,
    NEVER_AN_ERROR,
    OF_ANOTHER_SERVER,
    STATUS_CODES,
    status_name,
)

__all__ = ["Stated", "stated"]

_SESSION_SETUP: Final = COMMAND_CODES["SMB2_SESSION_SETUP"]
_WRITES: Final = [COMMAND_CODES[name] for name in ("SMB2_WRITE", "SMB2_FLUSH")]
_EXPIRED: Final = [int(Kind.SESSION_EXPIRED), int(Kind.KEY_EXPIRED)]
_IO_TIMEOUT: Final = STATUS_CODES["STATUS_IO_TIMEOUT"]
_SESSION_EXPIRED: Final = STATUS_CODES["STATUS_NETWORK_SESSION_EXPIRED"]
_SESSION_DELETED: Final = STATUS_CODES["STATUS_USER_SESSION_DELETED"]
_TIMED_OUT_NS: Final = 60_000_000_000  # the last one before what it led to
_SHORTLY_NS: Final = 60_000_000_000
_UNREACHABLE: Final = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
)
_RESET: Final = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
_OWN: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
    }
)


@dataclass(frozen=True, slots=True)
class Stated:
    """Counts of what was stated, and its names.

    Attempts to connect were ``refused``, found the host ``unreachable``, were ``reset`` or
    failed on this host ``not_allowed``; ``connect_errors`` names the errno of all.
    ``logins_refused`` failed for the account or the password, ``logins_unchecked`` as the server
    could not ask its domain, ``logins_failed`` otherwise; ``login_statuses`` names all.
    ``share_statuses`` say why the last share that was asked for is refused.
    ``sessions_expired`` and ``sessions_deleted`` ended; ``io_timeouts`` are those of the
    connection so far, ``write_statuses`` why writes failed.
    """

    refused: int
    unreachable: int
    reset: int
    not_allowed: int
    connect_errors: tuple[str, ...]
    logins_refused: int
    logins_unchecked: int
    logins_failed: int
    login_statuses: tuple[str, ...]
    share_statuses: tuple[str, ...]
    sessions_expired: int
    sessions_deleted: int
    io_timeouts: int
    write_statuses: tuple[str, ...]


def stated(
    rows: EventArray, recent: EventArray, first_ns: int, codes: Collection[str] = ()
) -> Stated:
    """What the rows state, of one server, shape (N,); ``recent`` are those of the episode.

    It began at ``first_ns`` (CLOCK_MONOTONIC), and is about ``codes``.
    """
    connect = recent["status"][recent["kind"] == Kind.CONNECT_ERROR].tolist()
    ended = (recent["kind"] == REQUEST) & (recent["outcome"] == ANSWERED)
    failed = pick(recent, ended & _is_error(recent))
    asked = failed[failed["command"] == _SESSION_SETUP]
    named = [STATUS_CODES[code] for code in codes if code in STATUS_CODES]
    usual = is_in(asked["connection_id"], _usually_refused(rows, first_ns))
    logins = asked[~usual | is_in(asked["status"], named)]["status"]
    refused, unchecked = is_in(logins, [*LOGIN_REFUSED]), is_in(logins, [*LOGIN_UNCHECKED])
    expired = is_in(recent["kind"], _EXPIRED) | (recent["status"] == _SESSION_EXPIRED)
    timed_out = rows["released_ns"][rows["status"] == _IO_TIMEOUT].astype(np.int64)
    writes = failed[is_in(failed["command"], _WRITES)]["status"]
    return Stated(
        refused=sum(code == errno.ECONNREFUSED for code in connect),
        unreachable=sum(code in _UNREACHABLE for code in connect),
        reset=sum(code in _RESET for code in connect),
        not_allowed=sum(code in _OWN for code in connect),
        connect_errors=tuple(
            errno.errorcode.get(code, str(code)) for code in dict.fromkeys(connect)
        ),
        logins_refused=int(np.count_nonzero(refused)),
        logins_unchecked=int(np.count_nonzero(unchecked)),
        logins_failed=int(np.count_nonzero(~refused & ~unchecked)),
        login_statuses=_names(logins),
        share_statuses=_refused_shares(pick(recent, ended & (recent["command"] == TREE_CONNECT))),
        sessions_expired=int(np.count_nonzero(expired)),
        sessions_deleted=int(np.count_nonzero(recent["status"] == _SESSION_DELETED)),
        # The client counts them from the beginning of a connection on (cifs_demultiplex_thread).
        io_timeouts=len(timed_out) if (timed_out >= first_ns - _TIMED_OUT_NS).any() else 0,
        write_statuses=_names(writes),
    )


def _usually_refused(rows: EventArray, first_ns: int) -> list[int]:
    """Connections that refused a login shortly before the episode, and worked all the same.

    Several users may share one: who is refused all day has nothing to do with what came then.
    """
    before = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED)
    before &= rows["released_ns"] < np.uint64(max(0, first_ns))
    before &= rows["released_ns"] >= np.uint64(max(0, first_ns - _SHORTLY_NS))
    refused = pick(rows, before & (rows["command"] == _SESSION_SETUP) & _is_error(rows))
    if len(refused) == 0:
        return []
    works = before & answered(rows) & (rows["command"] != ECHO)
    ids, issued_ns = rows["connection_id"][works], rows["issued_ns"][works]
    last = dict(zip(ids.tolist(), issued_ns.tolist(), strict=True))
    at_ns = zip(refused["connection_id"].tolist(), refused["released_ns"].tolist(), strict=True)
    return [connection for connection, at in at_ns if last.get(connection, 0) > at]


def _refused_shares(asked: EventArray) -> tuple[str, ...]:
    """Why TREE_CONNECTs failed, of the connections whose last one did: others work again."""
    refused = _is_error(asked) & (asked["status"] != OF_ANOTHER_SERVER)
    last = dict(zip(asked["connection_id"].tolist(), refused.tolist(), strict=True))
    lost = [connection for connection, failed in last.items() if failed]
    return _names(asked["status"][refused & is_in(asked["connection_id"], lost)])


def _is_error(rows: EventArray) -> npt.NDArray[np.bool_]:
    error: npt.NDArray[np.bool_] = rows["status"] >= LEAST_ERROR
    return error & ~is_in(rows["status"], [*NEVER_AN_ERROR])


def _names(statuses: npt.NDArray[np.uint32]) -> tuple[str, ...]:
    return tuple(status_name(status) for status in distinct(statuses))
