# SPDX-License-Identifier: MIT
"""Whether each mount is usable now, since when it is not, and why. Pure.

A connection is in trouble from the first sign (a reconnect, a refused connection or login,
a request that waits for ``age_ms`` while nothing of it was answered) until a request that was
issued after the last sign is answered: TREE_CONNECT or any later command, so that a login
that keeps being refused does not count as recovery. A mount is unusable when every
connection of its server is in trouble for :data:`SETTLE_NS`, or its share is gone.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.batch_content import ANYTHING, Content
from aodasync.detection.long_waits import may_wait
from aodasync.detection.lost_shares import LostShares, Tree
from aodasync.detection.trouble_rows import ECHO, TREE_CONNECT, answered, ended_session
from aodasync.events import EventArray, Kind, Outcome
from aodasync.evidence.arrays import distinct, is_in
from aodasync.evidence.model import Connection
from aodasync.host.mountinfo import Mount
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import OF_ANOTHER_SERVER, SESSION_ENDED, STATUS_CODES, status_name

__all__ = ["SETTLE_NS", "MountState", "Usability", "server_and_share"]

SETTLE_NS: Final = 3_000_000_000
"""Shorter interruptions are the connection anomaly's; the mount was usable again at once."""

_MAX_CONNECTIONS: Final = 4096
_MS: Final = 1_000_000
_GONE: Final = "the share is gone: STATUS_NETWORK_NAME_DELETED"
_REQUEST: Final = int(Kind.REQUEST)
_ANSWERED: Final = int(Outcome.ANSWERED)
_RETRY: Final = int(Outcome.RETRY)
_SESSION_SETUP: Final = COMMAND_CODES["SMB2_SESSION_SETUP"]
_NEGOTIATE: Final = COMMAND_CODES["SMB2_NEGOTIATE"]
_MORE_PROCESSING: Final = STATUS_CODES["STATUS_MORE_PROCESSING_REQUIRED"]
_REFUSED: Final = {_NEGOTIATE: "negotiation", TREE_CONNECT: "share"}
_RECONNECTS: Final = frozenset(
    {Kind.RECONNECT, Kind.PARTIAL_SEND_RECONNECT, Kind.RECONNECT_WITH_INVALID_CREDITS}
)
_SESSIONS: Final[Mapping[int, str]] = {
    Kind.SESSION_EXPIRED: "the session expired",
    Kind.KEY_EXPIRED: "the key of the session expired",
}


@dataclass(slots=True)
class _Trouble:
    """``last_ns``: what is answered must have been issued after it."""

    since_ns: int
    last_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class MountState:
    """A mount; ``since_ns`` (CLOCK_MONOTONIC) and ``why`` are 0 and "" while it is usable."""

    mount_point: str
    source: str
    server: str
    usable: bool
    since_ns: int = 0
    why: str = ""
    username: str = ""


