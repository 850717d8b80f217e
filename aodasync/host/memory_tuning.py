# SPDX-License-Identifier: MIT
"""What keeps the running agent small and quick.

Figures are resident memory and time, Python 3.11 on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from typing import Final

__all__ = ["SWITCH_SEC", "give_back", "imported", "settle", "stay_small", "without"]

SWITCH_SEC: Final = 0.001
"""A thread that computes yields to the event loop after this; Python's default is 5 ms.

The loop asks for the interpreter several times a round, and a child's flood of output,
which is redacted in a worker thread, made each of them late.
"""

_M_MMAP_THRESHOLD: Final = -3  # of malloc.h
_M_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 128 * 1024


def stay_small() -> None:
    """Set the process up; to be called before anything imports asyncio or starts a thread."""
    _tune_malloc()
    sys.setswitchinterval(SWITCH_SEC)
    # numpy's OpenBLAS starts a thread for each CPU; the agent multiplies no matrices.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    gc.disable()  # until `imported`


@contextlib.contextmanager
def without(*modules: str) -> Iterator[None]:
    """Imports of these modules fail in the block, as where they are not installed.

    For what a library imports if it is there and the agent never uses: structlog's coloured
    tracebacks (rich), 5 MB of private memory and 40 ms.
    """
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: it fails
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def imported() -> None:
    """What is imported stays: from now on it is no matter for the garbage collector.

    A dataclass with slots is made twice, and the first class is garbage: 0.4 MB in all, which
    one search of 25 ms gives back.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def settle() -> None:
    """Start-up is over: what it made stays, what it left behind goes.

    A full garbage collection took 30 ms, in which the loop stood still, to look at
    35,000 objects from start-up; now it takes microseconds. The heap gives back 4 MB
    after a start that had to compile Python's code.
    """
    imported()
    give_back()


def give_back() -> None:
    """Return what is free to the system: what only cycles hold, then the free pages of the heap.

    Some milliseconds, most of them without Python's lock: what was imported is not searched.
    """
    if gc.get_freeze_count():
        gc.collect()
    with contextlib.suppress(AttributeError):  # of the GNU C library alone
        ctypes.CDLL(None).malloc_trim(0)


def _tune_malloc() -> None:
    """Have the GNU C library return large blocks to the system as soon as they are freed.

    It does so at first, but with every one that is freed it takes larger ones from
    its heaps, where they stay: each bundle, which copies the recorder twice, left up
    to 5 MB behind, 20 MB in all. Setting the limit keeps it. One heap for all threads
    (Python runs one at a time) saves 0.4 MB more. Other C libraries have no mallopt
    and no such habits.
    """
    with contextlib.suppress(AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, 1)
