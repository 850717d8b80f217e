# SPDX-License-Identifier: MIT
"""The client's tracepoints around each operation of a process: smb3_enter, smb3_exit_*.

All three or none: an operation that is seen to begin must be seen to end.
"""

from __future__ import annotations

from .btf import Btf
from .functions import Candidate, Choice, Target
from .trouble import argument_sizes, described

__all__ = ["operation_targets"]

_ROLE = "operations"
# Tracepoint (and program), and the sizes of its arguments: xid, func_name, rc. Ends first.
_TRACEPOINTS = (
    ("smb3_exit_done", (4, 8)),
    ("smb3_exit_err", (4, 8, 4)),
    ("smb3_enter", (4, 8)),
)


def operation_targets(btf: Btf) -> Choice:
    """What to attach, in order; nothing where the kernel's prototypes differ."""
    found = [(name, sizes, argument_sizes(btf, name)) for name, sizes in _TRACEPOINTS]
    fit = all(sizes == wanted for _, wanted, sizes in found)
    targets = [Target(_ROLE, name, name, "raw_tracepoint", 0) for name, _, _ in found]
    tried = [Candidate(_ROLE, name, fit, described(sizes)) for name, _, sizes in found]
    return Choice(targets if fit else [], {}, tried)
