# SPDX-License-Identifier: MIT
"""From the running kernel's types to the numbers that the BPF programs are compiled with.

Nothing is guessed and no version is looked at. What is not understood is a
:class:`LayoutProblemError` that names it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from .btf import Btf
from .functions import Target, function_targets
from .members import LayoutProblemError, struct_definitions
from .trouble import attachable

__all__ = ["Layout", "LayoutProblemError", "Target", "decide"]


class Layout(NamedTuple):
    """Numbers for the C side, and what to attach to, in the order of attachment."""

    definitions: dict[str, int]
    targets: list[Target]
    notes: list[str]


def decide(btf: Btf, exclude: Collection[str] = ()) -> Layout:
    """Work out the layout from the BTF of the object that holds the client.

    ``exclude`` names functions that turned out not to be attachable. Raises
    :class:`LayoutProblemError`.
    """
    structs = struct_definitions(btf)
    targets, arguments = function_targets(btf, exclude)
    troubles, notes = attachable(btf)
    targets += [
        Target("trouble", trouble.program, trouble.tracepoint, "raw_tracepoint", 0)
        for trouble in troubles
    ]
    if "MID_when_sent" not in structs:
        notes.append("the client does not note when it sends (CONFIG_CIFS_STATS2): sent_ns is 0")
    if "RECEIVED_MID_ARG" not in arguments:
        notes.append("dequeue_mid cannot be probed: received_ns is 0")
    if "INTERIM_RESULT" not in arguments:
        notes.append(
            "smb2_is_status_pending cannot be probed: interim responses are not seen in flight"
        )
    return Layout({**structs, **arguments}, targets, notes)
