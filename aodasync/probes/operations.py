# SPDX-License-Identifier: MIT
"""The operations that the kernel side follows, and what each old one waits for.

Whether it waits for credits, for a reconnect or for a response is told by its thread's
stack in the kernel (/proc/TID/stack, CONFIG_STACKTRACE), which is read once the
operation is a quarter of a second old, so hardly ever. The same proves that the
operation is still there: the kernel may skip the program that notes its end, where it
can preempt one.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

import numpy as np

from aodasync.operations import OPERATION, OperationArray, WaitsFor
from aodasync.probes.shared import MAX_OPERATIONS

__all__ = ["OperationTable", "wait_of"]

_OLD_NS: Final = 250_000_000
_MOST_STACKS: Final = 64
_MOST_BYTES: Final = 16 * 1024
_PROC: Final = Path("/proc")
_CLIENT: Final = ("[cifs]", "[netfs]", " cifs_", " smb2_", " smb3_", " netfs_")
# Functions of fs/smb/client; the innermost one on the stack decides.
_WAITS: Final = {
    "wait_for_response": WaitsFor.RESPONSE,
    "wait_for_free_credits": WaitsFor.CREDITS,
    "wait_for_free_request": WaitsFor.CREDITS,
    "wait_for_compound_request": WaitsFor.CREDITS,
    "smb2_wait_mtu_credits": WaitsFor.CREDITS,
    "cifs_wait_for_server_reconnect": WaitsFor.RECONNECT,  # since v6.3
    "smb2_reconnect": WaitsFor.RECONNECT,
    # Only after a reconnect, and then waits for another thread that does it already.
    "cifs_reopen_file": WaitsFor.RECONNECT,
}


def wait_of(stack: str) -> WaitsFor | None:
    """What a stack of /proc/TID/stack waits for; None when it does not lead through the client.

    A stack that is empty (of a running task) tells nothing: UNKNOWN.
    """
    for line in stack.splitlines():
        # [<0>] smb2_reconnect.part.0+0x1a5/0x4f0 [cifs]
        function = line.partition("] ")[2].partition("+")[0].partition(".")[0]
        if function in _WAITS:
            return _WAITS[function]
    is_inside = not stack or any(word in stack for word in _CLIENT)
    return WaitsFor.UNKNOWN if is_inside else None


class OperationTable:
    """Reads the slots, and looks at the threads of the oldest operations."""

    def __init__(self, map_fd: int, proc: Path = _PROC) -> None:
        self._memory = mmap.mmap(map_fd, MAX_OPERATIONS * OPERATION.itemsize)
        self._proc = proc

    def read(self, now_ns: int) -> OperationArray:
        """The operations inside the client, oldest first, as a copy.

        The threads of 64 at most are looked at, some 10 us each. An operation whose
        thread is gone, or elsewhere, is left out, and its slot freed. What begins or
        ends meanwhile may be torn: it is young.
        """
        slots = np.frombuffer(self._memory, OPERATION)
        # Compared first: numpy raises when what it searches changes under it.
        taken = np.flatnonzero(slots["started_ns"] != 0)
        taken = taken[np.argsort(slots["started_ns"][taken], kind="stable")]
        rows = slots[taken]
        kept = rows["started_ns"] != 0
        old = np.count_nonzero(rows["started_ns"] + np.uint64(_OLD_NS) <= now_ns)
        waits: dict[int, WaitsFor | None] = {}
        for index, thread in enumerate(rows["pid"][:old].tolist()):
            if thread not in waits:
                if len(waits) == _MOST_STACKS:
                    break
                waits[thread] = self._wait(thread)
            wait = waits[thread]
            if wait is None:
                kept[index] = False
                slots["started_ns"][taken[index]] = 0
            else:
                rows["waits_for"][index] = wait
        found: OperationArray = rows[kept]
        return found

    def close(self) -> None:
        """Unmap."""
        self._memory.close()

    def _wait(self, tid: int) -> WaitsFor | None:
        """What a thread waits for; None when it is gone, or not inside the client."""
        task = self._proc / str(tid)
        try:
            descriptor = os.open(task / "stack", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return WaitsFor.UNKNOWN if task.exists() else None
        except OSError:
            return WaitsFor.UNKNOWN
        try:
            return wait_of(os.read(descriptor, _MOST_BYTES).decode("ascii", "replace"))
        except ProcessLookupError:
            return None
        except OSError:
            return WaitsFor.UNKNOWN
        finally:
            os.close(descriptor)
