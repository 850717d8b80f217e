# SPDX-License-Identifier: MIT
"""The client's trace events of the last while: trace-cmd(1), a ring in the kernel.

``trace-cmd start`` turns the events of cifs on in a tracing instance of our own, which
overwrites the oldest; nothing of it runs then but the kernel. ``trace-cmd show`` prints
the ring and leaves it as it is (before Linux 5.8 the kernel pauses it meanwhile).
An agent that is killed leaves the instance to the next start, or to a reboot. It is
removed without trace-cmd, whose reset takes its time over every file in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.actions.command import run_command
from aodasync.captures.capture import CaptureSettings
from aodasync.host.threads import in_thread
from aodasync.host.tracefs import tracefs
from aodasync.process.children import Children

__all__ = ["TraceCmd"]

_NAME: Final = "trace-cmd"
_INSTANCE: Final = "aodasync"
_SHOW: Final = (_NAME, "show", "-B", _INSTANCE)
_LEAST_KB: Final = 64
_TEXT_PER_BYTE: Final = 4  # printed, an event takes up to so much more room
_TIMEOUT_SEC: Final = 20.0
_MOST_COMPLAINT_BYTES: Final = 8192


class TraceCmd:
    """A ring as large as its text fits into an action's file.

    Implements :class:`~aodasync.captures.capture.Capture`.
    """

    name = tool = _NAME
    file = "trace-cmd.log"
    private = ""

    def __init__(self, settings: CaptureSettings) -> None:
        self._client = settings.client
        each_kb = settings.max_bytes // _TEXT_PER_BYTE // 1024 // (os.cpu_count() or 1)
        each = ("-b", str(max(_LEAST_KB, each_kb)))
        self._argv = (_NAME, "start", "-B", _INSTANCE, *each, "-e", "cifs")
        self.action = Action(_NAME, self.file, Cost.LOG, _collect, argv=_SHOW)

    async def begin(self, children: Children) -> None:
        """Wait for the client, and remove what an agent that was killed left."""
        await self._client()
        await self.end(children)

    async def run(self, children: Children) -> str:
        """Capture until cancelled; returns why it could not."""
        complaint = io.BytesIO()
        end = await children.run(
            self._argv, complaint, timeout_sec=_TIMEOUT_SEC, max_bytes=_MOST_COMPLAINT_BYTES
        )
        if not end.error:
            await asyncio.Event().wait()
        return end.error

    async def end(self, _children: Children) -> None:
        """Remove the instance, if there is one; the kernel turns its events off."""
        with contextlib.suppress(FileNotFoundError):
            await in_thread((tracefs() / "instances" / _INSTANCE).rmdir)


async def _collect(context: ActionContext) -> Collected:
    return await run_command(context, _SHOW)
