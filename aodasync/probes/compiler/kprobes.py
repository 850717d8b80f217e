# SPDX-License-Identifier: MIT
"""The same functions by kprobe, where the kernel cannot do fentry.

A kprobe's context is the registers (struct pt_regs of arch/*/include/asm/ptrace.h).
At a function's entry they hold its arguments by the calling convention; at its
return only the result, so a program at the entry keeps what is needed later.
"""

from __future__ import annotations

from typing import NamedTuple

from .functions import Choice, Target
from .members import LayoutProblemError

__all__ = ["as_kprobes"]


class _Registers(NamedTuple):
    """Words of struct pt_regs: of the first arguments in their order, and of the result."""

    arguments: tuple[int, ...]
    result: int


_REGISTERS = {
    "x86_64": _Registers(arguments=(14, 13, 12, 11, 9, 8), result=10),
    "aarch64": _Registers(arguments=(0, 1, 2, 3, 4, 5, 6, 7), result=0),
}
# Roles at a return for which arguments are kept at the entry, and the entry's role.
_ENTERED = {"alloc": "entered", "trees": "trees_entered"}
_METHODS = {"fentry": "kprobe", "fexit": "kretprobe"}


def as_kprobes(choice: Choice, machine: str) -> Choice:
    """The choice with registers for arguments. Raises :class:`LayoutProblemError`."""
    registers = _REGISTERS.get(machine)
    if registers is None:
        raise LayoutProblemError(f"where {machine} passes arguments is not known")
    definitions = {"KPROBES": 1}
    for name, value in choice.definitions.items():
        if name.endswith("_ARG"):
            definitions[name] = registers.arguments[value]
        elif name.endswith("_RESULT"):
            definitions[name] = registers.result
        else:
            definitions[name] = value
    targets: list[Target] = []
    for target in dict.fromkeys(choice.targets):  # none of them is skipped: once is enough
        if target.role in _ENTERED:
            role, program = _ENTERED[target.role], f"{target.program}_entered"
            targets.append(target._replace(role=role, program=program, attach="kprobe"))
        if target.role == "interim":  # tells by the response at the entry already
            targets.append(target._replace(attach="kprobe"))
        else:
            targets.append(target._replace(attach=_METHODS.get(target.attach, target.attach)))
    return Choice(targets, definitions, choice.tried)
