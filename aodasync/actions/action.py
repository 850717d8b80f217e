# SPDX-License-Identifier: MIT
"""What an action is, what it is given, and what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any

from aodasync import safe_files
from aodasync.children import Children
from aodasync.redaction import redact, redact_text
from aodasync.worker import in_thread

__all__ = ["Action", "ActionContext", "ActionResult", "Collected", "Cost"]


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
    ``ports`` are the servers' of the connections seen so far; ``waiting`` the threads
    (tids) that had a request in flight at the decision.
    """

    since_realtime_ns: int
    timeout_sec: float
    max_bytes: int
    directory_fd: int
    file: str
    children: Children
    ports: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()

    async def create(self) -> int:
        """Create the action's file; returns its descriptor."""
        return await in_thread(partial(safe_files.create, self.file, dir_fd=self.directory_fd))

    async def write(self, text: str) -> bool:
        """Create the action's file of this text, redacted; True if it was cut to the cap."""
        data = redact(text.encode("utf-8", "surrogateescape"))
        kept = data[: self.max_bytes]
        await in_thread(partial(safe_files.write, self.file, kept, dir_fd=self.directory_fd))
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
            **(
                {"argv": [redact_text(word) for word in self.argv]}
                if self.argv
                else {"path": self.path}
            ),
            "exit_code": self.exit_code,
            "duration_ms": round(self.duration_ms, 3),
            "bytes": self.bytes,
            "truncated": self.truncated,
            "timed_out": self.timed_out,
            "error": self.error or None,
        }
