# SPDX-License-Identifier: MIT
"""``connection``: reconnects and other trouble of a server connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aodasync.config.anomalies.anomaly_type import AnomalyType, Given, acceptable_count

__all__ = ["CONNECTION", "ConnectionAnomaly"]


@dataclass(frozen=True, slots=True)
class ConnectionAnomaly:
    """Reconnects and other trouble of a connection; ``acceptable_count`` are enough to fire."""

    name: str
    acceptable_count: int
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "connection"


def _make(given: Given) -> ConnectionAnomaly:
    return ConnectionAnomaly(acceptable_count=given.acceptable_count, **given.common)


CONNECTION: Final = AnomalyType(
    help="connections that are lost",
    make=_make,
    settings=(acceptable_count(1),),
    on_by_default=True,
)
