# SPDX-License-Identifier: MIT
"""``drift``: a server whose latency leaves the band that was learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aodasync.config.anomalies.anomaly_type import AnomalyType, Given

__all__ = ["DRIFT", "DriftAnomaly"]


@dataclass(frozen=True, slots=True)
class DriftAnomaly:
    """A server that leaves the band it has been in."""

    name: str
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "drift"


def _make(given: Given) -> DriftAnomaly:
    return DriftAnomaly(**given.common)


DRIFT: Final = AnomalyType(
    help="servers that are slower than usual",
    make=_make,
    on_by_default=True,
)
