# SPDX-License-Identifier: MIT
"""systemd: whether the agent is ready, reloads, and is well (sd_notify(3)); its journal."""

from __future__ import annotations

import contextlib
import os
import socket
import time

__all__ = ["is_journal", "notify", "notify_reloading", "watchdog_sec"]


def notify(state: str) -> None:
    """Send ``state`` (``READY=1``, ``STATUS=...``) to $NOTIFY_SOCKET, where there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.sendto(state.encode(), socket.MSG_DONTWAIT, address)


def notify_reloading() -> None:
    """The configuration is being read again; READY=1 ends it (Type=notify-reload)."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog_sec() -> float | None:
    """WatchdogSec= of the unit; None where there is none, or where it is another process's."""
    pid = os.environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    try:
        usec = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return usec / 1e6 if usec > 0 else None


def is_journal(descriptor: int) -> bool:
    """Whether a stream is connected to the journal: $JOURNAL_STREAM (systemd.exec(5)) names it."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
