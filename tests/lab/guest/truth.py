# SPDX-License-Identifier: MIT
"""What the agent recorded, held against the wire: every request of both, matched one to one.

A connection of the agent (``connection_id``) survives reconnects, a TCP stream
does not, and message ids start again with each. Every reconnect begins with a
NEGOTIATE, which starts a new *generation* of the connection; generations and
streams then pair off by the time at which they began.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from product import Rows, check
from wire import NEGOTIATE, Request, Wire

from aodasync.events import Flag, Kind, Outcome
from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import status_name

__all__ = [
    "Pair",
    "Truth",
    "described",
    "excess_us",
    "generations",
    "match",
    "print_table",
    "report",
    "streams",
]


@dataclass(frozen=True, slots=True)
class Pair:
    """A recorded request and the same request on the wire."""

    row: Any
    request: Request

    @property
    def is_timed(self) -> bool:
        """Whether both ends of the recorded interval were seen, not rebuilt to one tick."""
        return bool(self.row["received_ns"]) and not self.row["flags"] & Flag.REBUILT

    @property
    def excess_ns(self) -> int:
        """By how much the recorded interval issued..received is longer than the wire's."""
        interval = int(self.row["received_ns"]) - int(self.row["issued_ns"])
        return interval - self.request.wire_ns


@dataclass(slots=True)
class Truth:
    """Pairs, and what has no partner on the other side (``never_sent`` needs none)."""

    pairs: list[Pair] = field(default_factory=list)
    never_sent: list[Any] = field(default_factory=list)
    only_recorded: list[Any] = field(default_factory=list)
    only_on_wire: list[Request] = field(default_factory=list)


def generations(rows: Iterable[Any]) -> list[list[Any]]:
    """Recorded requests by connection and generation, in the order in which they began."""
    current: dict[int, list[Any]] = {}
    found: list[list[Any]] = []
    for row in rows:
        connection = int(row["connection_id"])
        if row["command"] == NEGOTIATE or connection not in current:
            current[connection] = []
            found.append(current[connection])
        current[connection].append(row)
    return found


def streams(requests: Iterable[Request]) -> list[dict[int, Request]]:
    """The wire's requests by message id, a table a stream, in the order in which they began."""
    found: defaultdict[int, dict[int, Request]] = defaultdict(dict)
    for request in requests:
        found[request.stream][request.message_id] = request
    return list(found.values())


def match(rows: Rows, wire: Wire) -> Truth:
    """Pair the requests of ``rows`` (events.npy) with those of the wire."""
    truth = Truth()
    requests = np.sort(rows[rows["kind"] == Kind.REQUEST], order="issued_ns")
    sent: list[Any] = []
    for row in requests:
        (truth.never_sent if row["outcome"] == Outcome.SEND_FAILED else sent).append(row)
    by_connection, by_stream = generations(sent), streams(wire.requests)
    check(
        "every generation of a connection is a TCP stream",
        len(by_connection) == len(by_stream),
        f"{len(by_connection)} generations, {len(by_stream)} streams",
    )
    for number, generation in enumerate(by_connection):
        stream = by_stream[number] if number < len(by_stream) else {}
        for row in generation:
            request = stream.get(int(row["message_id"]))
            if request is not None and request.command == row["command"]:
                del stream[request.message_id]
                truth.pairs.append(Pair(row, request))
            else:
                truth.only_recorded.append(row)
    truth.only_on_wire = [request for stream in by_stream for request in stream.values()]
    return truth


def described(row: Any) -> str:
    """A recorded request in a line."""
    return (
        f"{command_name(int(row['command']))} connection {row['connection_id']} "
        f"mid {row['message_id']} outcome {Outcome(row['outcome']).name} "
        f"state 0x{row['mid_state']:02x} flags {row['flags']} mid_flags {row['mid_flags']} "
        f"status 0x{row['status']:08x} {status_name(int(row['status']))} "
        f"comm {row['comm'].decode()} pid {row['pid']}"
    )


def print_table(truth: Truth, wire: Wire) -> None:
    """Per command: counts, outcomes, and how much longer the agent's interval is."""
    on_wire = Counter(request.command for request in wire.requests)
    recorded: Counter[int] = Counter(int(pair.row["command"]) for pair in truth.pairs)
    recorded.update(int(row["command"]) for row in truth.only_recorded)
    never = Counter(int(row["command"]) for row in truth.never_sent)
    failing = Counter(pair.request.command for pair in truth.pairs if pair.request.status)
    print(
        f"{'command':22} {'wire':>6} {'rec.':>6} {'unsent':>6} {'failed':>6} {'multi':>6} "
        f"| one segment: {'n':>5} {'wire us':>8} {'median +us':>10} {'p99 +us':>9}"
    )
    for command in sorted(on_wire | recorded | never):
        pairs = [pair for pair in truth.pairs if pair.request.command == command]
        multi = sum(not pair.request.one_segment for pair in pairs)
        excess = excess_us(pairs)
        line = (
            f"{command_name(command):22} {on_wire[command]:6} {recorded[command]:6} "
            f"{never[command]:6} {failing[command]:6} {multi:6} "
        )
        if len(excess):
            took = np.median([pair.request.wire_ns for pair in pairs]) / 1e3
            line += (
                f"| {'':12} {len(excess):5} {took:8.0f} {np.median(excess):10.0f} "
                f"{np.percentile(excess, 99):9.0f}"
            )
        print(line)
    print(
        f"{'all':22} {on_wire.total():6} {recorded.total():6} {never.total():6}; "
        f"CANCEL on the wire {wire.cancels}, unsolicited {wire.unsolicited}",
        flush=True,
    )


