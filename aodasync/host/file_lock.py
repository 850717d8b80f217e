# SPDX-License-Identifier: MIT
"""Locks on open files (flock(2)), which the kernel frees with the process that holds them."""

from __future__ import annotations

import fcntl
import time
from typing import Final

__all__ = ["take"]

_RETRY_SEC: Final = 0.02


def take(descriptor: int, *, within_sec: float = 1.0) -> bool:
    """Take the lock of an open file; False when another process holds it and keeps it.

    It is tried for a while: one that was killed may have left a child between fork and
    exec, which holds it for moments, and so does who only looks whether it is free. Blocks.
    """
    deadline_sec = time.monotonic() + within_sec
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_sec:
                return False
            time.sleep(_RETRY_SEC)
        else:
            return True
