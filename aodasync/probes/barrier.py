# SPDX-License-Identifier: MIT
"""A memory barrier between our accesses to memory that the kernel writes.

The kernel side asks for an acquire load before the data, and a release store after it:
kernel/bpf/ringbuf.c stores the producer position with smp_store_release() and ends BUSY
with xchg(), both behind what they publish, and takes the consumer position with
smp_load_acquire(). libbpf's reader (tools/lib/bpf/ringbuf.c) has the counterparts. From
Python the load and the store are plain ones, each of 8 aligned bytes and so never torn; a
full barrier behind the one, or before the other, is stronger than what is asked for.

x86 keeps loads in order, and does not move a store before them (Intel SDM 3A, 8.2.2: TSO):
nothing is needed but that the compiler keeps the order too, and it does not see across
the calls that the interpreter makes. Elsewhere the barrier is membarrier(2): what a thread
read or wrote before the call is ordered before what it does after it; kernel/sched/membarrier.c
(membarrier_global_expedited) has smp_mb() at its entry and at its exit, since a system call by
itself is none. A lock taken and released promises less: both sides may move into it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

from aodasync.errors import RequirementError
from aodasync.probes.compiler.machines import machine

__all__ = ["memory_barrier"]

# With one CPU it does nothing, and nothing is needed. Unlike PRIVATE_EXPEDITED it is a
# barrier in a process of one thread too (kernel/sched/membarrier.c). Nobody is interrupted
# for it but processes that registered for that.
_GLOBAL_EXPEDITED: Final = 1 << 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def memory_barrier(name: str = "", number: int = 0) -> Callable[[], None]:
    """The barrier of this machine (``name`` and ``number`` stand in for it in tests).

    Raises RequirementError where there is none.
    """
    known = machine(name)
    if known is None:
        raise RequirementError(f"no memory barrier is known for {name or os.uname().machine}")
    if known.keeps_order:
        return _nothing
    number = number or known.membarrier
    syscall, arguments = _LIBC.syscall, (ctypes.c_long(number), _GLOBAL_EXPEDITED, 0, 0)
    if syscall(*arguments) < 0:
        reason = os.strerror(ctypes.get_errno())
        raise RequirementError(f"membarrier(2): {reason} (CONFIG_MEMBARRIER)")

    def barrier() -> None:
        syscall(*arguments)

    return barrier


def _nothing() -> None:
    pass
