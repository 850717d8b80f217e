# SPDX-License-Identifier: MIT
"""What programs cost when they run often: many times in one run, as raw tracepoints cannot be.

BPF_PROG_TEST_RUN repeats only programs on packets. So the byte code is put into a
loop of its own, with a context on the stack; one run of it is many of theirs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from aodasync.probes.bpf import ProgramType, load_program, run
from aodasync.probes.program_loader import patched
from aodasync.probes.shared import MapNumber
from tests.kernel.program_stats import ProgramStats

__all__ = ["reference", "warm_ns"]

_TIMES: Final = 50
_ROUNDS: Final = 200
_CONTEXT_AT: Final = -512  # of the 512 bytes of stack, of which our programs use the other end
_WORDS: Final = 3
_COUNTER_AT: Final = _CONTEXT_AT + 8 * _WORDS
_INSTRUCTION: Final = np.dtype(
    [("code", "u1"), ("registers", "u1"), ("off", "<i2"), ("imm", "<i4")]
)
_EXIT: Final = 0x95
_JUMP: Final = 0x05
_KTIME_GET_NS: Final = 5  # enum bpf_func_id
_GET_CURRENT_PID_TGID: Final = 14


def reference() -> bytes:
    """Byte code that asks for the time and the task, eight times: a measure of the machine."""
    calls = _insn(0x85, imm=_KTIME_GET_NS) + _insn(0x85, imm=_GET_CURRENT_PID_TGID)
    return calls * 8 + _insn(_EXIT)


def warm_ns(
    programs: Sequence[Sequence[bytes]], maps: Mapping[MapNumber, int], context: Sequence[int]
) -> list[float]:
    """Time of each of ``programs``, whose parts run one after another on the same ``context``.

    The best of many rounds, in each of which every program runs: whatever slows the
    machine for a while slows all of them.
    """
    loaded = [_repeated(parts, maps) for parts in programs]
    arguments = [*context, *([0] * (12 - len(context)))]
    best = [float("inf")] * len(loaded)
    stats = ProgramStats({str(number): program for number, program in enumerate(loaded)})
    for _ in range(_ROUNDS):
        for number, program in enumerate(loaded):
            with stats:
                before = stats.totals()[str(number)]
                run(program, arguments)
                spent_ns, _ = np.subtract(stats.totals()[str(number)], before)
            best[number] = min(best[number], float(spent_ns))
    return [spent_ns / _TIMES for spent_ns in best]


def _repeated(codes: Sequence[bytes], maps: Mapping[MapNumber, int]) -> int:
    """A program that runs all of ``codes`` as often as ``_TIMES`` says."""
    body = b"".join(_once(patched(code, maps)) for code in codes)
    tail = (
        _insn(0x79, 1, 10, offset=_COUNTER_AT)  # r1 = counter
        + _insn(0x07, 1, imm=1)
        + _insn(0x7B, 10, 1, offset=_COUNTER_AT)
        + _insn(0xA5, 1, offset=-(len(body) // 8 + 4), imm=_TIMES)  # if r1 < times goto body
        + _insn(0xB7, 0)
        + _insn(_EXIT)
    )
    head = b"".join(
        _insn(0x79, 2, 1, offset=8 * word) + _insn(0x7B, 10, 2, offset=_CONTEXT_AT + 8 * word)
        for word in range(_WORDS)
    )
    head += _insn(0x7A, 10, offset=_COUNTER_AT)  # counter = 0
    return load_program(ProgramType.RAW_TRACEPOINT, head + body + tail, "test_repeated")


def _once(code: bytes) -> bytes:
    """Byte code that goes on behind itself instead of ending, with r1 at the stack's context."""
    instructions = np.frombuffer(code, _INSTRUCTION).copy()
    (ends,) = np.nonzero(instructions["code"] == _EXIT)
    for end in ends.tolist():
        instructions["code"][end] = _JUMP
        instructions["off"][end] = len(instructions) - end - 1
    at_context = _insn(0xBF, 1, 10) + _insn(0x07, 1, imm=_CONTEXT_AT)
    return at_context + instructions.tobytes()


def _insn(code: int, dst: int = 0, src: int = 0, *, offset: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, offset, imm)
