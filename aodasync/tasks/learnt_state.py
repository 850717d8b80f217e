# SPDX-License-Identifier: MIT
"""Keeps what detection has learnt over a restart: ``/var/lib/aodasync/learnt.json``, mode 0600."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from aodasync.detection.engine import Engine
from aodasync.host import state_file
from aodasync.host.threads import in_thread
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["LearntState"]

EVERY_SEC: Final = 300.0
_FILE: Final = "learnt.json"


class LearntState:
    """Loads at the start, saves every five minutes and at the end. Failures are only logged."""

    def __init__(
        self, engine: Engine, directory: Path, log: FilteringBoundLogger, beat: Beat = steady
    ) -> None:
        self._beat = beat
        self._engine = engine
        self._directory = directory
        self._log = log.bind(component="memory")
        self._recalled = False

    async def run(self) -> None:
        """Load once, then save until cancelled."""
        if not self._recalled:
            self._recalled = True
            await self._recall()
        while True:
            await self._beat(EVERY_SEC, EVERY_SEC)
            await self.save()

    async def _recall(self) -> None:
        try:
            saved = await in_thread(partial(state_file.load, self._directory, _FILE))
            if saved is not None:
                self._engine.restore(saved)
        except (OSError, ValueError, TypeError) as error:
            self._log.warning(
                "learnt_state_ignored", directory=str(self._directory), error=str(error)
            )

    async def save(self) -> None:
        """Write what is known now; nothing before it was loaded."""
        exported = self._engine.export()
        if not self._recalled or not exported:
            return
        try:
            await in_thread(partial(state_file.save, self._directory, _FILE, exported))
        except OSError as error:
            self._log.warning(
                "learnt_state_not_saved", directory=str(self._directory), error=str(error)
            )