def excess_us(pairs: Iterable[Pair], allowed: float = 0) -> Any:
    """Shape (N,), float: :attr:`Pair.excess_ns` of answered one-segment requests, in us.

    ``allowed`` is the part of the wire's time to be taken off.
    """
    return np.array(
        [
            (pair.excess_ns - allowed * pair.request.wire_ns) / 1e3
            for pair in pairs
            if pair.request.one_segment and pair.request.answered_ns and pair.is_timed
        ]
    )


def _list(what: str, lines: Sequence[str], at_most: int = 20) -> None:
    if lines:
        print(f"{what}: {len(lines)}")
        for line in lines[:at_most]:
            print(f"    {line}", flush=True)


def report(truth: Truth, wire: Wire) -> None:
    """Check counts, statuses and intervals; list whatever is not as it should be."""
    unanswered = [p for p in truth.pairs if p.row["outcome"] != Outcome.ANSWERED]
    unseen = [p for p in truth.pairs if p.row["flags"] & Flag.STATUS_UNSEEN]
    answered = [
        p
        for p in truth.pairs
        if p.row["outcome"] == Outcome.ANSWERED and not p.row["flags"] & Flag.STATUS_UNSEEN
    ]
    rebuilt = [p for p in truth.pairs if p.row["flags"] & Flag.REBUILT]
    _list("recorded, not on the wire", [described(row) for row in truth.only_recorded])
    _list("on the wire, not recorded", [str(request) for request in truth.only_on_wire])
    _list("never sent", [described(row) for row in truth.never_sent])
    _list("not answered", [f"{described(p.row)}; wire {p.request}" for p in unanswered])
    _list("response not seen", [f"{described(p.row)}; wire {p.request}" for p in unseen])
    _list("rebuilt", [f"{described(p.row)}; wire {p.request}" for p in rebuilt])
    check(
        "per command, what was recorded equals the wire",
        not truth.only_recorded and not truth.only_on_wire,
        f"{len(truth.pairs)} of {len(wire.requests)}",
    )
    wrong = [p for p in answered if p.request.status != int(p.row["status"])]
    _list("other status", [f"{described(p.row)}; wire {p.request}" for p in wrong])
    check("every answered request's status is the wire's", not wrong, f"{len(answered)} answered")
    timeless = [
        p for p in answered if not p.row["received_ns"] and not p.row["flags"] & Flag.REBUILT
    ]
    _list("answered, never received", [f"{described(p.row)}; wire {p.request}" for p in timeless])
    check("every answered request has its time of receipt", not timeless)
    backwards = [
        p
        for p in truth.pairs
        if not 0 < p.row["issued_ns"] <= (p.row["received_ns"] or p.row["released_ns"])
        or not p.row["received_ns"] <= p.row["released_ns"]
    ]
    _list("times out of order", [described(p.row) for p in backwards])
    check("issued <= received <= released", not backwards)
    differing = [
        p
        for p in truth.pairs
        if p.request.smb2_time_ns is not None
        and abs(p.request.smb2_time_ns - p.request.wire_ns) > 1
    ]
    check("frame times and smb2.time agree", not differing, [p.request for p in differing[:3]])
    short = [p for p in answered if p.is_timed and p.excess_ns < 0]
    _list(
        "shorter than smb2.time",
        [f"{p.excess_ns} ns: {described(p.row)}; {p.request}" for p in short],
    )
    least = min((p.excess_ns for p in answered if p.is_timed), default=0)
    check("received - issued is never below smb2.time", not short, f"least excess {least} ns")
    interim = [p for p in answered if p.request.interim != bool(p.row["flags"] & 1)]
    _list("interim flag differs", [f"{described(p.row)}; wire {p.request}" for p in interim])
    check("an interim response is flagged, and nothing else", not interim)
    sessions = [
        p
        for p in truth.pairs
        if p.request.session_id and p.request.session_id != int(p.row["session_id"])
    ]
    _list("other session", [f"{described(p.row)}; wire {p.request}" for p in sessions])
    check("every session id is the wire's", not sessions)
