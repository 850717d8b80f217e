# SPDX-License-Identifier: MIT
"""Which episodes get a bundle: a cool-down for each anomaly and server, and an hourly budget.

Of the budget, one anomaly on one server has half at most, and one server three quarters,
so that what comes and goes on one server leaves bundles for the others. The last quarter is
for what is worst: requests that hang, and written data that is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aodasync.evidence.model import Finding, Symptom

__all__ = ["LOST_DATA", "Budget", "places_of"]

_HOUR_NS: Final = 3_600_000_000_000
_MOST_REMEMBERED: Final = 4096
LOST_DATA: Final = frozenset({"FLUSH_ERROR", "FSYNC_ERROR"})


@dataclass(frozen=True, slots=True)
class _Bundle:
    """One that was asked for: when, and what of."""

    at_ns: int
    anomaly: str
    places: frozenset[int | str]


class Budget:
    """What was spent; times are CLOCK_MONOTONIC in ns."""

    def __init__(self, *, cooldown_ns: Mapping[str, int], max_bundles_per_hour: int) -> None:
        self._cooldown_ns = dict(cooldown_ns)
        self._most = max_bundles_per_hour
        self._bundles: deque[_Bundle] = deque(maxlen=_MOST_REMEMBERED)
        self.suppressed = 0

    def reconfigure(self, *, cooldown_ns: Mapping[str, int], max_bundles_per_hour: int) -> None:
        """Other limits from now on, for what was spent as well."""
        self._cooldown_ns = dict(cooldown_ns)
        self._most = max_bundles_per_hour

    def spend(self, finding: Finding, now_ns: int, *, cooling: bool = True) -> str:
        """Ask for a bundle, also within the cool-down unless ``cooling``.

        Returns why there is none, or nothing.
        """
        places = frozenset(places_of(finding))
        reason = self._reason(finding, places, now_ns, cooling=cooling)
        if reason:
            self.suppressed += 1
        else:
            self._bundles.append(_Bundle(now_ns, finding.anomaly, places))
        return reason

    def _reason(
        self, finding: Finding, places: frozenset[int | str], now_ns: int, *, cooling: bool
    ) -> str:
        cooldown_ns = self._cooldown_ns.get(finding.anomaly, 0)
        everywhere = here = of_kind = 0  # within the hour
        for bundle in self._bundles:
            ago_ns = now_ns - bundle.at_ns
            in_hour = ago_ns < _HOUR_NS
            everywhere += in_hour
            if not places.isdisjoint(bundle.places):
                here += in_hour
                if bundle.anomaly == finding.anomaly:
                    of_kind += in_hour
                    if cooling and ago_ns < cooldown_ns:
                        return "cooldown"
        worst = finding.symptom == Symptom.WAITING or not LOST_DATA.isdisjoint(finding.codes)
        spent = (
            everywhere >= (self._most if worst else self._most - self._most // 4)
            or here >= max(2, 3 * self._most // 4)
            or of_kind >= max(2, self._most // 2)
        )
        return "hourly budget" if spent else ""


def places_of(finding: Finding) -> tuple[int | str, ...]:
    """What may identify the server of a finding: connections first, then its name."""
    return (*finding.connections, finding.server)
