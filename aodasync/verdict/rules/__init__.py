# SPDX-License-Identifier: MIT
"""The rules of a verdict, each with its condition: the first one that holds decides.

The order matters: what proves more stands first (what the server says itself; a response
that its thread has not picked up, which proves the client; what TCP could not deliver, which
proves the network), and the server is what is left when client and network are known to do
their part.
"""

from __future__ import annotations

from typing import Final

from aodasync.verdict.rules.answers import ANSWER_RULES
from aodasync.verdict.rules.client import CLIENT_RULES
from aodasync.verdict.rules.connecting import CONNECTING_RULES
from aodasync.verdict.rules.connection import CONNECTION_RULES, LOCKED, LOST, LOST_WRITES, REFUSED
from aodasync.verdict.rules.doubts import DOUBTS
from aodasync.verdict.rules.latency import LATENCY_RULES
from aodasync.verdict.rules.rule import Doubt, Rule
from aodasync.verdict.rules.status import STATUS_RULES

__all__ = [
    "DOUBTS",
    "LOCKED",
    "LOST",
    "LOST_WRITES",
    "REFUSED",
    "RULES",
    "UNKNOWN",
    "Doubt",
    "Rule",
]

RULES: Final = (
    *STATUS_RULES.rules,
    *ANSWER_RULES.rules,
    *CLIENT_RULES.rules,
    *CONNECTING_RULES.rules,
    *CONNECTION_RULES.rules,
    *LATENCY_RULES.rules,
)

UNKNOWN: Final = Rule(
    "nothing decides",
    "unknown",
    "low",
    "The figures do not separate server, network and client.",
    "",
    lambda _: True,
)
