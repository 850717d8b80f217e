# SPDX-License-Identifier: MIT
"""What keeps the running agent small and quick.

Figures are resident memory and time, Python 3.11 on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

__all__ = ["SWITCH_SEC", "apart", "settle", "stay_small", "unmap_clean_pages"]

SWITCH_SEC: Final = 0.001
"""After this a thread that computes gives way to the event loop; Python's own is 5 ms.

The loop asks for the interpreter several times a round, and a child's flood of output,
which is redacted in a worker thread, made each of them late.
"""

_M_MMAP_THRESHOLD: Final = -3  # of malloc.h
_M_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 128 * 1024

# The first line of each entry of /proc/PID/smaps.
_MAPPING: Final = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<mode>\S+) \S+ \S+ (?P<inode>\d+)"
)

T = TypeVar("T")


def stay_small() -> None:
    """Set the process up; to be called before anything imports asyncio or starts a thread."""
    _tune_malloc()
    _leave_out_tls()
    sys.setswitchinterval(SWITCH_SEC)
    # numpy's OpenBLAS starts a thread for each CPU; the agent multiplies no matrices.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def settle() -> None:
    """Start-up is over: what it made stays, what it left behind goes.

    A full garbage collection took 30 ms, in which the loop stood still, to look at
    35,000 objects from start-up; now it takes microseconds. The heap gives back 4 MB
    after a start that had to compile Python's code.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError):  # of the GNU C library alone
        ctypes.CDLL(None).malloc_trim(0)
    unmap_clean_pages()


def apart(work: Callable[[], T]) -> T:
    """The result of ``work``, done in a child, with which all that it imports goes.

    If the child fails, ``work`` is done here, and raises here. The result must be
    one that can be pickled; no thread may run yet.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        return work()
    done: T = pickle.loads(result)  # noqa: S301  # our own child's
    return done


def unmap_clean_pages() -> None:
    """Unmap the pages of programs and libraries; those that are used come back as they are.

    Most were read once, while a library started or a bundle was written, or lie beside
    such ones: a fault maps what is in the page cache around it. They count as resident
    all the same: 6 to 10 MB after the start, 3 MB after a bundle, the more the more of
    the files is cached. Only mappings that cannot be written and hold no page of our own
    (RELRO) are touched, so nothing is lost. Takes some 5 ms, in any thread.
    """
    try:
        mappings = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:  # CONFIG_PROC_PAGE_MONITOR
        return
    libc = ctypes.CDLL(None)
    start = end = 0
    for line in mappings:
        if header := _MAPPING.match(line):
            from_file = header["mode"] in ("r-xp", "r--p") and header["inode"] != "0"
            start, end = int(header["start"], 16), int(header["end"], 16) if from_file else 0
        elif end and line.split() == ["Anonymous:", "0", "kB"]:
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


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


def _leave_out_tls() -> None:
    """Leave OpenSSL out: 4.3 MB that asyncio and anyio import and nothing here ever uses.

    asyncio would take the module's absence for an answer, anyio would not. Both get a
    stand-in with the few names that they mention while they are imported. asyncio
    asks for MemoryBIO before it uses TLS, and finds that there is none.
    """
    if "ssl" in sys.modules:
        return
    stand_in = ModuleType("ssl", "TLS is left out of this process.")
    vars(stand_in).update(SSLContext=object, SSLWantReadError=OSError, SSLSyscallError=OSError)
    sys.modules["ssl"] = stand_in
