# SPDX-License-Identifier: MIT
"""The same functions by kprobe: where registers hold what, and what is attached."""

from __future__ import annotations

import pytest

from aodasync.probes.compiler.btf import Btf
from aodasync.probes.compiler.layout import Layout, LayoutProblemError, decide
from tests.unit.probes.kernel_types import kernel_blobs


def layout(version: str, machine: str = "x86_64") -> Layout:
    """The layout of a kernel's types by kprobe."""
    kernel, cifs = kernel_blobs(version)
    return decide(Btf(cifs, Btf(kernel)), (), "kprobe", machine)


def attached(found: Layout) -> list[tuple[str, str, str]]:
    """Role, program and method of all but tracepoints."""
    return [(t.role, t.program, t.attach) for t in found.targets if "tracepoint" not in t.attach]


def test_entries_and_returns() -> None:
    """Where a return needs arguments, the entry comes before it."""
    assert attached(layout("6.12")) == [
        ("paths", "create_begun", "kprobe"),
        ("release", "request_release", "kprobe"),
        ("received", "request_received", "kprobe"),
        ("interim", "request_interim", "kprobe"),
        ("entered", "request_alloc_entered", "kprobe"),
        ("alloc", "request_alloc", "kretprobe"),
        ("operations", "operation_ended", "kprobe"),
        ("trees_entered", "tree_connected_entered", "kprobe"),
        ("trees", "tree_connected", "kretprobe"),
        ("walk", "walk_trees", "on_demand"),
        ("check", "check_mid", "on_demand"),
        ("word", "read_word", "on_demand"),
        ("connection", "note_connection", "on_demand"),
        ("adopt", "adopt_mid", "on_demand"),
    ]


def test_a_dropped_reference_is_seen_at_entry_and_return() -> None:
    """Where the freeing function is inlined; the entry's program keeps the MID."""
    assert attached(layout("5.15"))[1:3] == [
        ("freed", "request_put_done", "kretprobe"),
        ("release", "request_put", "kprobe"),
    ]


def test_registers_of_x86_64() -> None:
    """di, si, dx and cx of struct pt_regs, and ax for the result."""
    found = layout("7.2").definitions
    assert found["KPROBES"] == 1
    assert (found["ALLOC_REQUEST_ARG"], found["ALLOC_SERVER_ARG"]) == (14, 13)
    assert (found["RECEIVED_SERVER_ARG"], found["RECEIVED_MID_ARG"]) == (14, 13)
    assert (found["PATH_RQST_ARG"], found["TREE_TCON_ARG"]) == (12, 11)
    assert {found["ALLOC_RESULT"], found["TREE_RESULT"]} == {10}
    assert layout("6.12").definitions["RELEASE_MID_BIAS"] == 16


def test_registers_of_arm64() -> None:
    """x0 on for the arguments, x0 for the result."""
    found = layout("6.12", "aarch64").definitions
    assert (found["ALLOC_REQUEST_ARG"], found["ALLOC_SERVER_ARG"]) == (0, 1)
    assert (found["TREE_TCON_ARG"], found["TREE_RESULT"]) == (3, 0)


def test_another_machine_is_refused() -> None:
    """Registers are never guessed."""
    with pytest.raises(LayoutProblemError, match="riscv64"):
        layout("6.12", "riscv64")
