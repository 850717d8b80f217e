# SPDX-License-Identifier: MIT
"""Whether the probe sees what the client does: its records against the client's own totals.

A probe can attach without complaint and record nothing (a symbol that stayed
while its arguments changed), so silence is checked and not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Blindness", "Sight"]

_ENOUGH = 50


@dataclass(frozen=True, slots=True)
class Sight:
    """One comparison: requests the client counted and those recorded since the last one."""

    blind: bool
    counted: int
    recorded: int


class Blindness:
    """Compares growth of the client's totals with growth of what was recorded or counted as lost.

    The totals leave out some commands, so a healthy probe records at least as
    many. Fewer than 50 requests prove nothing: they are carried to the next look.
    """

    def __init__(self) -> None:
        self._totals: dict[str, int] | None = None
        self._recorded = 0
        self.blind = False

    def look(self, totals: Mapping[str, int], recorded: int) -> Sight | None:
        """Compare; None while there is nothing to say.

        ``totals`` are requests by share (they restart when a share is mounted
        again), ``recorded`` is all that was ever recorded or counted as lost.
        """
        before = self._totals
        if before is None or recorded < self._recorded:
            self._settle(totals, recorded)
            return None
        counted = sum(_growth(before.get(share, 0), total) for share, total in totals.items())
        if counted < _ENOUGH:
            return None
        seen = recorded - self._recorded
        self._settle(totals, recorded)
        self.blind = seen < counted // 2
        return Sight(self.blind, counted, seen)

    def _settle(self, totals: Mapping[str, int], recorded: int) -> None:
        self._totals, self._recorded = dict(totals), recorded


def _growth(before: int, now: int) -> int:
    return now - before if now >= before else now
