# SPDX-License-Identifier: MIT
"""What figures can be signs of: the conditions that the rules of a verdict are made of."""

from __future__ import annotations

from typing import Final

from aodasync.detection.figures import Figures

__all__ = [
    "answered_late",
    "closed",
    "cpu_short",
    "cpu_short_and_late",
    "delivered_unanswered",
    "lossless",
    "lossy",
    "refused",
    "released_late",
    "round_trip",
    "server_slow",
    "silent_before_reconnect",
    "starved_of_credits",
    "stated",
    "undelivered",
    "unreachable",
    "untaken",
    "waits_for_credits",
    "waits_for_reconnect",
    "writeback_lost",
]

# One segment that got lost, or two in a row; after that nothing gets through.
_DEAF: Final = 2
_SILENT_MS: Final = 2000
_LOST_WRITES: Final = {"FLUSH_ERROR", "FSYNC_ERROR"}
_CPU_SHORT: Final = 0.25
_HALF: Final = 0.5
# A delayed acknowledgement of a slow response looks like a round trip of up to 40 ms.
_DELAYED_ACK_MS: Final = 60.0
_REFUSED_BY_SERVER: Final = ("STATUS_", "0x")


def stated(f: Figures) -> bool:
    """Whether the responses themselves carry the error."""
    return any(code.startswith(_REFUSED_BY_SERVER) for code in f.codes)


def untaken(f: Figures) -> bool:
    """Whether more responses wait for their caller than requests for a response."""
    return f.untaken > f.unanswered


def undelivered(f: Figures) -> bool:
    """Whether TCP repeats itself and nobody hears it, however much is lost as a rule."""
    waiting = f.unanswered + f.waiting_for_reconnect + f.waiting_for_credits
    cut_off = f.type == "connection" or f.cut_off_ms >= _SILENT_MS
    return f.type != "error" and _is_deaf(f) and (waiting > 0 or cut_off)


def _is_deaf(f: Figures) -> bool:
    return f.tcp is not None and f.tcp.backoff >= _DEAF


def unreachable(f: Figures) -> bool:
    """Whether attempts to connect came to nothing."""
    return f.type in ("connection", "hang") and f.unreachable > 0


def refused(f: Figures) -> bool:
    """Whether the server's host refused a connection."""
    return f.type in ("connection", "hang", "error") and f.refused > 0


def delivered_unanswered(f: Figures) -> bool:
    """Whether requests wait though TCP had to repeat none of them."""
    return f.unanswered > 0 and f.tcp is not None and f.tcp.sockets > 0 and lossless(f)


def starved_of_credits(f: Figures) -> bool:
    """Whether the server withholds credits."""
    return f.type == "connection" and f.starved > 0


def waits_for_reconnect(f: Figures) -> bool:
    """Whether operations wait for a reconnect; until it is done there are no credits either."""
    return f.waiting_for_reconnect > 0 or (f.waiting_for_credits > 0 and f.reconnects > 0)


def waits_for_credits(f: Figures) -> bool:
    """Whether operations wait for credits on a connection that stands."""
    return f.waiting_for_credits > 0


def silent_before_reconnect(f: Figures) -> bool:
    """Whether requests had waited long, over a sound network, before they were cut off."""
    return f.type != "error" and lossless(f) and f.cut_off_ms >= _SILENT_MS


def writeback_lost(f: Figures) -> bool:
    """Whether all there is are writes that the server did not take, over a sound network."""
    return bool(f.codes) and set(f.codes) <= _LOST_WRITES and lossless(f)


def closed(f: Figures) -> bool:
    """Whether a connection ended without any loss before."""
    return f.type == "connection" and lossless(f) and bool(f.reconnects or "RECONNECT" in f.codes)


def released_late(f: Figures) -> bool:
    """Whether most of the time passed after the response had come."""
    return f.phases is not None and f.phases.client_share >= _HALF


def cpu_short(f: Figures) -> bool:
    """Whether tasks wait for a CPU, clearly more than before."""
    return f.cpu.share is not None and f.cpu.share >= _HALF and f.cpu.risen >= _CPU_SHORT


def cpu_short_and_late(f: Figures) -> bool:
    """Whether besides responses are handled late."""
    late = f.phases is not None and f.phases.client_share >= 0.2
    unread = f.tcp is not None and f.tcp.unread_bytes > 0
    return cpu_short(f) and (late or unread)


def lossy(f: Figures) -> bool:
    """Whether segments were lost while requests suffered."""
    return f.type != "error" and f.tcp is not None and f.tcp.lost >= 1


def round_trip(f: Figures) -> bool:
    """Whether the round trip became longer, enough to explain the latency.

    Where a queue builds up, TCP's smoothed figure trails behind: it explains the
    quickest quarter of the requests, if these are slow, too.
    """
    if f.phases is None or f.tcp is None or f.tcp.usual_rtt_ms is None:
        return False
    usual, risen = f.tcp.usual_rtt_ms, f.tcp.rtt_ms - f.tcp.usual_rtt_ms
    everything = f.phases.quarter_wire_ms >= _HALF * f.tcp.rtt_ms
    long = risen >= _DELAYED_ACK_MS
    all_of_it = risen >= _HALF * (f.phases.wire_ms - f.phases.usual_wire_ms)
    quickest = risen >= _HALF * (f.phases.quarter_wire_ms - f.phases.usual_wire_ms)
    explains = (all_of_it and (long or everything)) or (quickest and long and everything)
    return f.tcp.rtt_ms >= 3 * usual and explains


def lossless(f: Figures) -> bool:
    """Whether TCP is known, and lost no more than usual."""
    return f.tcp is not None and f.tcp.lost == 0 and not _is_deaf(f)


def server_slow(f: Figures) -> bool:
    """Whether requests were slow over a sound network."""
    return f.phases is not None and lossless(f)


def answered_late(f: Figures) -> bool:
    """Whether requests were slow before their response came, and TCP is not known."""
    return f.phases is not None and f.tcp is None
