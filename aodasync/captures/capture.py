# SPDX-License-Identifier: MIT
"""What a capture is, and what it is made with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aodasync.actions import Action
from aodasync.process.children import Children

__all__ = ["Capture", "CaptureSettings"]


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What the configuration and the agent say to every capture.

    ``directory`` is for its files, of which it keeps the last ``ring_mb`` (millions of
    bytes) and of each packet the first ``packet_bytes``; ``max_bytes`` is the size of an
    action's file at most; ``client`` returns when the kernel's SMB client is there.
    """

    directory: Path
    ring_mb: int
    packet_bytes: int
    max_bytes: int
    client: Callable[[], Awaitable[None]]


class Capture(Protocol):
    """A recorder outside the agent. ``action`` puts its last window into a bundle.

    ``name`` is that of the configuration and the manifest, ``tool`` the program it needs,
    ``file`` its action's. ``private`` says why that file cannot be given away: it is no
    text in which names can be replaced; empty if it is one.
    """

    name: str
    tool: str
    file: str
    private: str
    action: Action

    def __init__(self, settings: CaptureSettings) -> None: ...

    async def begin(self, children: Children) -> None:
        """Prepare, once."""

    async def run(self, children: Children) -> str:
        """Record until cancelled; returns why it ended by itself."""

    async def end(self, children: Children) -> None:
        """Leave nothing behind."""
