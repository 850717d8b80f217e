# SPDX-License-Identifier: MIT
"""Which mounts are usable now: judged once an interval, logged when it changes.

Mounts are known from /proc/self/mountinfo alone, which is read again when the kernel says
that it changed (proc_pid_mountinfo(5): POLLERR and POLLPRI). No mount is ever touched.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from structlog.typing import FilteringBoundLogger

from aodasync.detection.batch_content import ANYTHING, Content
from aodasync.detection.lost_shares import Tree
from aodasync.detection.usability import MountState, Usability
from aodasync.events import EventArray
from aodasync.evidence.model import Connection
from aodasync.host.clock import Clock
from aodasync.host.mountinfo import MOUNTINFO, Mount, parse_mountinfo
from aodasync.host.threads import in_thread
from aodasync.tasks.heartbeat import Beat, steady

__all__ = ["MountWatch"]

_SILENT_MS: Final = 5000.0  # as the hang anomaly has it by default
_SILENT_SEC: Final = 10.0
_TYPES: Final = frozenset({"cifs", "smb3"})


class MountWatch:
    """Keeps the state of each SMB mount; ``states`` is what was found last.

    ``recent`` returns the rows released since a time, see :class:`Usability`; ``listed`` is
    given all mounts whenever they change.
    """

    def __init__(
        self,
        recent: Callable[[int], EventArray],
        *,
        in_flight: Callable[[], EventArray],
        connections: Callable[[], Mapping[int, Connection]],
        clock: Clock,
        log: FilteringBoundLogger,
        shares: Callable[[], Mapping[Tree, str]] = dict,
        interval_sec: float = 1.0,
        mountinfo: str = MOUNTINFO,
        listed: Callable[[Sequence[Mount]], None] = lambda _: None,
        beat: Beat = steady,
    ) -> None:
        self._beat = beat
        self._listed = listed
        self._recent = recent
        self._shares = shares
        self._usability = Usability(_SILENT_MS, recent, shares)
        self._in_flight = in_flight
        self._connections = connections
        self._clock = clock
        self._log = log.bind(component="mounts")
        self._interval_sec = interval_sec
        self._mountinfo = mountinfo
        self._mounts: tuple[Mount, ...] = ()
        self.states: tuple[MountState, ...] = ()
        self.failures = 0

    def observe(self, rows: EventArray, content: Content = ANYTHING) -> None:
        """Take a batch in. A defect here costs what was known of mounts, and nothing else."""
        try:
            self._usability.observe(rows, content)
        except Exception as error:  # noqa: BLE001  # detection must go on
            self.failures += 1
            self._usability = Usability(_SILENT_MS, self._recent, self._shares)
            self._log.error(
                "detector_restarted",
                detector="mounts",
                error=f"{type(error).__name__}: {error}",
                restarts=self.failures,
            )

    async def run(self) -> None:
        """Judge until cancelled."""
        text = await in_thread(
            partial(Path(self._mountinfo).open, encoding="utf-8", errors="surrogateescape")
        )
        with text:
            changes = select.poll()
            changes.register(text.fileno(), select.POLLPRI)
            await self._read(text)
            while True:
                await self._beat(self._interval_sec, _SILENT_SEC)
                if changes.poll(0):
                    await self._read(text)
                self.look()

    def look(self) -> None:
        """Judge now, and log what changed."""
        if not self._mounts:
            self.states = ()
            return
        now_ns = self._clock.monotonic_ns()
        before = {state.mount_point: state for state in self.states}
        connections = self._connections()
        self.states = self._usability.look(self._in_flight(), connections, self._mounts, now_ns)
        for state in self.states:
            earlier = before.get(state.mount_point)
            if not state.usable and (earlier is None or earlier.usable):
                self._log.warning(
                    "mount_unusable",
                    mount_point=state.mount_point,
                    source=state.source,
                    server=state.server,
                    why=state.why,
                    for_ms=round((now_ns - state.since_ns) / 1e6, 1),
                )
            elif state.usable and earlier is not None and not earlier.usable:
                self._log.info(
                    "mount_usable",
                    mount_point=state.mount_point,
                    source=state.source,
                    server=state.server,
                    unusable_ms=round((now_ns - earlier.since_ns) / 1e6, 1),
                )

    def as_status(self, now_ns: int) -> dict[str, str]:
        """A sentence for each mount point, as ``aodasync status`` shows it."""
        return {
            state.mount_point: f"{state.source}: usable"
            if state.usable
            else f"{state.source}: NOT USABLE for {(now_ns - state.since_ns) / 1e9:.0f} s:"
            f" {state.why}"
            for state in self.states
        }

    async def _read(self, text: TextIO) -> None:
        def read() -> tuple[Mount, ...]:
            text.seek(0)
            return parse_mountinfo(text.read().split("\n"))

        found: dict[str, Mount] = {}
        mounts = await in_thread(read)
        self._listed(mounts)
        for mount in mounts:
            if mount.kind in _TYPES:
                found[mount.mount_point] = mount
        self._mounts = tuple(found.values())
