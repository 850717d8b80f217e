# SPDX-License-Identifier: MIT
"""What the memory of crashes is told while actions run, off the event loop."""

from __future__ import annotations

import asyncio

from aodasync.actions.action import Action
from aodasync.actions.crash_memory import CrashMemory
from aodasync.host.threads import in_thread

__all__ = ["CrashNotes"]


class CrashNotes:
    """What the memory of crashes is told of the actions of one bundle.

    That one begins is on disk before it does. That it has ended follows, and nobody waits
    for it; what changes while one state is written goes into the next, all of it.
    """

    def __init__(self, memory: CrashMemory | None) -> None:
        self._memory = memory
        self._turn = asyncio.Lock()
        self._following: set[asyncio.Task[None]] = set()

    def leave_out(self, action: Action) -> bool:
        """Whether it is not to run."""
        return self._memory is not None and action.name in self._memory.left_out

    async def begin(self, action: Action) -> None:
        """It is about to run."""
        if self._memory is not None:
            self._memory.count(action, 1)
            await self._save(self._memory)

    def end(self, action: Action) -> None:
        """It has ended, in whatever way."""
        if self._memory is not None:
            self._memory.count(action, -1)
            task = asyncio.get_running_loop().create_task(self._save(self._memory))
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    async def saved(self) -> None:
        """Wait until all of it is on disk."""
        while self._following:
            await asyncio.wait(self._following)

    async def _save(self, memory: CrashMemory) -> None:
        async with self._turn:
            if memory.is_stale:
                await in_thread(memory.save)
