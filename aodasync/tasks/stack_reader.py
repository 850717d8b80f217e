# SPDX-License-Identifier: MIT
"""Reads the kernel stacks of threads that wait inside the client, so that it is known for what.

It looks once a second while the client is busy, and reads only while an operation is old.
Reading a stack may hang, so children do it (:mod:`aodasync.process.stacks`): 3 ms of CPU
time each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from aodasync.errors import RequirementError
from aodasync.host.clock import Clock
from aodasync.probes.interface import Probe
from aodasync.process.children import Children
from aodasync.process.stacks import read_stacks
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["StackReader", "StackReaderMetrics"]

_EVERY_SEC: Final = 1.0
_SILENT_SEC: Final = 60.0  # nothing is old that is not there


@dataclass(slots=True)
class StackReaderMetrics:
    """Counts since the start: runs, stacks that were read, and that hung instead."""

    runs: int = 0
    read: int = 0
    hanging: int = 0


class StackReader:
    """``probe`` returns the attached probe; None: there is none yet."""

    def __init__(
        self,
        probe: Callable[[], Probe | None],
        children: Children,
        clock: Clock,
        log: FilteringBoundLogger,
        beat: Beat = steady,
    ) -> None:
        self._beat = beat
        self._probe = probe
        self._children = children
        self._clock = clock
        self._log = log.bind(component="stacks")
        self.metrics = StackReaderMetrics()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self._beat(_EVERY_SEC, _SILENT_SEC)
            await self.look()

    async def look(self) -> None:
        """Read what is wanted, once."""
        probe = self._probe()
        threads = probe.wanted_stacks() if probe is not None else ()
        if probe is None or not threads:
            return
        read_ns = self._clock.monotonic_ns()
        try:
            stacks = await read_stacks(self._children, threads)
        except (RequirementError, OSError) as error:
            self._log.warning("stacks_unreadable", error=str(error))
            return
        self.metrics.runs += 1
        self.metrics.read += len(stacks.found)
        self.metrics.hanging += len(stacks.hanging)
        known: dict[int, str | None] = {tid: each.stack for tid, each in stacks.found.items()}
        known |= dict.fromkeys(stacks.gone)
        probe.set_stacks(read_ns, known | dict.fromkeys(stacks.hanging, ""))
