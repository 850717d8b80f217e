# SPDX-License-Identifier: MIT
"""Whether the probe sees what the client does: its records against the client's own totals.

A probe can attach without complaint and record nothing (a symbol that stayed
while its arguments changed), so silence is checked and not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

from aodasync.smb.client_stats import ClientTotals

__all__ = ["Blindness", "Comparison"]

_ENOUGH = 50


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: requests the client counted and those recorded since the last one."""

    blind: bool
    counted: int
    recorded: int


class Blindness:
    """Compares growth of the client's totals with growth of what was recorded or lost on the way.

    The totals are at most what happened, and what is recorded is taken so that it
    is at least what a healthy probe saw of it: from *before* the earlier totals were
    read until *after* the later ones were, with all that was on its way brought in.
    So a healthy probe always has at least as many, also when a burst falls together
    with a look. Under three quarters of them is blind. Fewer than 50 requests prove
    nothing: they are carried to the next look.
    """

    def __init__(self) -> None:
        self._earlier: tuple[ClientTotals, int] | None = None
        self.blind = False

    def look(self, totals: ClientTotals, before: int, after: int) -> Comparison | None:
        """Compare; None while there is nothing to say.

        ``before`` and ``after`` are all that was ever recorded or lost on the way:
        before the totals were read, and some time after.
        """
        earlier = self._earlier
        counted = None if earlier is None else totals.since(earlier[0])
        if earlier is None or counted is None:
            self._earlier = totals, before
            return None
        if counted < _ENOUGH:
            return None
        recorded = after - earlier[1]
        self._earlier = totals, before
        self.blind = 4 * recorded < 3 * counted
        return Comparison(self.blind, counted, recorded)
