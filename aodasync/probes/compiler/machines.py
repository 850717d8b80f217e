# SPDX-License-Identifier: MIT
"""What the agent must know of a processor, by the name that uname(2) gives it.

All that differs between machines stands here; page size, length of a tick and the
offsets of structures are asked of the running kernel. Numbers of system calls: x86-64
has its own (arch/x86/entry/syscalls/syscall_64.tbl), as has powerpc; all newer ones
share include/uapi/asm-generic/unistd.h. Where one is 0, it was never tried.
"""

from __future__ import annotations

import platform
import struct
from typing import NamedTuple

__all__ = ["MACHINES", "Machine", "Registers", "machine"]


class Registers(NamedTuple):
    """Words of struct pt_regs: of the first arguments in their order, and of the result.

    In arch/*/include/asm/ptrace.h; arguments by the calling convention.
    """

    arguments: tuple[int, ...]
    result: int


class Machine(NamedTuple):
    """``keeps_order``: loads stay in order, and a store does not move before a load."""

    bpf: int
    perf_event_open: int
    membarrier: int
    keeps_order: bool = False
    registers: Registers | None = None


_GENERIC = Machine(bpf=280, perf_event_open=241, membarrier=283)

MACHINES = {
    "x86_64": Machine(
        bpf=321,
        perf_event_open=298,
        membarrier=324,
        keeps_order=True,
        registers=Registers(arguments=(14, 13, 12, 11, 9, 8), result=10),  # di si dx cx r8 r9, ax
    ),
    "aarch64": _GENERIC._replace(
        registers=Registers(arguments=(0, 1, 2, 3, 4, 5, 6, 7), result=0)  # x0 on, x0
    ),
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
    # The numbers of ioctls, which perf events take, are others there too.
    "ppc64le": Machine(bpf=361, perf_event_open=0, membarrier=365),
}


def machine(name: str = "") -> Machine | None:
    """What is known of a machine, by default of this one; None: nothing.

    A 32-bit program on a 64-bit kernel has other numbers: of it nothing is known.
    """
    if struct.calcsize("P") != 8:
        return None
    return MACHINES.get(name or platform.machine())
