# SPDX-License-Identifier: MIT
"""Requests that hang: the age of what has no answer, while it has none.

Requests that may wait for ever (:mod:`aodasync.detection.patience`) count only
when a latency anomaly names their command. A request whose response has arrived
is not the server's any more, however late its caller takes it: that is latency,
which counts when it is released.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.config.model import Anomaly, HangAnomaly, LatencyAnomaly
from aodasync.detection.patience import may_wait
from aodasync.detection.stalls import Stalled, StallWatch
from aodasync.detection.windows import Firing
from aodasync.events import EventArray, Kind
from aodasync.evidence import Finding
from aodasync.operations import NO_OPERATIONS, OperationArray
from aodasync.smb.commands import COMMAND_CODES, command_name

__all__ = ["HangWatch", "hanging", "named_commands"]

_MS = 1_000_000
_LATE_NS = 1_000 * _MS

_Identity: TypeAlias = tuple[int, ...]


def named_commands(anomalies: Iterable[Anomaly]) -> frozenset[str]:
    """Commands that any latency anomaly names in ``track_commands``."""
    names: set[str] = set()
    for anomaly in anomalies:
        if isinstance(anomaly, LatencyAnomaly):
            names |= anomaly.named_commands
    return frozenset(names)


def hanging(
    in_flight: EventArray, now_ns: int, age_ns: int, named: npt.NDArray[np.uint16]
) -> EventArray:
    """The requests without a response for ``age_ns`` or longer that may not wait for ever.

    ``in_flight`` has shape (N,); ``named`` are codes of commands that count
    whatever the server may do with them.
    """
    issued = in_flight["issued_ns"]
    counts = (in_flight["kind"] == Kind.REQUEST) & (issued != 0)
    counts &= (in_flight["received_ns"] == 0) & (issued <= np.uint64(max(0, now_ns - age_ns)))
    counts &= ~may_wait(in_flight) | np.isin(in_flight["command"], named)
    found: EventArray = in_flight[counts]
    return found


class HangWatch:
    """A configured hang anomaly; remembers which requests it has counted already."""

    def __init__(
        self,
        anomaly: HangAnomaly,
        *,
        named: frozenset[str],
        interval_ns: int,
        server_of: Callable[[int], str],
    ) -> None:
        self._anomaly = anomaly
        self._age_ns = round(anomaly.age_ms * _MS)
        self._named = np.array(sorted(COMMAND_CODES[name] for name in named), np.uint16)
        self._interval_ns = interval_ns
        self._server_of = server_of
        self._stalls = StallWatch(self._age_ns, server_of)
        self._counted: dict[str, frozenset[_Identity]] = {}
        self._windows: dict[str, int] = {}

    def add(self, rows: EventArray) -> None:
        """Take requests and troubles in, of shape (N,) and oldest first."""
        self._stalls.add(rows)

    def look(
        self, in_flight: EventArray, now_ns: int, operations: OperationArray = NO_OPERATIONS
    ) -> list[Firing]:
        """One :class:`Firing` for each server on which requests or operations hang now.

        ``operations`` are all those inside the client, oldest first.
        """
        rows = hanging(in_flight, now_ns, self._age_ns, self._named)
        window = now_ns // self._interval_ns
        names = [self._server_of(connection) for connection in rows["connection_id"].tolist()]
        late = hanging(in_flight, now_ns, min(self._age_ns, _LATE_NS), self._named)
        stalled = self._stalls.look(operations, in_flight, late, now_ns)
        servers = sorted({*names, *(each.server for each in stalled)})
        firings = []
        counted = {}
        for server in servers:
            of_server = rows[[name == server for name in names]]
            waiting = [each for each in stalled if each.server == server]
            hung = frozenset(map(_identity, of_server)) | {_thread(each) for each in waiting}
            added = len(hung - self._counted.get(server, frozenset()))
            first = self._windows.get(server) != window
            counted[server] = hung
            of_all = self._count(server, in_flight)
            finding = self._finding(server, of_server, waiting, of_all, now_ns)
            firings.append(Firing(window, first, added, finding))
        self._counted = counted
        self._windows = dict.fromkeys(servers, window)
        return firings

    def _count(self, server: str, in_flight: EventArray) -> int:
        """How many requests the server has in flight."""
        ids, counts = np.unique(in_flight["connection_id"], return_counts=True)
        ours = [self._server_of(connection) == server for connection in ids.tolist()]
        return int(counts[ours].sum())

    def _finding(
        self, server: str, rows: EventArray, waiting: list[Stalled], in_flight: int, now_ns: int
    ) -> Finding:
        commands = Counter(rows["command"].tolist()).most_common()
        oldest_ns = min([*rows["issued_ns"].tolist(), *(each.since_ns for each in waiting)])
        waits = Counter(f"waiting_for_{each.stall.waits_for}" for each in waiting)
        return Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            server=server,
            commands=tuple(command_name(code) for code, _ in commands),
            codes=(),
            count=len(rows) + len(waiting),
            acceptable_count=1,
            threshold_ms=self._age_ns / _MS,
            max_latency_ms=(now_ns - oldest_ns) / _MS,
            first_ns=oldest_ns,
            last_ns=now_ns,
            emergency=False,
            crossed_ns=oldest_ns + self._age_ns,
            figures={"in_flight": in_flight, **waits},
            stalls=tuple(each.stall for each in waiting),
        )


def _thread(stalled: Stalled) -> _Identity:
    return stalled.stall.pid, stalled.xid


def _identity(row: np.void) -> _Identity:
    return int(row["connection_id"]), int(row["message_id"]), int(row["issued_ns"])
