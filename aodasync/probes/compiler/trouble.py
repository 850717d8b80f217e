# SPDX-License-Identifier: MIT
"""Which of the client's tracepoints can be attached to, by their prototypes in BTF.

A raw tracepoint program reads its arguments by position, and positions changed
over time. So each program is used only where the
running kernel's prototype has exactly the arguments it was written for.
"""

from __future__ import annotations

from typing import NamedTuple

from .btf import Btf, Kind
from .functions import Candidate

__all__ = ["NOT_THERE", "TROUBLES", "Trouble", "argument_sizes", "attachable", "described"]


NOT_THERE = "not in this kernel"


class Trouble(NamedTuple):
    """A program, the tracepoint it is for, and the sizes of that one's arguments in bytes."""

    program: str
    tracepoint: str
    sizes: tuple[int, ...]


_CONNECTION = (8, 8, 8)
_CREDITS = (8, 8, 8, 4, 4, 4)

TROUBLES = (
    Trouble("smb3_reconnect", "smb3_reconnect", _CONNECTION),
    Trouble("smb3_partial_send_reconnect", "smb3_partial_send_reconnect", _CONNECTION),
    Trouble("smb3_reconnect_detected", "smb3_reconnect_detected", _CREDITS),
    Trouble("smb3_credit_timeout", "smb3_credit_timeout", _CREDITS),
    Trouble("smb3_insufficient_credits", "smb3_insufficient_credits", _CREDITS),
    Trouble("smb3_reconnect_with_invalid_credits", "smb3_reconnect_with_invalid_credits", _CREDITS),
    Trouble("smb3_ses_expired", "smb3_ses_expired", (4, 8, 2, 8)),
    # Since v6.12.
    Trouble("smb3_ses_not_found", "smb3_ses_not_found", (8,)),
    Trouble("smb3_key_expired", "smb3_key_expired", (8, 8, 8, 8, 4)),
    Trouble("smb3_tcon", "smb3_tcon", (4, 4, 8, 8, 4)),
    Trouble("smb3_connect_err", "smb3_connect_err", (8, 8, 8, 4)),
    Trouble("smb3_lease_not_found", "smb3_lease_not_found", (4, 4, 8, 8, 8)),
    # Since about v6.19: with flags and epoch.
    Trouble("smb3_lease_not_found_epoch", "smb3_lease_not_found", (4, 4, 2, 4, 8, 8, 8)),
    Trouble("cifs_fsync_err", "cifs_fsync_err", (8, 4)),
    Trouble("cifs_flush_err", "cifs_flush_err", (8, 4)),
    # Since about v6.19.
    Trouble("smb3_eio", "smb3_eio", (4, 8, 8)),
)


def argument_sizes(btf: Btf, tracepoint: str) -> tuple[int, ...] | None:
    """Sizes of a tracepoint's arguments; None when this kernel does not have it.

    ``btf_trace_NAME`` is a pointer to its prototype, the first parameter of which is
    the kernel's own (include/trace/bpf_probe.h, include/linux/tracepoint.h).
    """
    found = btf.find(f"btf_trace_{tracepoint}", Kind.TYPEDEF)
    if not found:
        return None
    prototype = btf.strip(btf.strip(found[0].id).size_or_type)
    return tuple(btf.size(parameter.type_id) for parameter in btf.parameters(prototype)[1:])


def described(sizes: tuple[int, ...] | None) -> str:
    """Such arguments in words."""
    return NOT_THERE if sizes is None else f"arguments of {', '.join(map(str, sizes))} bytes"


def attachable(btf: Btf) -> tuple[list[Trouble], list[Candidate]]:
    """The programs that fit this kernel, and what became of each tracepoint."""
    chosen: dict[str, Trouble] = {}
    whys: dict[str, str] = {}
    for trouble in TROUBLES:
        sizes = argument_sizes(btf, trouble.tracepoint)
        if sizes == trouble.sizes:
            chosen[trouble.tracepoint] = trouble
        whys[trouble.tracepoint] = described(sizes)
    candidates = [Candidate("trouble", name, name in chosen, why) for name, why in whys.items()]
    return list(chosen.values()), candidates
