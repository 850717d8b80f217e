# SPDX-License-Identifier: MIT
"""What the agent knows of processors is what the kernel's own headers say."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from aodasync.errors import BpfError
from aodasync.probes import bpf, perf_events
from aodasync.probes.compiler.machines import MACHINES, Machine, machine

INCLUDE = Path("/usr/include")
X86 = "x86_64-linux-gnu/asm/unistd_64.h"
GENERIC = "asm-generic/unistd.h"  # linux-libc-dev has it on every machine
CALLS = ("bpf", "perf_event_open", "membarrier")


@pytest.mark.parametrize(
    ("name", "header"), [("x86_64", X86), ("aarch64", GENERIC), ("riscv64", GENERIC)]
)
def test_numbers_of_system_calls_are_those_of_the_headers(name: str, header: str) -> None:
    """Of all that the agent calls by number."""
    path = INCLUDE / header
    if not path.exists():
        pytest.skip(f"no {header} (linux-libc-dev)")
    found = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", path.read_text()))
    known = MACHINES[name]
    assert [str(getattr(known, call)) for call in CALLS] == [found[call] for call in CALLS]


def test_registers_of_x86_64_are_those_of_the_header() -> None:
    """di, si, dx, cx, r8, r9 and, for the result, ax: their places in struct pt_regs."""
    path = INCLUDE / "x86_64-linux-gnu/asm/ptrace.h"
    if not path.exists():
        pytest.skip("no asm/ptrace.h of x86-64 (linux-libc-dev)")
    body = path.read_text().rpartition("struct pt_regs {")[2].partition("};")[0]
    words = re.findall(r"unsigned long (\w+);", body)
    known = MACHINES["x86_64"].registers
    assert known is not None
    assert [words[at] for at in known.arguments] == ["rdi", "rsi", "rdx", "rcx", "r8", "r9"]
    assert words[known.result] == "rax"


def test_only_x86_is_trusted_to_keep_loads_in_order() -> None:
    """Every other machine gets a barrier."""
    assert [name for name, known in MACHINES.items() if known.keeps_order] == ["x86_64"]


def test_a_32_bit_program_on_a_64_bit_kernel_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """uname(2) gives it the kernel's machine, whose numbers of system calls are not its own."""
    monkeypatch.setattr(struct, "calcsize", lambda _format: 4)
    assert machine("x86_64") is None
    assert machine("aarch64") is None


def test_ioctls_of_perf_events_are_those_of_the_generic_header() -> None:
    """_IOW('$', 8, __u32) and _IO('$', 0) of asm-generic/ioctl.h, which x86 and arm64 use."""
    group = ord("$") << 8
    assert [1 << 30 | 4 << 16 | group | 8, group] == [perf_events._SET_BPF, perf_events._ENABLE]


def test_a_machine_without_a_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSYS, and nothing is called."""
    monkeypatch.setattr(bpf, "_MACHINE", None)
    with pytest.raises(BpfError, match="not known on") as caught:
        bpf.call(bpf.Command.MAP_CREATE, bytes(8), "cannot create a map")
    assert caught.value.errno == errno.ENOSYS
    monkeypatch.setattr(perf_events, "_MACHINE", Machine(361, 0, 365))
    with pytest.raises(BpfError, match="not known on"):
        perf_events._attach(-1, "cannot attach", 0, 0)
