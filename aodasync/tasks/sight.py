# SPDX-License-Identifier: MIT
"""Does the probe see? Holds what was recorded against the client's own totals, once a minute.

The totals are read by a child with a deadline: /proc/fs/cifs/Stats takes
``cifs_tcp_ses_lock``, and a reader of it may have to wait.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from aodasync.children import Children
from aodasync.detection.blindness import Blindness
from aodasync.errors import RequirementError
from aodasync.smb.client_stats import requests_by_share

__all__ = ["Sight"]

_EVERY_SEC = 60.0
_FIRST_SEC = 10.0
_TIMEOUT_SEC = 5.0
_MAX_BYTES = 1024 * 1024
_ARGV = ("cat", "/proc/fs/cifs/Stats")


class Sight:
    """``recorded`` returns every request ever recorded or counted as lost; None: no probe yet."""

    def __init__(
        self,
        children: Children,
        recorded: Callable[[], int | None],
        log: FilteringBoundLogger,
        every_sec: float = _EVERY_SEC,
    ) -> None:
        self._children = children
        self._recorded = recorded
        self._log = log.bind(component="sight")
        self._every_sec = every_sec
        self._blindness = Blindness()

    @property
    def blind(self) -> bool:
        """Whether the last comparison found too little recorded."""
        return self._blindness.blind

    async def run(self) -> None:
        """Compare until cancelled."""
        await asyncio.sleep(min(_FIRST_SEC, self._every_sec))
        while True:
            await self.look()
            await asyncio.sleep(self._every_sec)

    async def look(self) -> None:
        """Compare once; tell when the agent is, or is no longer, blind."""
        recorded = self._recorded()
        if recorded is None:
            return
        totals = io.BytesIO()
        try:
            end = await self._children.run(
                _ARGV, totals, timeout_sec=_TIMEOUT_SEC, max_bytes=_MAX_BYTES
            )
        except (RequirementError, OSError) as error:
            self._log.debug("client_totals_unread", error=str(error))
            return
        if end.error:
            self._log.debug("client_totals_unread", error=end.error)
            return
        was_blind = self.blind
        sight = self._blindness.look(
            requests_by_share(totals.getvalue().decode("utf-8", "replace")), recorded
        )
        if sight is None:
            return
        if sight.blind:
            self._log.error("agent_blind", client_sent=sight.counted, recorded=sight.recorded)
        elif was_blind:
            self._log.info("agent_sees_again", client_sent=sight.counted, recorded=sight.recorded)
