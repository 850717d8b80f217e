# SPDX-License-Identifier: MIT
"""How long actions may go on: each to its own deadline, until the agent is to end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

__all__ = ["StopDeadline"]


class StopDeadline:
    """One end for all actions, of all bundles, that is only known when the agent stops."""

    def __init__(self) -> None:
        self._end_sec = math.inf
        self._scopes: set[anyio.CancelScope] = set()

    @contextmanager
    def limit(self) -> Iterator[anyio.CancelScope]:
        """A scope that is cancelled at that end, at once if it is past."""
        with anyio.CancelScope(deadline=self._end_sec) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def end_within(self, seconds: float) -> None:
        """What runs then, and whatever would begin later, is cut short."""
        self._end_sec = min(self._end_sec, anyio.current_time() + seconds)
        for scope in self._scopes:
            scope.deadline = self._end_sec
