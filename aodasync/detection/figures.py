# SPDX-License-Identifier: MIT
"""The figures that a verdict rests on, out of the recorded requests and the samples around them."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.patience import may_wait
from aodasync.detection.tcp_figures import Pressure, TcpFigures, pressure, tcp_figures
from aodasync.events import EventArray, Kind, Outcome
from aodasync.evidence import Connection, Finding, Sample
from aodasync.ranks import median, quantile
from aodasync.smb.commands import COMMAND_CODES

__all__ = ["Figures", "Phases", "figures_of"]

_MS: Final = 1e6
_UNANSWERED_NS: Final = 500_000_000
_SLACK_NS: Final = 2_000_000_000  # what led to a trouble may be released after it
_UNREACHABLE: Final = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
)


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the time of requests went: medians in ms.

    ``wire_ms`` is issued to received (server and network), ``client_ms`` received
    to released, ``usual_wire_ms`` of the requests before the episode. A quarter
    of all requests during it took at most ``quarter_wire_ms``.
    """

    slow: int
    wire_ms: float
    client_ms: float
    usual_wire_ms: float
    quarter_wire_ms: float

    @property
    def client_share(self) -> float:
        """Share of the time after the response had arrived."""
        return self.client_ms / ((self.wire_ms + self.client_ms) or 1.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the rules look at. ``phases`` and ``tcp`` are None where nothing is known.

    ``unanswered`` requests wait for a response for half a second or more, the oldest
    for ``oldest_ms``; ``untaken`` got one during the episode that their caller has not
    taken for as long; ``cut_off_ms`` is the age of the oldest request that a reconnect
    cut off; ``starved`` counts troubles with credits; ``waiting_for_credits`` and
    ``waiting_for_reconnect`` operations have no request on its way.
    """

    type: str
    server: str
    count: int
    codes: tuple[str, ...]
    unanswered: int
    untaken: int
    oldest_ms: float
    reconnects: int
    cut_off_ms: float
    refused: int
    unreachable: int
    starved: int
    waiting_for_credits: int
    waiting_for_reconnect: int
    phases: Phases | None
    tcp: TcpFigures | None
    cpu: Pressure
    io: Pressure
    memory: Pressure

    def as_evidence(self) -> dict[str, Any]:
        """As plain values, ``tcp_rtt_ms`` and the like; what is not known is left out."""
        evidence: dict[str, Any] = {}
        for name, value in asdict(self).items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, figure in parts.items():
                key = part if name == "phases" else f"{name}_{part}".rstrip("_")
                evidence[key] = round(figure, 3) if isinstance(figure, float) else figure
        return {key: figure for key, figure in evidence.items() if figure is not None}


def figures_of(
    finding: Finding,
    *,
    rows: EventArray,
    in_flight: EventArray,
    connections: Mapping[int, Connection],
    samples: Sequence[Sample],
    later: Sample | None,
    now_ns: int,
) -> Figures:
    """The figures of the finding's server; rows and requests in flight have shape (N,).

    ``samples`` end with that of the decision at ``now_ns``, ``later`` was taken
    when the evidence had been collected.
    """
    own = {i: c for i, c in connections.items() if (c.server or c.address) == finding.server}
    ids = np.array(sorted(own), np.uint64)
    mine = rows[np.isin(rows["connection_id"], ids)]
    waiting = in_flight[np.isin(in_flight["connection_id"], ids)]
    waiting = waiting[~may_wait(waiting)]
    received_ns = waiting["received_ns"].astype(np.int64)
    age_ns = now_ns - waiting["issued_ns"].astype(np.int64)[received_ns == 0]
    recent = mine[mine["released_ns"].astype(np.int64) >= finding.first_ns - _SLACK_NS]
    cut_off = recent[recent["outcome"] == Outcome.RETRY]
    begin_ns = _beginning(finding, cut_off)
    peers = {(c.address, c.port) for c in own.values()}
    series = [*samples, later] if later is not None else list(samples)
    connect = recent[recent["kind"] == Kind.CONNECT_ERROR]["status"].tolist()
    kinds = recent["kind"]
    return Figures(
        type=finding.type,
        server=finding.server,
        count=finding.count,
        codes=finding.codes,
        unanswered=int(np.count_nonzero(age_ns >= _UNANSWERED_NS)),
        untaken=_untaken(received_ns[received_ns != 0], begin_ns, now_ns),
        oldest_ms=float(age_ns.max(initial=0)) / _MS,
        reconnects=int(np.count_nonzero(kinds == Kind.RECONNECT)),
        cut_off_ms=float(_latency(cut_off).max(initial=0)) / _MS,
        refused=sum(code == errno.ECONNREFUSED for code in connect),
        unreachable=sum(code in _UNREACHABLE for code in connect),
        starved=int(
            np.isin(kinds, [Kind.CREDIT_TIMEOUT, Kind.INSUFFICIENT_CREDITS]).sum(),
        ),
        waiting_for_credits=sum(s.waits_for == "credits" for s in finding.stalls),
        waiting_for_reconnect=sum(s.waits_for == "reconnect" for s in finding.stalls),
        phases=_phases(finding, mine, begin_ns),
        tcp=tcp_figures(series, peers, begin_ns) if series else None,
        # The agent's own collecting is no evidence: up to the decision only.
        cpu=pressure(samples, "cpu", begin_ns),
        io=pressure(samples, "io", begin_ns),
        memory=pressure(samples, "memory", begin_ns),
    )


def _untaken(received_ns: npt.NDArray[np.int64], begin_ns: int, now_ns: int) -> int:
    """How many responses of the episode wait for their callers, half a second or longer."""
    late = (received_ns >= begin_ns) & (received_ns <= now_ns - _UNANSWERED_NS)
    return int(np.count_nonzero(late))


def _beginning(finding: Finding, cut_off: EventArray) -> int:
    """When the first request that suffered was issued."""
    begin_ns = finding.first_ns
    if finding.type in ("latency", "drift"):
        begin_ns -= round(finding.max_latency_ms * _MS)
    if finding.type == "connection" and len(cut_off):
        begin_ns = min(begin_ns, int(cut_off["issued_ns"].min()))
    return begin_ns


def _latency(rows: EventArray) -> npt.NDArray[np.int64]:
    latency: npt.NDArray[np.int64] = (rows["released_ns"] - rows["issued_ns"]).astype(np.int64)
    return latency


def _phases(finding: Finding, rows: EventArray, begin_ns: int) -> Phases | None:
    """Phases of the slow requests, against all of that time and those before it."""
    complete = (rows["kind"] == Kind.REQUEST) & (rows["received_ns"] != 0)
    complete &= rows["received_ns"] >= rows["issued_ns"]
    complete &= rows["released_ns"] >= rows["received_ns"]
    named = [COMMAND_CODES[name] for name in finding.commands if name in COMMAND_CODES]
    rows = rows[complete & (~may_wait(rows) | np.isin(rows["command"], named))]
    released = rows["released_ns"].astype(np.int64)
    during = rows[released >= finding.first_ns] if finding.first_ns else rows
    before = rows[released < begin_ns]
    slow = during[_latency(during) >= finding.threshold_ms * _MS]
    if finding.type not in ("latency", "drift", "hang") or len(slow) == 0:
        return None
    wire = _wire(slow)
    return Phases(
        slow=len(slow),
        wire_ms=median(wire) / _MS,
        client_ms=median(_latency(slow) - wire) / _MS,
        usual_wire_ms=median(_wire(before)) / _MS if len(before) else 0.0,
        quarter_wire_ms=quantile(_wire(during), 0.25) / _MS,
    )


def _wire(rows: EventArray) -> npt.NDArray[np.int64]:
    wire: npt.NDArray[np.int64] = (rows["received_ns"] - rows["issued_ns"]).astype(np.int64)
    return wire
