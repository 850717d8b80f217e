# SPDX-License-Identifier: MIT
"""Keeps what detection has learnt over a restart."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from aodasync import learnt
from aodasync.detection.engine import Engine
from aodasync.worker import in_thread

__all__ = ["Memory"]

EVERY_SEC: Final = 300.0


class Memory:
    """Loads at the start, saves every five minutes and at the end. A fault is told, no more."""

    def __init__(self, engine: Engine, directory: Path, log: FilteringBoundLogger) -> None:
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
            await asyncio.sleep(EVERY_SEC)
            await self.save()

    async def _recall(self) -> None:
        try:
            saved = await in_thread(partial(learnt.load, self._directory))
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
            await in_thread(partial(learnt.save, self._directory, exported))
        except OSError as error:
            self._log.warning(
                "learnt_state_not_saved", directory=str(self._directory), error=str(error)
            )
