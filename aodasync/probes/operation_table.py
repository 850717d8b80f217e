# SPDX-License-Identifier: MIT
"""The operations that the kernel side follows, and what each old one waits for.

Whether it waits for credits, for a reconnect or for a response shows in its thread's
stack in the kernel (/proc/TID/stack, CONFIG_STACKTRACE). The stack also proves that the
operation is still there: the kernel may skip the program that notes its end, where it
can preempt one.

A stack is wanted once the operation is a quarter of a second old, so hardly ever, and
again after some seconds. Reading one may hang, so somebody else does it in a child
(:mod:`aodasync.process.stacks`), and hands the result over for the next look.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import NO_OPERATIONS, OPERATION, OperationArray, WaitsFor
from aodasync.probes.barrier import memory_barrier
from aodasync.probes.block_marks import BlockMarks
from aodasync.probes.shared import MAX_OPERATIONS, OPERATION_BLOCK
from aodasync.probes.slots import OPERATION_SLOT

__all__ = ["OperationTable", "wait_of"]

_SAME: Final = ("started_ns", "xid", "pid", "tgid")
_FUNCTION_BYTES: Final = OPERATION["function"].itemsize - 1
_MOST_FUNCTIONS: Final = 512  # the client has some 100
_OLD_NS: Final = 250_000_000
_MOST_STACKS: Final = 64
_AGAIN_NS: Final = 5_000_000_000
_UNKNOWN_AGAIN_NS: Final = 2_000_000_000
_CLIENT: Final = ("[cifs]", "[netfs]", " cifs_", " smb2_", " smb3_", " netfs_")
# Where a thread sleeps for something of this host: for a mutex, a semaphore, memory.
_SLEEPS: Final = (
    *("__mutex_lock", "mutex_lock", "rwsem_down_", "down_read", "down_write", "__down"),
    *("folio_lock", "__folio_lock", "__lock_page", "shrink_", "try_to_free_", "throttle_direct_"),
    *("balance_dirty_pages", "__alloc_pages", "mempool_alloc"),
)
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

    A stack that is empty (of a running task, or one that could not be read) is UNKNOWN.
    """
    # [<0>] smb2_reconnect.part.0+0x1a5/0x4f0 [cifs]
    functions = [
        line.partition("] ")[2].partition("+")[0].partition(".")[0] for line in stack.splitlines()
    ]
    known = next((_WAITS[function] for function in functions if function in _WAITS), None)
    if known is not None:
        return known
    if functions and not any(word in stack for word in _CLIENT):
        return None
    return WaitsFor.CLIENT if functions and functions[0].startswith(_SLEEPS) else WaitsFor.UNKNOWN


@dataclass(frozen=True, slots=True)
class _Stack:
    """What a thread was found to wait for; None: not for the client. Read from ``read_ns`` on."""

    read_ns: int
    wait: WaitsFor | None

    def shows(self, started_ns: int) -> bool:
        """Whether the operation that started then was old enough when the stack was read."""
        return started_ns + _OLD_NS <= self.read_ns

    def is_fresh(self, now_ns: int) -> bool:
        again_ns = _AGAIN_NS if self.wait else _UNKNOWN_AGAIN_NS
        return now_ns - self.read_ns < again_ns


