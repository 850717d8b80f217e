# SPDX-License-Identifier: MIT
"""A memory barrier between our reads of memory that the kernel writes.

x86 keeps loads in order, and does not move a store before them. Elsewhere the
barrier is membarrier(2): what a thread read or wrote before the call is ordered
before what it does after it. A lock taken and released promises less: both sides may
move into it.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from typing import Final

from aodasync.errors import RequirementError

__all__ = ["memory_barrier"]

_KEEPS_ORDER: Final = frozenset({"x86_64", "AMD64"})
_SYSCALL_NUMBERS: Final = {"aarch64": 283, "riscv64": 283, "loongarch64": 283, "ppc64le": 365}
# With one CPU it does nothing, and nothing is needed. Unlike PRIVATE_EXPEDITED it is a
# barrier in a process of one thread too (kernel/sched/membarrier.c).
_GLOBAL_EXPEDITED: Final = 1 << 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def memory_barrier(machine: str = "", number: int | None = None) -> Callable[[], None]:
    """The barrier of this machine (``machine`` and ``number`` stand in for it in tests).

    Raises RequirementError where there is none.
    """
    machine = machine or platform.machine()
    if machine in _KEEPS_ORDER:
        return _nothing
    number = number or _SYSCALL_NUMBERS.get(machine)
    if number is None:
        raise RequirementError(f"no memory barrier is known for {machine}")
    syscall, arguments = _LIBC.syscall, (ctypes.c_long(number), _GLOBAL_EXPEDITED, 0, 0)
    if syscall(*arguments) < 0:
        reason = os.strerror(ctypes.get_errno())
        raise RequirementError(f"membarrier(2): {reason} (CONFIG_MEMBARRIER)")

    def barrier() -> None:
        syscall(*arguments)

    return barrier


def _nothing() -> None:
    pass
