# SPDX-License-Identifier: MIT
"""Where operations of processes begin and end: the tracepoint smb3_enter, and _free_xid.

Both or none: an operation that is seen to begin must be seen to end.
"""

from __future__ import annotations

from collections.abc import Collection

from .btf import Btf
from .functions import Candidate, Choice, Target, function_taking
from .trouble import argument_sizes, described

__all__ = ["operation_targets"]

_ROLE = "operations"
_BEGIN = "smb3_enter"
_BEGIN_SIZES = (4, 8)  # xid, func_name
_END = "_free_xid"
_END_SIZES = (4,)  # xid


def operation_targets(btf: Btf, exclude: Collection[str]) -> Choice:
    """What to attach, the end first; nothing where the kernel has it otherwise."""
    end = function_taking(btf, _END, _END_SIZES, exclude)
    begin = argument_sizes(btf, _BEGIN)
    fit = not isinstance(end, str) and begin == _BEGIN_SIZES
    tried = [
        Candidate(_ROLE, _END, fit, end if isinstance(end, str) else f"known as {_END}(xid)"),
        Candidate(_ROLE, _BEGIN, fit, described(begin)),
    ]
    if isinstance(end, str) or not fit:
        return Choice([], {}, tried)
    targets = [
        Target(_ROLE, "operation_ended", _END, "fentry", end.id),
        Target(_ROLE, _BEGIN, _BEGIN, "raw_tracepoint", 0),
    ]
    return Choice(targets, {"XID_ARG": 0}, tried)
