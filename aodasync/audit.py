# SPDX-License-Identifier: MIT
"""AODv2's messages to syslog, for those who already alert on them."""

from __future__ import annotations

import asyncio
import syslog

__all__ = ["Audit"]

# AODv2's names for what are tasks here.
_COMPONENTS = {
    "reader": "EventDispatcher",
    "detector": "AnomalyWatcher",
    "collector": "LogCollector",
    "cleaner": "SpaceWatcher",
}


class Audit:
    """Writes to syslog in a worker thread: a full /dev/log blocks its writer."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def anomaly(self, anomaly_type: str, event_count: int) -> None:
        """An episode started."""
        self._send(
            syslog.LOG_ALERT,
            f"AOD detected anomaly: {anomaly_type} with {event_count} events",
        )

    def component_restarted(self, task: str) -> None:
        """A supervised task died and is started again."""
        name = _COMPONENTS.get(task, task)
        self._send(syslog.LOG_WARNING, f"AOD component {name} restarted due to unexpected exit")

    def _send(self, priority: int, message: str) -> None:
        if self._enabled:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, syslog.syslog, priority, message)
