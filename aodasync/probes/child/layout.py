# SPDX-License-Identifier: MIT
"""From the running kernel's types to the numbers that the BPF programs are compiled with.

Nothing is guessed and no version is looked at. What is not understood is a
:class:`LayoutProblemError` that names it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from .btf import Btf
from .functions import Candidate, Target, function_targets
from .members import LayoutProblemError, struct_definitions, tree_definitions
from .trouble import NOT_THERE, attachable, names_trees

__all__ = ["Candidate", "Layout", "LayoutProblemError", "Target", "decide"]


class Layout(NamedTuple):
    """Numbers for the C side, and what to attach to, in the order of attachment."""

    definitions: dict[str, int]
    targets: list[Target]
    notes: list[str]
    tried: list[Candidate]


def decide(btf: Btf, exclude: Collection[str] = ()) -> Layout:
    """Work out the layout from the BTF of the object that holds the client.

    ``exclude`` names functions that turned out not to be attachable. Raises
    :class:`LayoutProblemError`.
    """
    structs = struct_definitions(btf)
    chosen = function_targets(btf, exclude)
    targets, arguments = list(chosen.targets), chosen.definitions
    troubles, trouble_candidates = attachable(btf)
    notes = [
        f"{candidate.target} has unknown {candidate.why}: left out"
        for candidate in trouble_candidates
        if not candidate.chosen and candidate.why != NOT_THERE
    ]
    targets += [
        Target("trouble", trouble.program, trouble.tracepoint, "raw_tracepoint", 0)
        for trouble in troubles
    ]
    trees, tree_targets, tree_notes = _trees(btf)
    targets += tree_targets
    notes += tree_notes
    if "MID_when_sent" not in structs:
        notes.append("the client does not note when it sends (CONFIG_CIFS_STATS2): sent_ns is 0")
    if "RECEIVED_MID_ARG" not in arguments:
        notes.append("dequeue_mid cannot be probed: received_ns is 0")
    if "INTERIM_RESULT" not in arguments:
        notes.append(
            "smb2_is_status_pending cannot be probed: interim responses are not seen in flight"
        )
    return Layout(
        {**structs, **arguments, **trees}, targets, notes, [*chosen.tried, *trouble_candidates]
    )


def _trees(btf: Btf) -> tuple[dict[str, int], list[Target], list[str]]:
    """How shares are named: those of new trees, and those of trees that are there already."""
    targets, notes = [], []
    definitions: dict[str, int] = {}
    if names_trees(btf):
        targets.append(Target("trees", "tree_connected", "smb3_tcon", "raw_tracepoint", 0))
    else:
        notes.append("smb3_tcon does not tell: shares are known only of trees found by walking")
    try:
        definitions = tree_definitions(btf)
    except LayoutProblemError as problem:
        notes.append(f"shares of mounts older than the agent are not known: {problem}")
    else:
        targets.append(Target("walk", "walk_trees", "cifs_tcon", "on_demand", 0))
    return definitions, targets, notes
