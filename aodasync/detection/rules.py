# SPDX-License-Identifier: MIT
"""The rules of a verdict, as a table: the first one that holds decides.

The order matters: what proves more stands first (a response that waits for its
taker proves the client; what TCP could not deliver proves the network), and the
server is what is left when client and network are known to do their part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aodasync.detection import signs
from aodasync.detection.figures import Figures

__all__ = ["RULES", "UNKNOWN", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: when it holds, and what it says; ``sentence`` is a format over the figures."""

    name: str
    cause: str
    confidence: str
    holds: Callable[[Figures], bool]
    sentence: str
    refuted_by: str


RULES: Final = (
    Rule(
        "stated by the server",
        "server",
        "high",
        signs.stated,
        "The server itself answered {count} requests with {codes}.",
        "the same request from another client succeeds",
    ),
    Rule(
        "responses wait in the client",
        "client",
        "high",
        signs.untaken,
        "The responses to {untaken} requests have arrived, but their callers do not take them.",
        "the stacks of the callers show them waiting for a response",
    ),
    Rule(
        "nothing gets through",
        "network",
        "high",
        signs.undelivered,
        "The network does not deliver: {tcp_retransmits} segments were sent again,"
        " and nothing acknowledges them.",
        "a capture at the server shows that it received the requests",
    ),
    Rule(
        "connection refused",
        "server",
        "high",
        signs.refused,
        "The server's host is up but refuses connections: its SMB service does not run.",
        "a firewall answers in the server's place",
    ),
    Rule(
        "no route to the server",
        "network",
        "medium",
        signs.unreachable,
        "The server cannot be reached: {unreachable} attempts to connect failed.",
        "the server was switched off",
    ),
    Rule(
        "taken late",
        "client",
        "high",
        signs.released_late,
        "The responses came in {wire_ms} ms, but their callers took them {client_ms} ms later:"
        " this host is too busy.",
        "the phases of the slow requests in events.npy",
    ),
    Rule(
        "short of CPU and late",
        "client",
        "medium",
        signs.cpu_short_and_late,
        "This host is short of CPU ({cpu} of the time, {cpu_before} before) and handles responses"
        " late.",
        "a capture shows that the responses came as late",
    ),
    Rule(
        "acknowledged but not answered",
        "server",
        "high",
        signs.delivered_unanswered,
        "The server's host acknowledges what it is sent, but its SMB service does not answer:"
        " {unanswered} requests wait, the oldest for {oldest_sec} s.",
        "the server logs the requests as answered",
    ),
    Rule(
        "writes refused late",
        "server",
        "medium",
        signs.writeback_lost,
        "Data that programs had written before was lost: the server did not take it when it was"
        " written back.",
        "the WRITE requests before it in events.npy succeeded",
    ),
    Rule(
        "no credits",
        "server",
        "medium",
        signs.starved_of_credits,
        "The server grants too few credits: the client may not send what it wants to.",
        "the credits in DebugData are many",
    ),
    Rule(
        "silent before the reconnect",
        "server",
        "medium",
        signs.silent_before_reconnect,
        "The server did not answer for {cut_off_sec} s, though its host acknowledged everything;"
        " the client connected anew.",
        "retransmissions on the old connection",
    ),
    Rule(
        "closed by the server",
        "server",
        "medium",
        signs.closed,
        "The connection was ended from outside without any loss before: the server closed it,"
        " or was restarted.",
        "a capture shows that a device between the two reset it",
    ),
    Rule(
        "waits for a reconnect",
        "unknown",
        "medium",
        signs.waits_for_reconnect,
        "{waiting} operations wait for a reconnect to {server}; none of their requests is on its"
        " way.",
        "the stacks of their threads show another wait",
    ),
    Rule(
        "waits for credits",
        "server",
        "medium",
        signs.waits_for_credits,
        "{waiting} operations wait until {server} grants credits; none of their requests is on its"
        " way.",
        "the credits in DebugData are many",
    ),
    Rule(
        "segments lost",
        "network",
        "high",
        signs.lossy,
        "The network loses packets: {tcp_retransmits} segments were sent again and"
        " {tcp_out_of_order} came out of order meanwhile.",
        "an equal rate of loss while requests are fast",
    ),
    Rule(
        "long round trips",
        "network",
        "high",
        signs.round_trip,
        "The network is slow: a round trip takes {tcp_rtt_ms} ms, {tcp_usual_rtt_ms} ms before.",
        "ping to the server shows short round trips",
    ),
    Rule(
        "short of CPU",
        "client",
        "low",
        signs.cpu_short,
        "This host is short of CPU ({cpu} of the time, {cpu_before} before), and nothing speaks"
        " against the network.",
        "the server's own latency figures are as bad",
    ),
    Rule(
        "slow to answer",
        "server",
        "high",
        signs.server_slow,
        "The server is slow: it took {wire_ms} ms to answer, while the network lost nothing and"
        " a round trip takes {tcp_rtt_ms} ms.",
        "a capture at the server shows that it answered at once",
    ),
    Rule(
        "not this client",
        "unknown",
        "medium",
        signs.answered_late,
        "The network or the server is slow, not this client: answers took {wire_ms} ms,"
        " {usual_wire_ms} ms before. Without TCP's figures the two cannot be told apart.",
        "TCP's retransmissions and round trips during the episode",
    ),
)

UNKNOWN: Final = Rule(
    "nothing decides",
    "unknown",
    "low",
    lambda _f: True,
    "What is known does not separate server, network and client.",
    "",
)
