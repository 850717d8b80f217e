# SPDX-License-Identifier: MIT
"""What this host does not do, though the response has arrived."""

from __future__ import annotations

from typing import Final

from aodasync.verdict.figures import Figures
from aodasync.verdict.rules.rule import (
    HALF,
    SECOND_MS,
    RuleTable,
    short_of_cpu,
    short_of_memory,
)

__all__ = ["CLIENT_RULES"]

CLIENT_RULES: Final = RuleTable()

_UNREAD_BYTES: Final = 128 * 1024
_LATE: Final = 0.2


@CLIENT_RULES.rule(
    "responses not picked up",
    cause="client",
    confidence="high",
    sentence="The responses to {requests_not_picked_up} have arrived, but the waiting threads"
    " have not picked them up.",
    refuted_by="stacks.log: the waiting threads are in wait_for_response",
)
def _not_picked_up(f: Figures) -> bool:
    return f.not_picked_up > f.unanswered


@CLIENT_RULES.rule(
    "responses not read",
    cause="client",
    confidence="high",
    sentence="{unread_kb} KB of responses wait in this host's own socket: its receiving thread"
    " (cifsd) does not read them.",
    refuted_by="ss -tn dst {peer}: Recv-Q is 0 while requests wait",
)
def _not_read(f: Figures) -> bool:
    # A stream always has some unread, and much of it; while answers come, it is read.
    if f.tcp is None or f.unanswered == 0 or f.answered_lately > 0:
        return False
    lasting = f.tcp.still_unread_bytes > 0 and f.tcp.unread_for_ms >= 2 * SECOND_MS
    return f.tcp.still_unread_bytes >= _UNREAD_BYTES or (lasting and f.answered_since == 0)


@CLIENT_RULES.rule(
    "responses read late",
    cause="client",
    confidence="medium",
    sentence="Responses lay unread in this host's own socket for {unread_sec} s: its receiving"
    " thread (cifsd) did not read them.",
    refuted_by="ss -tn dst {peer}: Recv-Q is 0 while requests wait",
)
def _read_late(f: Figures) -> bool:
    if f.phases is None or f.tcp is None or f.phases.others > f.phases.slow:
        return False
    # A stream always has some unread: what was answered within that time was read meanwhile.
    waited = f.phases.most_wire_ms >= HALF * f.tcp.unread_for_ms
    return waited and f.tcp.unread_for_ms >= max(2 * SECOND_MS, HALF * f.phases.wire_ms)


@CLIENT_RULES.rule(
    "stuck inside the client",
    cause="client",
    confidence="medium",
    sentence="{stuck} inside this host's SMB client, and nothing is on its way to"
    " any server: the client itself is stuck (a lock, a page, memory).",
    refuted_by="stacks.log: these threads wait for a response, for credits or for a reconnect",
)
def _stuck_inside(f: Figures) -> bool:
    elsewhere = f.unanswered + f.waiting_for_credits + f.waiting_for_reconnect
    return f.waiting_for_client > 0 and elsewhere == 0


@CLIENT_RULES.rule(
    "picked up late",
    cause="client",
    confidence="high",
    sentence="The responses came in {wire_ms} ms, but the waiting threads picked them up"
    " {client_ms} ms later: this host is too busy.",
    refuted_by="events.npy: released_ns - received_ns of the slow requests is short",
)
def _picked_up_late(f: Figures) -> bool:
    return f.phases is not None and f.phases.client_share >= HALF


@CLIENT_RULES.rule(
    "short of CPU and late",
    cause="client",
    confidence="medium",
    sentence="This host is short of CPU ({cpu} of the time, {cpu_before} before) and handles"
    " responses late.",
    refuted_by="tcpdump.pcap, or a capture: the responses themselves came as late",
)
def _short_of_cpu_and_late(f: Figures) -> bool:
    return short_of_cpu(f) and _is_late(f)


@CLIENT_RULES.rule(
    "short of memory and late",
    cause="client",
    confidence="medium",
    sentence="This host is short of memory ({memory} of the time, {memory_before} before) and"
    " handles responses late.",
    refuted_by="vmstat 1: no swapping, and cat /proc/pressure/memory shows no pressure",
)
def _short_of_memory_and_late(f: Figures) -> bool:
    return short_of_memory(f) and _is_late(f)


def _is_late(f: Figures) -> bool:
    late = f.phases is not None and f.phases.client_share >= _LATE
    unread = f.tcp is not None and f.tcp.unread_bytes > 0
    return late or unread
