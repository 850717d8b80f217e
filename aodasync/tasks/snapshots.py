# SPDX-License-Identifier: MIT
"""Bundles on request: what SIGUSR1 and ``aodasync snapshot`` order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aodasync.evidence.model import Sample, Trigger
from aodasync.host.clock import Clock

__all__ = ["Snapshots"]

_WITHIN_SEC: Final = 60.0


class Snapshots:
    """Orders bundles of what is now, with ``actions``, and waits for them.

    ``drain`` takes in what the kernel side has, ``samples`` are of the surroundings, and
    ``put`` hands a trigger to the collector, if that has room for it.
    """

    def __init__(
        self,
        *,
        actions: tuple[str, ...],
        drain: Callable[[], object],
        samples: Callable[[], tuple[Sample, ...]],
        put: Callable[[Trigger], bool],
        clock: Clock,
    ) -> None:
        self.actions = actions
        self._drain = drain
        self._samples = samples
        self._put = put
        self._clock = clock
        self._waiting: dict[int, asyncio.Future[Path | None]] = {}

    def order(self) -> int | None:
        """Order one; what identifies it, or None when too many are ordered already."""
        self._drain()
        trigger = Trigger(
            anomaly="snapshot",
            finding=None,
            actions=self.actions,
            decided_monotonic_ns=self._clock.monotonic_ns(),
            decided_realtime_ns=self._clock.realtime_ns(),
            episode=0,
            samples=self._samples(),
        )
        return trigger.decided_monotonic_ns if self._put(trigger) else None

    async def ask(self) -> Mapping[str, Any]:
        """Order one and wait for it: its ``path``, or an ``error``."""
        ordered = self.order()
        if ordered is None:
            return {"error": "too many bundles are being collected: try again"}
        done = self._waiting[ordered] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_WITHIN_SEC):
                path = await done
        except TimeoutError:
            return {"error": f"no bundle within {_WITHIN_SEC:.0f} s"}
        finally:
            del self._waiting[ordered]
        return {"path": str(path)} if path else {"error": "the bundle could not be written"}

    def done(self, trigger: Trigger, path: Path | None) -> None:
        """A bundle was written; None: it could not be."""
        waiting = self._waiting.get(trigger.decided_monotonic_ns)
        if waiting is not None and not waiting.done():
            waiting.set_result(path)
