# SPDX-License-Identifier: MIT
"""What keeps the running agent small. Figures are resident memory, Python 3.11 on x86-64."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from types import ModuleType
from typing import Final

__all__ = ["stay_small"]

_M_MMAP_THRESHOLD: Final = -3  # of malloc.h
_LARGE_BYTES: Final = 128 * 1024


def stay_small() -> None:
    """Set the process up; to be called before anything imports asyncio or starts a thread."""
    _return_large_blocks()
    _leave_out_tls()


def _return_large_blocks() -> None:
    """Have glibc return large blocks to the system as soon as they are freed.

    It does so at first, but with every one that is freed it takes larger ones from
    its heaps, where they stay: each bundle, which copies the recorder twice, left up
    to 5 MB behind, 20 MB in all. Setting the limit keeps it. Other C libraries have no
    mallopt and no such habit.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _leave_out_tls() -> None:
    """Leave OpenSSL out: 5 MB that asyncio and anyio import and nothing here ever uses.

    asyncio would take the module's absence for an answer, anyio would not. Both get a
    stand-in with the few names that they mention while they are imported. asyncio
    asks for MemoryBIO before it uses TLS, and finds that there is none.
    """
    if "ssl" in sys.modules:
        return
    stand_in = ModuleType("ssl", "TLS is left out of this process.")
    vars(stand_in).update(SSLContext=object, SSLWantReadError=OSError, SSLSyscallError=OSError)
    sys.modules["ssl"] = stand_in
