# SPDX-License-Identifier: MIT
"""What makes a verdict less certain: another cause that the figures do not exclude."""

from __future__ import annotations

from typing import Final

from aodasync.verdict.figures import Figures
from aodasync.verdict.rules.latency import too_few_lost
from aodasync.verdict.rules.rule import FEW_SEGMENTS, HALF, Doubt, short_of_cpu, short_of_memory

__all__ = ["DOUBTS"]

_SERVER: Final = frozenset(
    {
        "acknowledged but not answered",
        "announced but not done",
        "login not answered",
        "silent before the reconnect",
        "slow to answer",
    }
)
_IO_RISEN: Final = 0.25
_CLIENT_SHARE: Final = 0.1
_PART: Final = 0.3
_LEAST_RISE_MS: Final = 5.0
_SENT_AGAIN_MS: Final = 1000.0  # a retransmission timer of 200 ms, doubled twice


def _short_of_io(f: Figures) -> bool:
    """Whether this host's own disks are busy.

    Pressure counts threads that wait for pages of the share as well: alone it says nothing.
    """
    busy = f.io.share is not None and f.io.share >= HALF and f.io.risen >= _IO_RISEN
    late = f.phases is not None and f.phases.client_share >= _CLIENT_SHARE
    return busy and late and not short_of_memory(f)


def _partly_round_trip(f: Figures) -> bool:
    """Whether the round trip's rise explains a good part of that of the latency."""
    if f.phases is None or f.tcp is None or f.tcp.usual_rtt_ms is None:
        return False
    risen = f.tcp.rtt_ms - f.tcp.usual_rtt_ms
    slower = f.phases.wire_ms - f.phases.usual_wire_ms
    return risen >= max(_LEAST_RISE_MS, _PART * slower) and f.tcp.rtt_ms >= 2 * f.tcp.usual_rtt_ms


def _large_answer_lost(f: Figures) -> bool:
    return f.behind_large


def _large_answers_late(f: Figures) -> bool:
    """Whether large answers alone were slow, by far: sent again and again, unseen from here."""
    return f.phases is not None and f.phases.large_alone and f.phases.wire_ms >= _SENT_AGAIN_MS


def _never_connected(f: Figures) -> bool:
    return f.reconnects == 0 and "RECONNECT" not in f.codes


def _was_idle(f: Figures) -> bool:
    return f.idle


def _few_lost(f: Figures) -> bool:
    return f.tcp is not None and 0 < f.tcp.lost < FEW_SEGMENTS and f.tcp.backoff <= 1


def _no_usual_round_trip(f: Figures) -> bool:
    """Whether a part of the latency is a round trip of which nothing is known from before."""
    if f.phases is None or f.tcp is None or f.tcp.usual_rtt_ms is not None:
        return False
    return f.tcp.rtt_ms >= max(_LEAST_RISE_MS, _PART * f.phases.wire_ms)


DOUBTS: Final = (
    Doubt(
        _SERVER,
        "But this host is short of CPU ({cpu} of the time, {cpu_before} before), which may be why.",
        short_of_cpu,
    ),
    Doubt(
        _SERVER,
        "But this host is short of memory ({memory} of the time, {memory_before} before; of I/O"
        " {io}), which may be why.",
        short_of_memory,
    ),
    Doubt(
        _SERVER,
        "But the disks of this host are busy ({io} of the time, {io_before} before).",
        _short_of_io,
    ),
    Doubt(
        _SERVER,
        "But the round trip takes {tcp_rtt_ms} ms instead of {tcp_usual_rtt_ms} ms, which explains"
        " {round_trip_part} of it.",
        _partly_round_trip,
    ),
    Doubt(
        _SERVER,
        "But the first answer that is missing is a large one: packets of its size may be lost on"
        " the way, and all others wait behind it (ping -M do -s {most_bytes} {address}).",
        _large_answer_lost,
    ),
    Doubt(
        frozenset({"slow to answer"}),
        "But large answers alone are late: packets of their size may be lost on the way, which"
        " only the server sees (ping -M do -s {most_bytes} {address}).",
        _large_answers_late,
    ),
    Doubt(
        frozenset({"connection refused"}),
        "But a firewall that refuses looks the same.",
        _never_connected,
    ),
    Doubt(
        frozenset({"closed by the server"}),
        "But nothing was asked of it: a firewall or load balancer that ends idle connections looks"
        " the same.",
        _was_idle,
    ),
    Doubt(
        frozenset({"segments lost"}),
        "But so few may have another reason.",
        _few_lost,
    ),
    Doubt(
        frozenset({"slow to answer"}),
        "But segments were lost, though too few to delay all of them.",
        too_few_lost,
    ),
    Doubt(
        _SERVER,
        "But a round trip takes {tcp_rtt_ms} ms of it, and the usual one is not known.",
        _no_usual_round_trip,
    ),
)
"""Each holds for itself: two of them make a verdict two steps less certain."""
