# SPDX-License-Identifier: MIT
"""Supervision: a task that dies is restarted with a growing pause, and counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

from aodasync.errors import AodasyncError
from aodasync.host.aodv2_syslog import Audit

__all__ = ["Supervisor"]

_FIRST_PAUSE_SEC = 0.1
_LONGEST_PAUSE_SEC = 30.0
_HEALTHY_AFTER_SEC = 60.0


class Supervisor:
    """Runs coroutines in a TaskGroup; ``restarts`` counts by component.

    Of a task that is ``essential``, an :class:`~aodasync.errors.AodasyncError` is not
    survived: it is something that the user must fix, and ends the agent with its exit code.
    """

    def __init__(self, group: asyncio.TaskGroup, log: FilteringBoundLogger, audit: Audit) -> None:
        self._group = group
        self._log = log
        self._audit = audit
        self.restarts: Counter[str] = Counter()

    def start(
        self, component: str, run: Callable[[], Awaitable[None]], *, essential: bool = False
    ) -> asyncio.Task[None]:
        """Supervise ``run`` under the component's name until it returns or is cancelled."""
        return self._group.create_task(self._supervise(component, run, essential), name=component)

    async def _supervise(
        self,
        component: str,
        run: Callable[[], Awaitable[None]],
        essential: bool,  # noqa: FBT001  # start names it
    ) -> None:
        loop = asyncio.get_running_loop()
        pause_sec = _FIRST_PAUSE_SEC
        while True:
            started_sec = loop.time()
            try:
                return await run()
            except Exception as error:  # whatever it was, the agent goes on
                if essential and isinstance(error, AodasyncError):
                    raise
                self.restarts[component] += 1
                if loop.time() - started_sec > _HEALTHY_AFTER_SEC:
                    pause_sec = _FIRST_PAUSE_SEC
                self._log.error(
                    "task_restarted",
                    task=component,
                    error=f"{type(error).__name__}: {error}",
                    restarts=self.restarts[component],
                    pause_sec=pause_sec,
                    exc_info=self._log.is_enabled_for(10),
                )
                self._audit.component_restarted(component)
                await asyncio.sleep(pause_sec)
                pause_sec = min(pause_sec * 2, _LONGEST_PAUSE_SEC)
