# SPDX-License-Identifier: MIT
"""The same functions by kprobe, where the kernel cannot do fentry.

A kprobe's context is the registers (struct pt_regs of arch/*/include/asm/ptrace.h).
At a function's entry they hold its arguments by the calling convention; at its
return only the result, so a program at the entry keeps what is needed later.
"""

from __future__ import annotations

from .functions import Choice, Target
from .machines import machine
from .members import LayoutProblemError

__all__ = ["as_kprobes"]


# Roles at a return for which arguments are kept at the entry, and the entry's role.
_ENTERED = {"alloc": "entered", "trees": "trees_entered"}
_METHODS = {"fentry": "kprobe", "fexit": "kretprobe"}


def as_kprobes(choice: Choice, machine_name: str) -> Choice:
    """The choice with registers for arguments. Raises :class:`LayoutProblemError`."""
    known = machine(machine_name)
    registers = known.registers if known else None
    if registers is None:
        raise LayoutProblemError(f"where {machine_name} passes arguments is not known")
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
