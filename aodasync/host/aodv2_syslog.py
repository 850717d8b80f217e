# SPDX-License-Identifier: MIT
"""AODv2's messages to syslog, for those who already alert on them."""

from __future__ import annotations

import queue
import syslog
import threading
from typing import Final

__all__ = ["Audit"]

# AODv2's names for what are tasks here.
_COMPONENTS: Final = {
    "reader": "EventDispatcher",
    "detector": "AnomalyWatcher",
    "collector": "LogCollector",
    "cleaner": "SpaceWatcher",
}
_QUEUED: Final = 256


class Audit:
    """Writes to syslog in a thread of its own, in order: a full /dev/log blocks its writer.

    The thread is a daemon, so it holds up no exit. ``dropped`` counts the messages that
    found the queue full.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.dropped = 0
        self._messages: queue.Queue[tuple[int, str]] = queue.Queue(_QUEUED)
        self._writer: threading.Thread | None = None

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
        if not self.enabled:
            return
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="syslog-writer", daemon=True)
            self._writer.start()
        try:
            self._messages.put_nowait((priority, message))
        except queue.Full:
            self.dropped += 1

    def _write(self) -> None:
        while True:
            syslog.syslog(*self._messages.get())
