# SPDX-License-Identifier: MIT
"""Blindness check: compares recorded requests with the client's own totals, once a minute.

The first comparison comes some 20 s after the probe was attached. The totals are
read by a child with a deadline: /proc/fs/cifs/Stats takes ``cifs_tcp_ses_lock``, and
a reader of it may have to wait. Servers that are mounted by SMB1, of which nothing is
recorded, are logged once each.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping

from structlog.typing import FilteringBoundLogger

from aodasync.detection.blindness import Blindness
from aodasync.errors import RequirementError
from aodasync.evidence.model import Connection
from aodasync.process.children import Children
from aodasync.smb.client_stats import ClientTotals, client_totals
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["BlindnessCheck"]

_EVERY_SEC = 60.0
_SOON_SEC = 10.0
_ARRIVAL_SEC = 2.0  # twice what the reader leaves in the ring at most
_TIMEOUT_SEC = 5.0
_MAX_BYTES = 1024 * 1024
_ARGV = ("cat", "/proc/fs/cifs/Stats")


class BlindnessCheck:
    """``recorded`` returns every request ever recorded or lost on the way; None: no probe yet.

    ``connections`` returns those seen so far, by id. ``arrival_sec`` is given to what the
    kernel counted to arrive in the recorder.
    """

    def __init__(
        self,
        children: Children,
        recorded: Callable[[], int | None],
        log: FilteringBoundLogger,
        connections: Callable[[], Mapping[int, Connection]] = dict,
        *,
        arrival_sec: float = _ARRIVAL_SEC,
        beat: Beat = steady,
    ) -> None:
        self._beat = beat
        self._children = children
        self._recorded = recorded
        self._connections = connections
        self._smb1: set[str] = set()
        self._log = log.bind(component="sight")
        self._arrival_sec = arrival_sec
        self._blindness = Blindness()
        self._looks = 0
        self._compared: Mapping[str, int] = {}

    @property
    def blind(self) -> bool:
        """Whether the last comparison found too little recorded."""
        return self._blindness.blind

    @property
    def compared(self) -> Mapping[str, int]:
        """The last comparison's ``client_sent`` and ``recorded``; empty before the first."""
        return self._compared

    async def run(self) -> None:
        """Compare until cancelled: soon after the probe is attached, then every minute.

        A server that is mounted by SMB1 is reported within ten seconds.
        """
        while True:
            pause_sec = _SOON_SEC if self._looks < 2 else _EVERY_SEC
            while pause_sec > 0:
                await self._beat(_SOON_SEC, _SOON_SEC)
                pause_sec -= _SOON_SEC
                self._report_smb1()
            await self.look()

    async def look(self) -> None:
        """Compare once; tell when the agent is, or is no longer, blind."""
        before = self._recorded()
        if before is None:
            return
        self._report_smb1()
        self._looks += 1
        totals = await self._read()
        if totals is None:
            return
        await asyncio.sleep(self._arrival_sec)
        after = self._recorded()
        if after is None:
            return
        was_blind = self.blind
        sight = self._blindness.look(totals, before, after)
        if sight is None:
            return
        self._compared = {"client_sent": sight.counted, "recorded": sight.recorded}
        if sight.blind:
            self._log.error("agent_blind", **self._compared)
        elif was_blind:
            self._log.info("agent_sees_again", **self._compared)

    def _report_smb1(self) -> None:
        servers = {each.server for each in self._connections().values() if each.is_smb1}
        for server in sorted(servers - self._smb1):
            self._log.warning("smb1_not_watched", server=server)
        self._smb1 = servers or self._smb1

    async def _read(self) -> ClientTotals | None:
        text = io.BytesIO()
        try:
            end = await self._children.run(
                _ARGV, text, timeout_sec=_TIMEOUT_SEC, max_bytes=_MAX_BYTES
            )
        except (RequirementError, OSError) as error:
            self._log.debug("client_totals_unread", error=str(error))
            return None
        if end.error or end.truncated:
            self._log.debug("client_totals_unread", error=end.error or "longer than 1 MB")
            return None
        return client_totals(text.getvalue().decode("utf-8", "replace"))
