# SPDX-License-Identifier: MIT
"""The agent's own health: loop lag, memory, and every task's metrics, logged once an hour."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from structlog.typing import FilteringBoundLogger

from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["Health", "LoopLag"]

_REPORT_SEC = 60.0
_PER_HOUR = 60


class LoopLag:
    """How late the loop runs what is due, in ms, since the last report."""

    def __init__(self) -> None:
        self.max_ms = 0.0
        self.mean_ms = 0.0
        self._samples = 0

    def add(self, lag_ms: float) -> None:
        """Take one sample in."""
        self._samples += 1
        self.max_ms = max(self.max_ms, lag_ms)
        self.mean_ms += (lag_ms - self.mean_ms) / self._samples

    def reset(self) -> None:
        """Begin a new period."""
        self.max_ms, self.mean_ms, self._samples = 0.0, 0.0, 0


class Health:
    """Reports; ``collect`` returns the tasks' metrics by name, ``lag`` is fed by others."""

    def __init__(
        self,
        collect: Callable[[], Mapping[str, Mapping[str, Any]]],
        log: FilteringBoundLogger,
        lag: LoopLag | None = None,
        beat: Beat = steady,
    ) -> None:
        self._collect = collect
        self._beat = beat
        self._log = log.bind(component="health")
        self._started_sec = time.monotonic()
        self.lag = lag or LoopLag()

    async def run(self) -> None:
        """Report until cancelled."""
        reports = 0
        while True:
            await self._beat(_REPORT_SEC, _REPORT_SEC)
            reports += 1
            self.report(quietly=reports % _PER_HOUR != 0)

    def report(self, *, quietly: bool = False) -> None:
        """Log ``agent_metrics``, ``quietly`` at debug, and begin a new period of loop lag."""
        if not quietly:
            self._log.info("agent_metrics", **self.snapshot())
        elif self._log.is_enabled_for(logging.DEBUG):  # to collect them takes milliseconds
            self._log.debug("agent_metrics", **self.snapshot())
        self.lag.reset()

    def snapshot(self) -> dict[str, Any]:
        """The figures as they are logged."""
        cpu = os.times()
        return {
            "uptime_sec": round(time.monotonic() - self._started_sec, 1),
            "rss_bytes": _rss_bytes(),
            "private_dirty_bytes": _private_dirty_bytes(),
            "cpu_sec": round(cpu.user + cpu.system, 3),
            "loop_lag_max_ms": round(self.lag.max_ms, 3),
            "loop_lag_mean_ms": round(self.lag.mean_ms, 3),
            **self._collect(),
        }


def _private_dirty_bytes() -> int:
    """Memory that only this process has and that no file holds: what the agent costs the host.

    The first line of smaps_rollup (proc(5)) is a range, the others are ``Name: SIZE kB``.
    """
    fields = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines())
    return next((int(size) * 1024 for name, size, *_ in fields if name == "Private_Dirty:"), 0)


def _rss_bytes() -> int:
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE")
