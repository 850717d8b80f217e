# SPDX-License-Identifier: MIT
"""``hang``: a request that stays without a response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aodasync.config.anomalies.anomaly_type import DAY_MS, AnomalyType, Given
from aodasync.config.kinds import Number
from aodasync.config.section import Setting

__all__ = ["HANG", "HangAnomaly"]


@dataclass(frozen=True, slots=True)
class HangAnomaly:
    """A request in flight for longer than ``age_ms``."""

    name: str
    age_ms: float
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "hang"


def _make(given: Given) -> HangAnomaly:
    return HangAnomaly(age_ms=given.values["age_ms"], **given.common)


HANG: Final = AnomalyType(
    help="requests without a response",
    make=_make,
    settings=(
        Setting("age_ms", Number(1, DAY_MS), "A request without a response for so long.", 5000.0),
    ),
    on_by_default=True,
)
