# SPDX-License-Identifier: MIT
"""The figures that a verdict rests on, computed from recorded events and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.long_waits import may_wait
from aodasync.detection.trouble_rows import SESSION_SETUP, WAITED_FOR_BY_NONE
from aodasync.events import NS_PER_MS, REQUEST, RETRY, EventArray, Kind, Outcome, latency_ns, pick
from aodasync.evidence.arrays import is_in
from aodasync.evidence.model import Connection, Finding, Sample, Symptom
from aodasync.smb.commands import SMB_PORT
from aodasync.verdict.concerned import waited_for
from aodasync.verdict.lost_data import data_lost
from aodasync.verdict.phases import Phases, phases_of
from aodasync.verdict.stated import Stated, stated
from aodasync.verdict.tcp_figures import Pressure, TcpFigures, pressure, tcp_figures
from aodasync.verdict.waiting import (
    LARGE_ANSWERS,
    answered_lately,
    answered_since,
    behind_large,
    number_announced,
    oldest_ms,
    pending_ms,
    still_waiting,
    sufferer,
)

__all__ = ["Figures", "figures_of"]

_UNANSWERED_NS: Final = 500_000_000
_GIVEN_UP: Final = (Outcome.CANCELLED, Outcome.SHUTDOWN)
_OF_CREDITS: Final = (Kind.CREDIT_TIMEOUT, Kind.INSUFFICIENT_CREDITS)
_SLACK_NS: Final = 2_000_000_000  # what led to a trouble may be released after it


@dataclass(frozen=True, slots=True)
class Figures:
    """What the rules compare. ``phases`` and ``tcp`` are None where nothing is known.

    A reconnect that cost no request is ``idle``.
    ``unanswered`` requests wait for a response for half a second or more, the oldest
    for ``oldest_ms``, ``unanswered_logins`` of them are to log in,
    ``unanswered_large`` wait for a response of more than a packet; where
    ``behind_large``, the oldest does, nothing was answered since, and TCP delivers in order;
    ``answered_since`` were answered though issued later, ``answered_lately`` in the last second
    on the same connections, ``answered_elsewhere`` on others; ``announced`` are known as pending;
    ``announced_opens`` wait for another client, or did, the oldest for ``oldest_open_ms``;
    other servers answered ``answered_by_others`` in that second, and ``unanswered_by_others``
    wait for them;
    ``given_up`` ended without a response as their callers, or this host, gave them up;
    ``not_picked_up`` got one during the episode that the waiting thread has not picked up for
    as long; ``cut_off_ms`` is the age of the oldest request that a reconnect cut off;
    ``data_lost`` counts errors of written data, ``credit_troubles`` what went wrong with credits;
    operations ``waiting_for_credits``, ``_for_reconnect`` and ``_for_client`` (for something of
    this host) have no request in flight.
    """

    symptom: Symptom
    server: str
    address: str
    port: int
    count: int
    commands: tuple[str, ...]
    codes: tuple[str, ...]
    idle: bool
    unanswered: int
    answered_by_others: int
    unanswered_by_others: int
    given_up: int
    given_up_ms: float
    unanswered_logins: int
    unanswered_large: int
    behind_large: bool
    answered_lately: int
    answered_elsewhere: int
    answered_since: int
    announced: int
    not_picked_up: int
    announced_opens: int
    oldest_open_ms: float
    oldest_ms: float
    reconnects: int
    cut_off_ms: float
    stated: Stated
    data_lost: int
    credit_troubles: int
    waiting_for_credits: int
    waiting_for_client: int
    waiting_for_reconnect: int
    phases: Phases | None
    tcp: TcpFigures | None
    cpu: Pressure
    io: Pressure
    memory: Pressure

    def as_evidence(self) -> dict[str, Any]:
        """As plain values by name (``tcp_rtt_ms``); unknown ones are left out."""
        evidence: dict[str, Any] = {}
        for name, value in asdict(self).items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, figure in parts.items():
                key = part if name in ("phases", "stated") else f"{name}_{part}".rstrip("_")
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
    """The figures of the finding's connections; rows and requests in flight have shape (N,).

    ``samples`` end with that of the decision at ``now_ns``, ``later`` was taken
    when the evidence had been collected.
    """
    ids = np.array(finding.connections, np.uint64)
    mine = _of_connections(rows, ids)
    waiting = in_flight[is_in(in_flight["connection_id"], ids)]
    opens_ms = pending_ms(finding, waiting, mine, now_ns)
    waiting = waiting[~may_wait(waiting)]
    received_ns = waiting["received_ns"].astype(np.int64)
    unanswered = _unanswered(waiting, now_ns)
    recent = pick(mine, mine["released_ns"].astype(np.int64) >= finding.first_ns - _SLACK_NS)
    cut_off = pick(recent, recent["outcome"] == RETRY)
    unanswered = still_waiting(finding, unanswered, cut_off)
    begin_ns = _beginning(finding, cut_off)
    own = [connections[i] for i in finding.connections if i in connections]
    worst = connections.get(sufferer(finding, unanswered, recent) or 0)
    worst = worst or next(iter(own), None)
    peers = {(c.address, c.port, c.netns) for c in own}
    lately, elsewhere = answered_lately(unanswered, mine, now_ns)
    everywhere = sum(answered_lately(unanswered, rows, now_ns))
    given_up = pick(recent, is_in(recent["outcome"], _GIVEN_UP) & waited_for(finding, recent))
    others = in_flight[~is_in(in_flight["connection_id"], ids)]
    series = [*samples, later] if later is not None else list(samples)
    kinds = recent["kind"]
    return Figures(
        symptom=finding.symptom,
        server=finding.server,
        address=worst.address if worst else "",
        port=(worst.port if worst else 0) or SMB_PORT,
        count=finding.count,
        commands=finding.commands,
        codes=finding.codes,
        # What it cut off may have ended only after the decision.
        idle=finding.idle and bool(is_in(cut_off["command"], WAITED_FOR_BY_NONE).all()),
        unanswered=len(unanswered),
        answered_by_others=everywhere - lately - elsewhere,
        unanswered_by_others=len(_unanswered(others, now_ns)),
        given_up=len(given_up),
        given_up_ms=float(latency_ns(given_up).max(initial=0)) / NS_PER_MS,
        unanswered_logins=int((unanswered["command"] <= SESSION_SETUP).sum()),
        unanswered_large=int(is_in(unanswered["command"], LARGE_ANSWERS).sum()),
        behind_large=behind_large(unanswered if len(unanswered) else cut_off, mine),
        answered_lately=lately,
        answered_elsewhere=elsewhere,
        answered_since=answered_since(unanswered, mine, now_ns),
        announced=number_announced(unanswered),
        not_picked_up=_not_picked_up(received_ns[received_ns != 0], begin_ns, now_ns),
        announced_opens=len(opens_ms),
        oldest_open_ms=float(opens_ms.max(initial=0)),
        oldest_ms=oldest_ms(unanswered, now_ns),
        reconnects=int(np.count_nonzero(kinds == Kind.RECONNECT)),
        cut_off_ms=float(latency_ns(cut_off).max(initial=0)) / NS_PER_MS,
        stated=stated(mine, recent, finding.first_ns, finding.codes),
        data_lost=len(data_lost(rows, ids, finding.first_ns)),
        credit_troubles=int(is_in(kinds, _OF_CREDITS).sum()),
        waiting_for_client=sum(s.waits_for == "client" for s in finding.stalls),
        waiting_for_credits=sum(s.waits_for == "credits" for s in finding.stalls),
        waiting_for_reconnect=sum(s.waits_for == "reconnect" for s in finding.stalls),
        phases=phases_of(finding, mine, begin_ns),
        tcp=tcp_figures(series, peers, begin_ns) if series else None,
        # The agent's own collecting is no evidence: up to the decision only.
        cpu=pressure(samples, "cpu", begin_ns),
        io=pressure(samples, "io", begin_ns),
        memory=pressure(samples, "memory", begin_ns),
    )


def _of_connections(rows: EventArray, ids: npt.NDArray[np.uint64]) -> EventArray:
    """The rows of these connections; a trouble that names a session alone is that session's."""
    mine = is_in(rows["connection_id"], ids)
    sessions = rows["session_id"][mine & (rows["session_id"] != 0)]
    alone = (rows["kind"] != REQUEST) & (rows["connection_id"] == 0)
    return pick(rows, mine | (alone & is_in(rows["session_id"], sessions)))


def _unanswered(waiting: EventArray, now_ns: int) -> EventArray:
    """Those of the requests in flight that wait for a response for half a second or longer."""
    old = now_ns - waiting["issued_ns"].astype(np.int64) >= _UNANSWERED_NS
    found: EventArray = waiting[old & (waiting["received_ns"] == 0) & ~may_wait(waiting)]
    return found


def _not_picked_up(received_ns: npt.NDArray[np.int64], begin_ns: int, now_ns: int) -> int:
    """How many responses of the episode were not picked up for half a second or longer."""
    late = (received_ns >= begin_ns) & (received_ns <= now_ns - _UNANSWERED_NS)
    return int(np.count_nonzero(late))


def _beginning(finding: Finding, cut_off: EventArray) -> int:
    """When the first request that suffered was issued."""
    begin_ns = finding.first_ns
    if finding.symptom == Symptom.SLOW:
        begin_ns -= round(finding.max_latency_ms * NS_PER_MS)
    if finding.symptom == Symptom.CONNECTION and len(cut_off):
        begin_ns = min(begin_ns, int(cut_off["issued_ns"].min()))
    return begin_ns