class Usability:
    """Takes batches in, and judges mounts when asked.

    ``recent`` returns the rows that were released since a time (CLOCK_MONOTONIC in ns); it is
    asked only while a request waits for ``age_ms``, and when a login is refused. ``shares``
    returns names by session id and tree id, and is asked only while a share is gone.
    """

    def __init__(
        self,
        age_ms: float,
        recent: Callable[[int], EventArray],
        shares: Callable[[], Mapping[Tree, str]] = dict,
    ) -> None:
        self._shares = shares
        self._gone = LostShares()
        self._age_ns = round(age_ms * _MS)
        self._recent = recent
        self._trouble: dict[int, _Trouble] = {}
        self._well: set[int] = set()
        self.forgotten = 0
        """Connections in trouble that gave way to others."""

    def observe(self, rows: EventArray, content: Content = ANYTHING) -> None:
        """Take a batch in, shape (N,), oldest first. Costs nothing while all is well."""
        if content is ANYTHING or self._trouble:
            self._take_signs(rows)
        if self._trouble:
            self._recover(rows)
        if content is ANYTHING or self._gone:
            self._gone.observe(rows)

    def look(
        self,
        in_flight: EventArray,
        connections: Mapping[int, Connection],
        mounts: Iterable[Mount],
        now_ns: int,
    ) -> tuple[MountState, ...]:
        """The SMB mounts as they are now, in their order."""
        self._take_silence(in_flight, now_ns)
        by_name: dict[str, list[int]] = {}
        for number, connection in connections.items():
            for name in {connection.server.casefold(), connection.address.casefold()} - {""}:
                by_name.setdefault(name, []).append(number)
        gone_ns = self._gone.since_ns(self._shares()) if self._gone else {}
        found = []
        for mount in mounts:
            server, share = server_and_share(mount.source)
            own = by_name.get(server.casefold(), [])
            lost_ns = gone_ns.get(f"//{server}/{share}".casefold())
            found.append(self._state(mount, server, own, lost_ns, now_ns))
        return tuple(found)

    def _state(
        self, mount: Mount, server: str, own: Sequence[int], lost_ns: int | None, now_ns: int
    ) -> MountState:
        troubles = [self._trouble[number] for number in own if number in self._trouble]
        if lost_ns is not None:
            troubles, own = [_Trouble(lost_ns, lost_ns, _GONE)], (0,)
        since_ns = max((trouble.since_ns for trouble in troubles), default=0)
        usable = not own or len(troubles) < len(own) or now_ns - since_ns < SETTLE_NS
        why = "" if usable else max(troubles, key=lambda trouble: trouble.last_ns).why
        return MountState(
            mount_point=mount.mount_point,
            source=mount.source,
            server=server,
            usable=usable,
            since_ns=0 if usable else since_ns,
            why=why,
            username=mount.username,
        )

    def _take_signs(self, rows: EventArray) -> None:
        kinds, commands = rows["kind"], rows["command"]
        signs = (kinds != _REQUEST) | (rows["outcome"] == _RETRY)
        signs |= (commands <= _SESSION_SETUP) & (rows["status"] != 0)
        signs |= ended_session(rows)
        further = (commands == _NEGOTIATE) | ((commands == TREE_CONNECT) & (rows["status"] != 0))
        signs |= further & is_in(rows["connection_id"], list(self._trouble))
        for row in rows[signs & (rows["connection_id"] != 0)]:
            why = _why(row)
            connection = int(row["connection_id"])
            login = row["command"] == _SESSION_SETUP and row["outcome"] == _ANSWERED
            if why and not (login and self._is_well(connection)):
                self._sign(connection, int(row["released_ns"]), why)

    def _is_well(self, connection: int) -> bool:
        """Whether it has a session that nothing was said against: one more user is refused."""
        if connection in self._trouble:
            return False
        if connection not in self._well:
            rows = self._recent(0)
            mine = rows[(rows["connection_id"] == connection) & (rows["command"] != ECHO)]
            if not _works(mine).any():
                return False
            if len(self._well) < _MAX_CONNECTIONS:
                self._well.add(connection)
        return True

    def _sign(self, connection: int, at_ns: int, why: str) -> None:
        known = self._trouble.get(connection)
        if known is None:
            self._begin(connection, at_ns, why)
        else:
            known.last_ns = max(known.last_ns, at_ns)
            # What the server said outlives the reconnects that follow from it.
            stated = known.why.startswith(("login", "share"))
            if not (stated and why.startswith("reconnect")):
                known.why = why

    def _begin(self, connection: int, at_ns: int, why: str) -> None:
        self._trouble[connection] = _Trouble(at_ns, at_ns, why)
        self._well.discard(connection)
        while len(self._trouble) > _MAX_CONNECTIONS:
            del self._trouble[next(iter(self._trouble))]
            self.forgotten += 1

    def _take_silence(self, in_flight: EventArray, now_ns: int) -> None:
        """A connection with a request that waits too long, and of which nothing was answered."""
        waiting = in_flight[(in_flight["received_ns"] == 0) & (in_flight["issued_ns"] != 0)]
        waiting = waiting[waiting["issued_ns"] <= np.uint64(max(0, now_ns - self._age_ns))]
        waiting = waiting[~may_wait(waiting)]
        if len(waiting) == 0:
            return
        oldest: dict[int, int] = {}
        for number, issued_ns in zip(
            waiting["connection_id"].tolist(), waiting["issued_ns"].tolist(), strict=True
        ):
            oldest[number] = min(issued_ns, oldest.get(number, issued_ns))
        since_ns = max(0, now_ns - self._age_ns)
        rows = self._recent(since_ns)
        ended = (rows["kind"] == _REQUEST) & (rows["outcome"] == _ANSWERED)
        alive = set(distinct(rows["connection_id"][ended & (rows["received_ns"] >= since_ns)]))
        for number, issued_ns in oldest.items():
            if number and number not in self._trouble and number not in alive:
                self._begin(number, issued_ns, "no response")

    def _recover(self, rows: EventArray) -> None:
        works = _works(rows)
        ids = rows["connection_id"]
        for number in self._trouble.keys() & set(ids[works].tolist()):
            trouble = self._trouble[number]
            ours = works & (ids == number)
            silent = trouble.why == "no response"
            if not silent:
                ours &= rows["command"] != ECHO  # it is answered without a session
            ours &= rows["received_ns" if silent else "issued_ns"] > np.uint64(trouble.last_ns)
            if ours.any():
                del self._trouble[number]


def _works(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Which answers show that the connection works, of rows of shape (N,)."""
    found: npt.NDArray[np.bool_] = (rows["command"] != TREE_CONNECT) | (rows["status"] == 0)
    found &= answered(rows)
    return found


def _why(row: np.void) -> str:
    """What a sign of trouble says; empty for a row that is none."""
    kind, status = int(row["kind"]), int(row["status"])
    if kind == _REQUEST:
        retry = row["outcome"] == _RETRY
        return "reconnecting" if retry else _answer_says(row, status)
    if kind == Kind.CONNECT_ERROR:
        return f"cannot connect: {errno.errorcode.get(status, status)}"
    return "reconnecting" if kind in _RECONNECTS else _SESSIONS.get(kind, "")


def _answer_says(row: np.void, status: int) -> str:
    if row["outcome"] != _ANSWERED or status in (_MORE_PROCESSING, OF_ANOTHER_SERVER):
        return ""
    if status in SESSION_ENDED:
        return f"the session is over: {status_name(status)}"
    negotiated = row["command"] == _NEGOTIATE
    if status == 0:
        return "reconnected, but not logged in" if negotiated else ""
    what = _REFUSED.get(int(row["command"]), "login")
    return f"{what} refused: {status_name(status)}"


def server_and_share(source: str) -> tuple[str, str]:
    r"""The server and the share in a mount's source (``//server/share/below`` or ``\\...``)."""
    parts = source.replace("\\", "/").strip("/").split("/")
    return parts[0], parts[1] if len(parts) > 1 else ""
