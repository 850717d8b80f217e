# SPDX-License-Identifier: MIT
"""The SMB packets of the last while: tcpdump(8), which always runs, into a ring of files.

1. It listens on all interfaces of the agent's network namespace to TCP port 445.
2. Of each packet the first 160 bytes are kept: all headers up to SMB2's, and what little
   of the contents lies within. More is the user's choice, and then holds names and data.
3. The ring is four files in a directory of mode 0700; the oldest is overwritten when
   the newest is full. A bundle gets a copy of all: a link would be to a file that
   tcpdump is about to empty.
4. The kernel hands packets over a second after they came at the latest (tcpdump's
   timeout of 1000 ms), which a copy waits for; each is in the file then (-U).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import os
from functools import partial
from typing import Final

from aodasync.actions.action import Action, ActionContext, Collected, Cost
from aodasync.captures import pcap
from aodasync.captures.capture import CaptureSettings
from aodasync.host import safe_files
from aodasync.host.capabilities import Capability
from aodasync.host.threads import in_thread
from aodasync.process.children import Children
from aodasync.smb.commands import SMB_PORT

__all__ = ["Tcpdump"]

_NAME: Final = "tcpdump"
_RING: Final = "smb.pcap"  # tcpdump adds a digit; AppArmor's profile knows the suffix
_FILES: Final = 4
_HAND_OVER_SEC: Final = 1.2
_MOST_COMPLAINT_BYTES: Final = 8192
_CAPABILITIES: Final = (Capability.NET_RAW, Capability.SETGID)  # -Z wants it even to stay root


class Tcpdump:
    """A ring of packets. Implements :class:`~aodasync.captures.capture.Capture`."""

    name = tool = _NAME
    file = "tcpdump.pcap"
    private = "packets hold addresses and names"

    def __init__(self, settings: CaptureSettings) -> None:
        self._directory = settings.directory
        packet_bytes, each_mb = settings.packet_bytes, max(1, settings.ring_mb // _FILES)
        self._argv = (
            *(_NAME, "-i", "any", "-p", "-n", "-U"),
            *("-Z", "root"),  # another user could not write here, and would lose the death signal
            *("-s", str(packet_bytes), "-C", str(each_mb), "-W", str(_FILES)),
            *("-w", str(self._directory / _RING), "tcp", "port", str(SMB_PORT)),
        )
        self.action = Action(_NAME, self.file, Cost.LOG, self._collect, argv=self._argv)

    async def begin(self, _children: Children) -> None:
        """Make the directory, and remove what an agent that was killed left there."""
        await in_thread(self._empty)

    async def run(self, children: Children) -> str:
        """Capture until cancelled; returns what tcpdump said when it ended by itself."""
        complaint = io.BytesIO()
        end = await children.run(
            self._argv,
            complaint,
            timeout_sec=math.inf,
            max_bytes=_MOST_COMPLAINT_BYTES,
            capabilities=_CAPABILITIES,
        )
        return end.error or "it ended"

    async def end(self, _children: Children) -> None:
        """Remove the ring."""
        await in_thread(self._empty)

    def _empty(self) -> None:
        self._directory.mkdir(mode=safe_files.DIRECTORY_MODE, parents=True, exist_ok=True)
        directory_fd = safe_files.open_directory(str(self._directory))
        try:
            os.fchmod(directory_fd, safe_files.DIRECTORY_MODE)
            for name in _names(directory_fd):
                safe_files.remove(name, dir_fd=directory_fd)
        finally:
            os.close(directory_fd)

    async def _collect(self, context: ActionContext) -> Collected:
        await asyncio.sleep(_HAND_OVER_SEC)
        return await in_thread(partial(self._copy, context))

    def _copy(self, context: ActionContext) -> Collected:
        directory_fd = safe_files.open_directory(str(self._directory))
        try:
            with contextlib.ExitStack() as stack:
                files = []
                for name in _names(directory_fd):
                    descriptor = safe_files.open_regular(name, dir_fd=directory_fd)
                    files.append(stack.enter_context(os.fdopen(descriptor, "rb")))
                files.sort(key=lambda file: os.fstat(file.fileno()).st_mtime_ns)
                return _join(files, context)
        finally:
            os.close(directory_fd)


def _names(directory_fd: int) -> list[str]:
    with os.scandir(directory_fd) as entries:
        return [entry.name for entry in entries]


def _join(files: list[io.BufferedReader], context: ActionContext) -> Collected:
    if not files:
        return Collected(error="tcpdump is not running: the agent's log says why")
    size_bytes = sum(os.fstat(file.fileno()).st_size for file in files)
    space = os.fstatvfs(context.directory_fd)
    free_bytes = space.f_bavail * space.f_frsize
    # It is there twice, here and in the archive, until the bundle is written.
    if free_bytes < 3 * size_bytes:
        return Collected(error=f"{size_bytes} bytes left out: {free_bytes} are free on the disk")
    descriptor = safe_files.create(context.file, dir_fd=context.directory_fd)
    with os.fdopen(descriptor, "wb") as out:
        packets = pcap.join(files, out)
    return Collected(error="" if packets else "no packets of port 445 so far")
