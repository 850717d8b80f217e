# SPDX-License-Identifier: MIT
"""What the memory of crashes learns while actions run, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from aodasync.actions.action import Action
from aodasync.actions.crash_memory import CrashMemory
from aodasync.host.threads import in_thread

__all__ = ["CrashNotes"]


# Most of what ends is named with what begins next: a state is half a millisecond of work.
_FOLLOWS_SEC: Final = 0.02


class CrashNotes:
    """What the memory of crashes learns of the actions of one bundle.

    That one begins is on disk before it does, together with all that begins at the same time.
    That it has ended follows a moment later, and nobody waits for it.
    """

    def __init__(self, memory: CrashMemory | None) -> None:
        self._memory = memory
        self._turn = asyncio.Lock()
        self._expected: dict[str, Action] = {}
        self._following: asyncio.Task[None] | None = None

    def leave_out(self, action: Action) -> bool:
        """Whether it is not to run."""
        return self._memory is not None and action.name in self._memory.left_out

    def expect(self, actions: Iterable[Action]) -> None:
        """They begin in a moment: note it already."""
        for action in actions:
            if self._memory is not None and not self.leave_out(action):
                self._expected[action.name] = action
                self._memory.count(action, 1)
        self._follow(0.0)

    async def begin(self, action: Action) -> None:
        """It is about to run."""
        if self._memory is not None:
            if self._expected.pop(action.name, None) is None:
                self._memory.count(action, 1)
            await self._save()

    def end(self, action: Action) -> None:
        """It has ended, in whatever way."""
        if self._memory is not None:
            self._memory.count(action, -1)
            self._follow(_FOLLOWS_SEC)

    async def close(self) -> None:
        """None runs any more: have that on disk."""
        while self._expected:
            self.end(self._expected.popitem()[1])
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        await self._save()

    def _follow(self, after_sec: float) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._saved(after_sec))

    async def _saved(self, after_sec: float) -> None:
        await asyncio.sleep(after_sec)
        await self._save()

    async def _save(self) -> None:
        async with self._turn:
            if self._memory is not None and self._memory.is_stale:
                await in_thread(self._memory.save)
