# SPDX-License-Identifier: MIT
"""What an action is, what it is given, and what becomes of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, BinaryIO

from aodasync.host import safe_files
from aodasync.host.threads import in_thread
from aodasync.privacy.redaction import CpuBudget, redact, redact_argv
from aodasync.process.children import ChildEnd, Children

__all__ = ["Action", "ActionContext", "ActionResult", "Collected", "Cost", "UserAction"]


class Cost(IntEnum):
    """The order of collection: what decays soonest and costs least comes first."""

    VOLATILE = 0  # gone in a moment: before all others, and without waiting for a slot
    TABLE = 1  # a small table of the kernel's own
    LOG = 2  # logs: they stay
    COMMAND = 3  # a user's command: who knows
    MOUNT = 4  # asks the server through the mount: may hang with it
    GUARDED = 5  # alone, when all else is safe: reading it can deadlock cifsd on old kernels


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What one run of an action is given.

    ``since_realtime_ns`` is where logs begin: the episode's start less the look-back.
    ``file`` is created in the open directory ``directory_fd``, by the action.
    ``ports`` are the servers' of the connections seen so far, ``netns`` their network
    namespaces but for the agent's; ``waiting`` the threads (tids) that had a request in
    flight at the decision. ``servers`` are names and addresses of the anomaly's, in lower case.
    What needs the interpreter for milliseconds, or soon, has it in its ``turn``: threads side
    by side take longer than one after the other.
    """

    since_realtime_ns: int
    timeout_sec: float
    max_bytes: int
    directory_fd: int
    file: str
    children: Children
    ports: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    netns: tuple[int, ...] = ()
    servers: frozenset[str] = frozenset()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def in_turn(self) -> ExitStack:
        """Wait for one's turn; it ends with the stack."""
        await self.turn.acquire()
        held = ExitStack()
        held.callback(self.turn.release)
        return held

    def create(self) -> BinaryIO:
        """Create the action's file. Blocks."""
        return os.fdopen(safe_files.create(self.file, dir_fd=self.directory_fd), "wb")

    async def write(self, text: str) -> bool:
        """Create the action's file of this text, redacted; True if it was cut to the cap."""
        return await self._redacted(text, self._create)

    async def add(self, text: str) -> bool:
        """Add this text to the action's file, likewise."""
        return await self._redacted(text, self._append)

    async def _redacted(self, text: str, write: Callable[[bytes], bool]) -> bool:
        """In one worker thread: each costs the time until the interpreter is free for it."""
        budget = CpuBudget()

        def work() -> bool:
            return write(redact(text.encode("utf-8", "surrogateescape"), budget))

        return await in_thread(work, hurry=budget.stop)

    def _create(self, data: bytes) -> bool:
        kept = data[: self.max_bytes]
        safe_files.write(self.file, kept, dir_fd=self.directory_fd)
        return len(kept) < len(data)

    def _append(self, data: bytes) -> bool:
        size = os.stat(self.file, dir_fd=self.directory_fd, follow_symlinks=False).st_size
        kept = data[: max(0, self.max_bytes - size)]
        safe_files.append(self.file, kept, dir_fd=self.directory_fd)
        return len(kept) < len(data)


@dataclass(frozen=True, slots=True)
class Collected:
    """What an action says of its own run; an empty ``error`` means that all went well."""

    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    truncated: bool = False
    timed_out: bool = False
    abandoned: bool = False
    error: str = ""

    @classmethod
    def of(cls, argv: tuple[str, ...], end: ChildEnd) -> Collected:
        """What became of a command that was run to its end."""
        return cls(argv, end.exit_code, end.truncated, end.timed_out, end.abandoned, end.error)


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of evidence: a row of the table in :mod:`aodasync.actions`.

    It runs ``argv`` (as far as it is known beforehand) or reads ``path``. ``finish``, if
    there is one, is called once all others have run, but for guarded ones: what compares
    two moments takes the second one there.
    """

    name: str
    file: str
    cost: Cost
    collect: Callable[[ActionContext], Awaitable[Collected]] = field(repr=False)
    argv: tuple[str, ...] = ()
    path: str = ""
    timeout_sec: float | None = None
    finish: Callable[[ActionContext], Awaitable[Collected]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ActionResult:
    """One entry of a manifest's ``actions``; ``file`` is None where none was written."""

    name: str
    file: str | None
    argv: tuple[str, ...]
    path: str
    exit_code: int | None
    duration_ms: float
    bytes: int
    truncated: bool
    timed_out: bool
    abandoned: bool
    error: str

    @property
    def ok(self) -> bool:
        """Whether the evidence is all there, or cut to the cap at most."""
        return not self.error

    def as_manifest(self) -> dict[str, Any]:
        """As the manifest has it: ``argv`` or ``path``, and None for no error."""
        return {
            "name": self.name,
            "file": self.file,
            **({"argv": redact_argv(self.argv)} if self.argv else {"path": self.path}),
            "exit_code": self.exit_code,
            "duration_ms": round(self.duration_ms, 3),
            "bytes": self.bytes,
            "truncated": self.truncated,
            "timed_out": self.timed_out,
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True)
class UserAction:
    """A command of the user's own; ``command`` is an argument vector."""

    name: str
    command: tuple[str, ...]
    timeout_sec: float