class OperationTable:
    """Reads the slots, and knows of the stacks of the threads of old operations.

    ``text_at`` reads a string of the kernel's, of so many bytes at most: the names of
    functions are constants of the client's.
    """

    def __init__(self, map_fd: int, text_at: Callable[[int, int], bytes]) -> None:
        size = MAX_OPERATIONS * OPERATION_SLOT.itemsize
        self._memory = mmap.mmap(map_fd, size + OPERATION_SLOT.itemsize)
        self._slots: npt.NDArray[Any] = np.frombuffer(self._memory, OPERATION_SLOT, MAX_OPERATIONS)
        self._started = self._slots["started_ns"].reshape(-1, OPERATION_BLOCK)
        self._marks = BlockMarks(self._memory, size, self._started)
        self._text_at = text_at
        self._functions: dict[int, bytes] = {}
        self._stacks: dict[int, _Stack] = {}
        self._wanted: tuple[int, ...] = ()
        self._barrier = memory_barrier()

    def read(self, now_ns: int) -> OperationArray:
        """The operations inside the client, oldest first, as a copy.

        An operation whose thread was found to be gone, or elsewhere, is left out, and its
        slot freed. What begins meanwhile may be torn: it is young. What ends is left out, so
        that no row is half of an old operation and half of the next one in its slot.
        """
        slots, numbers = self._slots, self._marks.used()
        if not len(numbers):
            self._wanted, self._stacks = (), {}
            return NO_OPERATIONS
        # Compared first: numpy raises when what it searches changes under it.
        block, slot = np.nonzero(self._started[numbers] != 0)
        taken = numbers[block] * OPERATION_BLOCK + slot
        taken = taken[np.argsort(slots["started_ns"][taken], kind="stable")]
        self._barrier()
        found = slots[taken]
        self._barrier()
        rows = self._named(found)
        kept = (rows["started_ns"] != 0) & (slots["started_ns"][taken] == rows["started_ns"])
        old = int(np.count_nonzero(rows["started_ns"] + np.uint64(_OLD_NS) <= now_ns))
        threads = rows["pid"][:old].tolist()
        wanted: dict[int, None] = {}
        for index, (thread, started_ns) in enumerate(
            zip(threads, rows["started_ns"][:old].tolist(), strict=True)
        ):
            stack = self._stacks.get(thread)
            if stack is None or not stack.shows(started_ns):
                wanted[thread] = None
                continue
            if stack.wait is None:
                kept[index] = False
                slots["started_ns"][taken[index]] = 0
                continue
            rows["waits_for"][index] = stack.wait
            if not stack.is_fresh(now_ns):
                wanted[thread] = None
        self._wanted = tuple(wanted)[:_MOST_STACKS]
        if self._stacks:
            self._stacks = {tid: self._stacks[tid] for tid in self._stacks.keys() & {*threads}}
        inside: OperationArray = rows[kept]
        return inside

    def is_empty(self) -> bool:
        """Whether no operation is inside the client: no slot is taken."""
        return self._marks.none_used()

    def wanted_stacks(self) -> tuple[int, ...]:
        """Threads (tids) whose stacks are wanted as of the last look, 64 at most."""
        return self._wanted

    def set_stacks(self, read_ns: int, stacks: Mapping[int, str | None]) -> None:
        """Take in what was read of threads that were wanted, from ``read_ns`` on.

        None is the stack of a thread that is gone, an empty one could not be read.
        """
        for thread, stack in stacks.items():
            wait = None if stack is None else wait_of(stack)
            self._stacks[thread] = _Stack(read_ns, wait)
        self._wanted = tuple(thread for thread in self._wanted if thread not in stacks)

    def _named(self, slots: npt.NDArray[Any]) -> OperationArray:
        """Rows of slots: each with the name of its function. Raises BpfError."""
        rows = np.zeros(len(slots), OPERATION)
        for name in _SAME:
            rows[name] = slots[name]
        # Linux 6.1 does not fill up a name: behind its end stands the rest of the slot's last one.
        rows["comm"] = [comm.partition(b"\0")[0] for comm in slots["comm"].tolist()]
        functions = slots["function"].tolist()
        if len(self._functions) > _MOST_FUNCTIONS:
            self._functions.clear()
        for at in {*functions} - self._functions.keys():
            self._functions[at] = self._text_at(at, _FUNCTION_BYTES)
        rows["function"] = [self._functions[at] for at in functions]
        return rows

    def close(self) -> None:
        """Unmap."""
        self._marks.close()
        del self._slots, self._started  # they would hold the mapping
        self._memory.close()
