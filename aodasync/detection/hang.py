# SPDX-License-Identifier: MIT
"""Requests that hang: the age of what has no answer, while it has none.

Requests that may wait for ever (:mod:`aodasync.detection.long_waits`) count only
when a latency anomaly names their command. A request whose response has arrived
is not the server's any more, however late its caller takes it: that is latency,
which counts when it is released.

An open or a rename that the server announced as pending counts as well, but is reported as
such: it waits for another client, and the server does not hang.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.config.model import Anomaly, HangAnomaly, LatencyAnomaly
from aodasync.detection.by_server import by_server
from aodasync.detection.detector import Context, Detector, Firing, Signal, View
from aodasync.detection.known_connections import UNKNOWN_CONNECTION
from aodasync.detection.long_waits import announced_opens, may_wait
from aodasync.detection.stalls import Stalled, StallWatch
from aodasync.events import NS_PER_MS, REQUEST, EventArray, pick
from aodasync.evidence.arrays import is_in
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import COMMAND_CODES, command_name

__all__ = ["HangDetector", "hanging", "named_commands"]

_LATE_NS = 1_000 * NS_PER_MS

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
    old = _unanswered(in_flight, now_ns, age_ns)
    found: EventArray = old[~may_wait(old) | is_in(old["command"], named)]
    return found


def _unanswered(in_flight: EventArray, now_ns: int, age_ns: int) -> EventArray:
    """The requests without a response for ``age_ns`` or longer, of any kind."""
    if not len(in_flight):
        return in_flight
    issued = in_flight["issued_ns"]
    counts = (in_flight["kind"] == REQUEST) & (issued != 0)
    counts &= (in_flight["received_ns"] == 0) & (issued <= np.uint64(max(0, now_ns - age_ns)))
    found: EventArray = in_flight[counts]
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """What hangs on one server: requests, announced opens, threads; of so many in flight."""

    hung: EventArray
    opens: EventArray
    stalled: list[Stalled]
    in_flight: int

    def identities(self) -> frozenset[_Identity]:
        """What identifies each of them from one look to the next."""
        return frozenset(
            [*_identities(self.hung), *_identities(self.opens), *map(_thread, self.stalled)]
        )

    def column(self, name: str) -> list[int]:
        """A field of the requests and the opens."""
        return [*self.hung[name].tolist(), *self.opens[name].tolist()]


class HangDetector(Detector):
    """A configured hang anomaly; remembers which requests it has counted already."""

    watches_in_flight = True

    def __init__(self, anomaly: HangAnomaly, context: Context) -> None:
        self._anomaly = anomaly
        self._age_ns = round(anomaly.age_ms * NS_PER_MS)
        named = named_commands(context.anomalies)
        self._named = np.array(sorted(COMMAND_CODES[name] for name in named), np.uint16)
        self._interval_ns = context.interval_ns
        self._connections = context.connections
        self._stalls = StallWatch(self._age_ns, context.connections)
        self._counted: dict[str, frozenset[_Identity]] = {}
        self._windows: dict[str, int] = {}

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        """Take requests and troubles in, of shape (N,) and oldest first."""
        self._stalls.add(rows)
        return ()

    def look(self, view: View) -> Iterable[Signal]:
        """One :class:`Firing` for each server on which requests or operations hang now."""
        now_ns, in_flight = view.now_ns, view.in_flight
        waiting = _unanswered(in_flight, now_ns, min(self._age_ns, _LATE_NS))
        if not len(waiting) and not len(view.operations):  # as at most looks
            self._stalls.forget()
            self._counted, self._windows = {}, {}
            return ()
        late = hanging(waiting, now_ns, 0, self._named)
        hung = hanging(waiting, now_ns, self._age_ns, self._named)
        old = _unanswered(waiting, now_ns, self._age_ns)
        opens = old[announced_opens(old) & ~is_in(old["command"], self._named)]
        stalled: dict[str, list[Stalled]] = {}
        for each in self._stalls.look(view.operations, in_flight, late, now_ns):
            connection = each.connections[0] if each.connections else UNKNOWN_CONNECTION
            stalled.setdefault(self._connections.server(connection), []).append(each)
        hung_of, opens_of = self._by_server(hung), self._by_server(opens)
        servers = sorted({*hung_of, *opens_of, *stalled})
        in_flight_of = self._number_by_server(in_flight) if servers else Counter()
        window = now_ns // self._interval_ns
        firings = []
        counted = {}
        for server in servers:
            seen = _Seen(
                hung=hung_of.get(server, hung[:0]),
                opens=opens_of.get(server, opens[:0]),
                stalled=stalled.get(server, []),
                in_flight=in_flight_of[server],
            )
            counted[server] = seen.identities()
            added = len(counted[server] - self._counted.get(server, frozenset()))
            finding = self._finding(server, seen, now_ns)
            firings.append(Firing(window, self._windows.get(server) != window, added, finding))
        self._counted = counted
        self._windows = dict.fromkeys(counted, window)
        return firings

    def _by_server(self, rows: EventArray) -> dict[str, EventArray]:
        grouped = by_server(rows["connection_id"], self._connections.server)
        return {
            server: pick(rows, grouped.place == number)
            for number, server in enumerate(grouped.servers)
        }

    def _number_by_server(self, rows: EventArray) -> Counter[str]:
        numbers: Counter[str] = Counter()
        for connection, number in Counter(rows["connection_id"].tolist()).items():
            numbers[self._connections.server(connection)] += number
        return numbers

    def _finding(self, server: str, seen: _Seen, now_ns: int) -> Finding:
        issued_ns, waiting = seen.column("issued_ns"), seen.stalled
        commands = Counter(seen.column("command")).most_common()
        oldest_ns = min([*issued_ns, *(each.since_ns for each in waiting)])
        connections = {c for each in waiting for c in each.connections}
        waits = Counter(f"waiting_for_{each.stall.waits_for}" for each in waiting)
        return Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            symptom=Symptom.WAITING,
            grave=len(seen.hung) > 0 or bool(waiting),
            server=server,
            connections=tuple(sorted(connections.union(seen.column("connection_id")))),
            commands=tuple(command_name(code) for code, _ in commands),
            codes=(),
            count=len(issued_ns) + len(waiting),
            acceptable_count=1,
            threshold_ms=self._age_ns / NS_PER_MS,
            max_latency_ms=(now_ns - oldest_ns) / NS_PER_MS,
            first_ns=oldest_ns,
            last_ns=now_ns,
            emergency=False,
            crossed_ns=oldest_ns + self._age_ns,
            figures={
                "in_flight": seen.in_flight,
                **({"announced_opens": len(seen.opens)} if len(seen.opens) else {}),
                **waits,
            },
            stalls=tuple(each.stall for each in waiting),
        )


def _thread(stalled: Stalled) -> _Identity:
    return stalled.stall.pid, stalled.xid


def _identities(rows: EventArray) -> Iterable[_Identity]:
    return zip(
        *(rows[n].tolist() for n in ("connection_id", "message_id", "issued_ns")), strict=True
    )
