# SPDX-License-Identifier: MIT
"""The byte code itself: what bcc made of our C, and that it does not depend on chance."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aodasync.errors import CompileError
from aodasync.probes.bpf import AttachType, ProgramType, load_program
from aodasync.probes.compiler.btf import Btf, Kind
from aodasync.probes.preparation import METHODS, Prepared, bpf_sources, prepare
from aodasync.probes.program_loader import create_maps, patched
from aodasync.probes.shared import definitions
from tests.kernel.running_task import task_of
from tests.unit.probes.kernel_types import FAKE_TASK, KERNELS, write_kernel

HELPERS = {
    1: "map_lookup_elem",
    2: "map_update_elem",
    3: "map_delete_elem",
    5: "ktime_get_ns",
    14: "get_current_pid_tgid",
    16: "get_current_comm",
    113: "probe_read_kernel",
    115: "probe_read_kernel_str",
    118: "jiffies64",
    131: "ringbuf_reserve",
    132: "ringbuf_submit",
    134: "ringbuf_query",
    158: "get_current_task_btf",
}
_OFTEN = {"request_alloc", "smb3_enter"}
TAKES_STRUCTS = {"alloc", "received", "release", "freed", "paths"}

MAX_INSTRUCTIONS = 700  # a loop that was unrolled, or a body inlined twice, would be more
_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("imm", "<i4")])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("version", sorted(KERNELS))
def test_only_expected_helpers_are_called(
    prepared: Callable[..., Prepared], version: str, method: str
) -> None:
    """Bcc rewrites what it takes for foreign pointers; nothing of ours is rewritten."""
    for program in prepared(version, method).programs:
        instructions = np.frombuffer(program.code, _INSTRUCTION)
        calls = instructions[instructions["code"] == 0x85]
        called = {HELPERS[number] for number in calls["imm"].tolist()}
        if program.name in _OFTEN and task_of(version) is not FAKE_TASK:
            assert "get_current_comm" not in called, f"{program.name} can load the name"
        assert (calls["registers"] == 0).all(), f"{program.name} calls a function of its own"
        assert len(instructions) < MAX_INSTRUCTIONS


@pytest.mark.parametrize("version", sorted(KERNELS))
def test_the_verifier_takes_typed_arguments(
    prepared: Callable[..., Prepared], version: str
) -> None:
    """In fentry and fexit an argument is a pointer to a struct, no mere number.

    A tracepoint of the kernel's that has such arguments stands in for the client's functions.
    """
    kernel = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes())
    (executed,) = kernel.find("btf_trace_sched_process_exec", Kind.TYPEDEF)
    maps = create_maps(1 << 20)
    tried = set()
    for program in prepared(version).programs:
        if program.attach in ("fentry", "fexit") and program.role in TAKES_STRUCTS:
            code = patched(program.code, maps)
            fd = load_program(
                ProgramType.TRACING,
                code,
                program.name,
                attach_type=AttachType.TRACE_RAW_TP,
                btf_id=executed.id,
            )
            os.close(fd)
            tried.add(program.role)
    for fd in maps.values():
        os.close(fd)
    assert TAKES_STRUCTS - {"freed"} <= tried


def test_the_second_preparation_is_cached(tmp_path: Path) -> None:
    """The same byte code comes back without a compilation."""
    (tmp_path / "btf").mkdir()
    btf = write_kernel(tmp_path / "btf", "6.12")
    cold = asyncio.run(prepare(cache_dir=tmp_path / "cache", btf=btf))
    warm = asyncio.run(prepare(cache_dir=tmp_path / "cache", btf=btf))
    assert cold.programs == warm.programs
    assert "compile" in cold.steps_ms
    assert "compile" not in warm.steps_ms
    print("cold", dict(cold.steps_ms), "warm", dict(warm.steps_ms))


def test_a_record_that_differs_does_not_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The static asserts compare every offset with the agent's dtype."""
    btf = write_kernel(tmp_path, "6.12")
    table = definitions() | {"AT_tree_id": 60}
    monkeypatch.setattr("aodasync.probes.preparation.definitions", lambda: table)
    with pytest.raises(CompileError, match=r"tree_id differs from aodasync\.events\.EVENT"):
        asyncio.run(prepare(cache_dir=None, btf=btf))


def test_no_kernel_header_is_read() -> None:
    """The sources include our own files and the stub tree, nothing else."""
    allowed = {path.name for path in bpf_sources().glob("*.h")} | {"linux/types.h"}
    for source in bpf_sources().glob("*.[ch]"):
        for line in source.read_text().splitlines():
            if line.startswith("#include"):
                assert line.split()[1].strip('<>"') in allowed, f"{source.name}: {line}"
