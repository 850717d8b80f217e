# SPDX-License-Identifier: MIT
"""Our BPF programs on the running kernel, without its SMB client.

The programs take their arguments as an array of words, and so do raw tracepoint
programs: the very byte code that is attached to the client elsewhere runs here
through BPF_PROG_TEST_RUN, with addresses of memory that looks like the client's.
That memory is an mmapable array map: kernel memory which the test can write.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from typing import Final

from aodasync.evidence.file_book import MAX_REQUESTS, FileBook
from aodasync.probes.bpf import Command, ProgramType, address, call, load_program, run
from aodasync.probes.compiler.btf import Btf
from aodasync.probes.compiler.layout import decide
from aodasync.probes.interface import ProbePlan
from aodasync.probes.maps import MapType, create_map, update
from aodasync.probes.preparation import Prepared
from aodasync.probes.program_loader import Loaded, create_maps, patched
from aodasync.probes.request_probe import RequestProbe
from aodasync.probes.shared import MapNumber, StateIndex
from tests.kernel.running_task import task_of
from tests.unit.probes.kernel_types import kernel_blobs

_BPF_F_MMAPABLE: Final = 1 << 10
_BPF_F_TEST_RUN_ON_CPU: Final = 1
ARENA_BYTES: Final = 1 << 17
"""Of the arena, for what a request touches; seven times as much for sessions, trees and tasks."""

KPROBE_MACHINE: Final = "aarch64"
"""Whose registers kprobes are compiled for: arguments are where a raw tracepoint has them."""

_MEMORY_BYTES: Final = 8 * ARENA_BYTES


def run_repeatedly(program_fd: int, times: int) -> int:
    """Run a socket filter program so often; returns the mean time in ns."""
    packet = ctypes.create_string_buffer(64)
    attributes = bytearray(
        struct.pack(
            "IIIIQQIIIIQQIII",
            *(program_fd, 0, len(packet), 0, address(packet), 0, times, 0),
            *(0, 0, 0, 0, 0, 0, 0),
        )
    )
    call(Command.PROG_TEST_RUN, attributes, "cannot run a program")
    return int(struct.unpack_from("I", attributes, 36)[0])


class Arena:
    """Kernel memory that the test can write; ``base`` is its address in the kernel."""

    def __init__(self) -> None:
        self.fd = create_map(
            MapType.ARRAY,
            name="test_arena",
            key_size=4,
            value_size=_MEMORY_BYTES,
            max_entries=1,
            flags=_BPF_F_MMAPABLE,
        )
        self.memory = mmap.mmap(self.fd, _MEMORY_BYTES)
        self.base, self.jiffies = self._look()

    def write(self, at: int, form: str, *values: object) -> None:
        """Pack values at an offset."""
        struct.pack_into(form, self.memory, at, *values)

    def read(self, at: int, form: str) -> tuple[int, ...]:
        """Unpack values at an offset."""
        return struct.unpack_from(form, self.memory, at)

    def refresh_jiffies(self) -> int:
        """The kernel's jiffies now."""
        _, self.jiffies = self._look()
        return self.jiffies

    def close(self) -> None:
        """Unmap."""
        self.memory.close()
        os.close(self.fd)

    def _look(self) -> tuple[int, int]:
        """Address of the arena and jiffies, by a program that writes both into its start."""
        lookup, jiffies64 = 1, 118
        code = b"".join(
            (
                _insn(0x62, 10, offset=-4),  # *(u32 *)(r10 - 4) = 0
                _insn(0xBF, 2, 10),  # r2 = r10
                _insn(0x07, 2, imm=-4),  # r2 += -4
                _insn(0x18, 1, 1, imm=self.fd) + _insn(0),  # r1 = map
                _insn(0x85, imm=lookup),
                _insn(0x55, 0, offset=2),  # if r0 != 0 goto +2
                _insn(0xB7, 0),  # r0 = 0
                _insn(0x95),
                _insn(0xBF, 6, 0),  # r6 = r0
                _insn(0x7B, 6, 6),  # *(u64 *)(r6 + 0) = r6
                _insn(0x85, imm=jiffies64),
                _insn(0x7B, 6, 0, offset=8),  # *(u64 *)(r6 + 8) = r0
                _insn(0xB7, 0),
                _insn(0x95),
            )
        )
        program = load_program(ProgramType.RAW_TRACEPOINT, code, "test_look")
        run(program, [0])
        os.close(program)
        found = self.read(0, "=QQ")
        self.write(0, "=QQ", 0, 0)
        return found[0], found[1]


def _insn(code: int, dst: int = 0, src: int = 0, *, offset: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, offset, imm)


class Rig:
    """The programs and maps, a probe over them, and an arena for the client's structs."""

    def __init__(
        self, prepared: Prepared, version: str, ring_bytes: int, method: str = "fentry"
    ) -> None:
        kernel, cifs = kernel_blobs(version, task=task_of(version))
        types = Btf(cifs, Btf(kernel))
        layout = decide(types, (), method, KPROBE_MACHINE)
        self.definitions, self.lists = layout.definitions, layout.lists
        self.arena = Arena()
        self.maps = create_maps(ring_bytes, method)
        self.programs: dict[str, int] = {}
        loaded = Loaded(self.maps)
        for program in prepared.programs:
            code = patched(program.code, self.maps)
            fd = load_program(ProgramType.RAW_TRACEPOINT, code, program.name)
            self.programs[program.name] = fd
            loaded.programs.append((program.role, fd))
        plan = ProbePlan("test", os.uname().release, (), (), {})
        self.probe = RequestProbe(loaded, plan, ring_bytes, method, files=FileBook(MAX_REQUESTS))
        self.track_since(1)

    def track_since(self, monotonic_ns: int) -> None:
        """When allocations began to be seen; 0: not yet."""
        key = struct.pack("I", StateIndex.TRACKED_SINCE_NS)
        update(self.maps[MapNumber.STATE], key, struct.pack("Q", monotonic_ns))

    def run(self, program: str, *context: int) -> None:
        """Run one of our programs on these arguments (12 words, as the kernel gives it)."""
        run(self.programs[program], [*context, *([0] * (12 - len(context)))])

    def close(self) -> None:
        """Free everything."""
        self.probe.close()
        self.arena.close()
