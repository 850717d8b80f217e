# SPDX-License-Identifier: MIT
"""What made requests slow that ended."""

from __future__ import annotations

from typing import Final

from aodasync.evidence.model import Symptom
from aodasync.verdict.figures import Figures
from aodasync.verdict.phases import Phases
from aodasync.verdict.rules.rule import (
    FEW_SEGMENTS,
    HALF,
    RuleTable,
    lossless,
    short_of_cpu,
    short_of_memory,
)

__all__ = ["LATENCY_RULES", "long_round_trips", "too_few_lost"]

LATENCY_RULES: Final = RuleTable()

# A delayed acknowledgement of a slow response looks like a round trip of up to 40 ms.
_DELAYED_ACK_MS: Final = 60.0
_MANY: Final = 10
_LASTING: Final = 3
_BEHIND_EACH: Final = 4


@LATENCY_RULES.rule(
    "segments lost",
    cause="network",
    confidence="high",
    sentence="The network loses packets: {strayed} meanwhile.",
    refuted_by="nstat TcpRetransSegs: it rises as fast while requests are quick",
)
def _lossy(f: Figures) -> bool:
    if f.symptom == Symptom.STATUS or f.tcp is None or f.tcp.lost < 1:
        return False
    # A round trip that grows at once beyond the timer costs each socket a needless one.
    spurious = f.tcp.lost <= max(1, f.tcp.sockets) and f.tcp.backoff <= 1
    return not (spurious and long_round_trips(f)) and not too_few_lost(f)


def too_few_lost(f: Figures) -> bool:
    """Whether more requests were slow, and for longer, than the lost segments can have delayed.

    A lost segment delays what is on its way then: that arrives at once, and what comes later
    is quick again.
    """
    if f.phases is None or f.tcp is None or f.tcp.lost <= 0:
        return False
    lasts = f.phases.slow_for_ms >= _LASTING * f.phases.most_wire_ms
    alike = f.phases.least_wire_ms >= HALF * f.phases.most_wire_ms
    everything = f.phases.quarter_wire_ms >= HALF * f.phases.wire_ms
    steady = lasts and alike and everything
    few = f.tcp.lost < FEW_SEGMENTS or _delayed_at_most(f.phases, f.tcp.lost) <= f.phases.slow
    return f.tcp.backoff <= 1 and f.phases.slow >= _MANY and steady and few


def _delayed_at_most(phases: Phases, lost: float) -> float:
    """How many requests so many segments delay: some times what is on its way at a time."""
    at_once = phases.slow * phases.wire_ms / max(phases.slow_for_ms, phases.wire_ms)
    return _BEHIND_EACH * lost * max(1.0, at_once)


@LATENCY_RULES.rule(
    "long round trips",
    cause="network",
    confidence="high",
    sentence="The network is slow: a round trip takes {tcp_rtt_ms} ms, {tcp_usual_rtt_ms} ms"
    " before.",
    refuted_by="ping -c 20 {address} while it lasts: round trips are as short as before",
)
def long_round_trips(f: Figures) -> bool:
    """The round trip became longer, enough to explain the latency.

    TCP's figure is smoothed and trails behind. Where a queue builds up, it explains the
    quickest quarter of the requests, if these are slow, too. Where segments were sent again
    that had arrived, an acknowledgement took longer than the retransmission timer: it is
    the server's kernel, not its service, that sends it.
    """
    if f.phases is None or f.tcp is None or f.tcp.usual_rtt_ms is None:
        return False
    usual, risen = f.tcp.usual_rtt_ms, f.tcp.rtt_ms - f.tcp.usual_rtt_ms
    everything = f.phases.quarter_wire_ms >= HALF * f.tcp.rtt_ms
    long = risen >= _DELAYED_ACK_MS
    all_of_it = risen >= HALF * (f.phases.wire_ms - f.phases.usual_wire_ms)
    quickest = risen >= HALF * (f.phases.quarter_wire_ms - f.phases.usual_wire_ms)
    late = f.tcp.needless > 0 and f.tcp.lost < 1
    explains = all_of_it and (long or everything)
    explains = explains or ((quickest or late) and long and everything)
    return f.tcp.rtt_ms >= 3 * usual and explains


@LATENCY_RULES.rule(
    "long way to the server",
    cause="network",
    confidence="medium",
    sentence="The way to the server is long: a round trip takes {tcp_rtt_ms} ms (before:"
    " {usual_round_trip}), which is most of the {wire_ms} ms that an answer takes.",
    refuted_by="ping -c 20 {address} while it lasts: round trips are much shorter",
)
def _far_away(f: Figures) -> bool:
    """It did not become three times as long, or that is not known, but it is most of the time."""
    if f.phases is None or f.tcp is None or not lossless(f):
        return False
    return f.tcp.rtt_ms >= max(_DELAYED_ACK_MS, HALF * f.phases.wire_ms)


@LATENCY_RULES.rule(
    "short of memory",
    cause="client",
    confidence="low",
    sentence="This host is short of memory ({memory} of the time, {memory_before} before), and"
    " nothing points to the network.",
    refuted_by="on the server: iostat -x 1 5 and its own latency figures are as bad",
)
def _only_short_of_memory(f: Figures) -> bool:
    return short_of_memory(f) and not (f.phases is not None and lossless(f))


@LATENCY_RULES.rule(
    "short of CPU",
    cause="client",
    confidence="low",
    sentence="This host is short of CPU ({cpu} of the time, {cpu_before} before), and nothing"
    " points to the network.",
    refuted_by="on the server: iostat -x 1 5 and its own latency figures are as bad",
)
def _only_short_of_cpu(f: Figures) -> bool:
    return short_of_cpu(f)


@LATENCY_RULES.rule(
    "slow to answer",
    cause="server",
    confidence="high",
    sentence="The server is slow: it took {wire_ms} ms to answer, while the network lost"
    " {segments_lost} and a round trip takes {tcp_rtt_ms} ms.",
    refuted_by="on the server: tcpdump -w smb.pcap tcp port {port} shows that it answered at once",
)
def _server_slow(f: Figures) -> bool:
    return f.phases is not None and _round_trip_known(f) and (lossless(f) or too_few_lost(f))


@LATENCY_RULES.rule(
    "not this client",
    cause="unknown",
    confidence="medium",
    sentence="The network or the server is slow, not this client: answers took {wire_ms} ms,"
    " {usual_wire_ms} ms before. Without TCP's figures the two cannot be distinguished.",
    refuted_by="in the network namespace of the mount: ss -tin dst {peer}",
)
def _answered_late(f: Figures) -> bool:
    return f.phases is not None and not _round_trip_known(f)


def _round_trip_known(f: Figures) -> bool:
    """Not where every socket was seen before or after its connection alone."""
    return f.tcp is not None and f.tcp.rtt_ms > 0
