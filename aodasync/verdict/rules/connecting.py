# SPDX-License-Identifier: MIT
"""What does not get through, and why connecting fails, as the errno of the attempts say."""

from __future__ import annotations

from typing import Final

from aodasync.evidence.model import Symptom
from aodasync.verdict.figures import Figures
from aodasync.verdict.rules.rule import HALF, SILENT_MS, UNHEARD_MS, RuleTable, is_deaf

__all__ = ["CONNECTING_RULES"]

CONNECTING_RULES: Final = RuleTable()


@CONNECTING_RULES.rule(
    "not sent",
    cause="network",
    confidence="medium",
    sentence="This host itself drops what it sends to the server ({tcp_unsent_bytes} bytes wait): a"
    " firewall rule, or the queue of its interface.",
    refuted_by="tcpdump -c 5 -ni any dst host {address}: requests leave this host",
)
def _not_sent(f: Figures) -> bool:
    return f.tcp is not None and f.tcp.unsent_bytes > 0 and _undelivered(f)


@CONNECTING_RULES.rule(
    "nothing gets through",
    cause="network",
    confidence="medium",
    sentence="The network does not deliver: {undelivered}. A server host that is down looks the"
    " same, and so does a firewall of this host.",
    refuted_by="on the server: tcpdump -c 5 tcp port {port} shows that requests arrive",
)
def _undelivered(f: Figures) -> bool:
    waiting = f.unanswered + f.waiting_for_reconnect + f.waiting_for_credits
    cut_off = f.symptom == Symptom.CONNECTION or f.cut_off_ms >= SILENT_MS
    unheard = (
        f.phases is not None
        and f.tcp is not None
        and f.tcp.unheard_ms >= max(UNHEARD_MS, HALF * f.phases.wire_ms)
    )
    return f.symptom != Symptom.STATUS and is_deaf(f) and (waiting > 0 or cut_off or unheard)


@CONNECTING_RULES.rule(
    "connection refused",
    cause="server",
    confidence="high",
    sentence="The server's host is up but refuses connections: its SMB service does not run.",
    refuted_by="on the server: ss -ltn sport = :{port} shows a listener (a firewall refuses)",
)
def _refused(f: Figures) -> bool:
    return f.symptom != Symptom.SLOW and f.stated.refused > 0


@CONNECTING_RULES.rule(
    "no route to the server",
    cause="network",
    confidence="medium",
    sentence="The server cannot be reached: {attempts} to connect failed ({connect_errors}). A"
    " firewall that drops port {port} looks the same.",
    refuted_by="here: nc -vz -w 5 {address} {port} connects",
)
def _unreachable(f: Figures) -> bool:
    return f.symptom in (Symptom.CONNECTION, Symptom.WAITING) and f.stated.unreachable > 0


@CONNECTING_RULES.rule(
    "connecting fails on this host",
    cause="client",
    confidence="medium",
    sentence="This host itself does not connect ({connect_errors}): its own firewall, its source"
    " address, its ports or its memory.",
    refuted_by="here: nc -vz {address} {port} connects",
)
def _not_allowed(f: Figures) -> bool:
    return f.symptom == Symptom.CONNECTION and f.stated.not_allowed > 0


@CONNECTING_RULES.rule(
    "connecting is reset",
    cause="unknown",
    confidence="medium",
    sentence="Connections are reset as soon as they are made ({connect_errors}): by a firewall or a"
    " load balancer between the two, or by a server that does not take this client.",
    refuted_by="here: nc -vz {address} {port} connects and stays connected",
)
def _reset(f: Figures) -> bool:
    return f.symptom == Symptom.CONNECTION and f.stated.reset > 0


@CONNECTING_RULES.rule(
    "connecting fails",
    cause="unknown",
    confidence="low",
    sentence="Attempts to connect to {server} fail: {connect_errors}.",
    refuted_by="here: nc -vz {address} {port} connects",
)
def _not_connected(f: Figures) -> bool:
    return f.symptom == Symptom.CONNECTION and bool(f.stated.connect_errors)
