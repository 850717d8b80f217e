# SPDX-License-Identifier: MIT
"""Whether the kernel's SMB client is there, and waiting until it is.

The kernel announces a module by a uevent (``add@/module/cifs``) on a netlink
multicast group, while the module is still initialising; probes can be attached
once it is live. Where no uevent comes (some containers), a slow poll sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from pathlib import Path
from typing import Final

from aodasync.probes.client_state import CIFS_MODULE, cifs_loaded

__all__ = ["CIFS_MODULE", "cifs_loaded", "install_hint", "wait_for_cifs"]

_MODULES: Final = Path("/lib/modules")
_POLL_SEC: Final = 0.5
_INITIALISING_POLL_SEC: Final = 0.01
_NETLINK_KOBJECT_UEVENT: Final = 15
_KERNEL_GROUP: Final = 1
_UEVENT: Final = b"add@/module/cifs\0"
_UEVENT_BYTES: Final = 8192


def install_hint(modules: Path = _MODULES, release: str = "") -> str:
    """How to get the client where the running kernel has none; empty where it has, or may have."""
    release = release or os.uname().release
    try:
        listed = (modules / release / "modules.dep").read_bytes()
    except OSError:
        return ""
    if re.search(rb"/cifs\.ko\b", listed):
        return ""
    return (
        f"{modules / release} has no cifs:"
        f" apt install linux-modules-extra-{release}, or dnf install kernel-modules"
    )


async def wait_for_cifs(module: Path = CIFS_MODULE, poll_sec: float = _POLL_SEC) -> None:
    """Return when the client is live: at once, within milliseconds of its load, or by a poll."""
    with contextlib.ExitStack() as stack:
        uevents = _subscribe()
        if uevents:
            stack.enter_context(uevents)
        while not cifs_loaded(module):
            if (module / "initstate").exists():
                await asyncio.sleep(_INITIALISING_POLL_SEC)
            elif uevents is None:
                await asyncio.sleep(poll_sec)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poll_sec):
                        await _announced(uevents)


def _subscribe() -> socket.socket | None:
    """A socket that gets the kernel's uevents; None where that is not allowed."""
    try:
        uevents = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            _NETLINK_KOBJECT_UEVENT,
        )
    except OSError:
        return None
    try:
        uevents.bind((0, _KERNEL_GROUP))
    except OSError:
        uevents.close()
        return None
    return uevents


async def _announced(uevents: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            message = await loop.sock_recv(uevents, _UEVENT_BYTES)
        except OSError:  # ENOBUFS: messages were lost, maybe this one
            return
        if message.startswith(_UEVENT):
            return
