# SPDX-License-Identifier: MIT
"""From the running kernel's types to the numbers that the BPF programs are compiled with.

Nothing is guessed and no version is looked at. What is not understood is a
:class:`LayoutProblemError` that names it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from .btf import Btf
from .functions import Candidate, Choice, Target, function_targets, tree_target
from .kprobes import as_kprobes
from .members import LayoutProblemError, struct_definitions, tree_definitions
from .operations import operation_targets
from .tracepoints import LIMITS, command_targets
from .trouble import NOT_THERE, attachable

__all__ = ["Candidate", "Layout", "LayoutProblemError", "Target", "decide", "decide_without_types"]

_CHECK = Target("check", "check_mid", "mid_q_entry", "on_demand", 0)
_NO_OPERATIONS = (
    "the client's operations cannot be followed: what waits without a request is not seen"
)


class Layout(NamedTuple):
    """Numbers for the C side, and what to attach to, in the order of attachment."""

    definitions: dict[str, int]
    targets: list[Target]
    notes: list[str]
    tried: list[Candidate]


def decide(
    btf: Btf, exclude: Collection[str] = (), method: str = "fentry", machine: str = ""
) -> Layout:
    """Work out the layout from the BTF of the object that holds the client.

    ``exclude`` names functions that turned out not to be attachable, ``method`` is
    ``fentry`` or ``kprobe`` (of this ``machine``). Raises :class:`LayoutProblemError`.
    """
    structs = struct_definitions(btf)
    chosen = function_targets(btf, exclude)
    trees = _trees(btf, exclude)
    operations = operation_targets(btf, exclude)
    if method == "kprobe":
        chosen, trees = as_kprobes(chosen, machine), as_kprobes(trees, machine)
        operations = as_kprobes(operations, machine)
    troubles = _troubles(btf)
    notes = list(troubles.notes)
    if "MID_when_sent" not in structs:
        notes.append("the client does not note when it sends (CONFIG_CIFS_STATS2): sent_ns is 0")
    if "RECEIVED_MID_ARG" not in chosen.definitions:
        notes.append("dequeue_mid cannot be probed: received_ns is 0")
    if "INTERIM_RESULT" not in chosen.definitions:
        notes.append(
            "smb2_is_status_pending cannot be probed: interim responses are not seen in flight"
        )
    if "READ_iov" not in structs:
        notes.append(
            "the I/O of a READ is unknown: its status is not seen on encrypted connections"
        )
    if not operations.targets:
        notes.append(_NO_OPERATIONS)
    if not trees.targets:
        notes.append("a tree cannot be told its name: shares are not known")
    return Layout(
        {**structs, **chosen.definitions, **operations.definitions, **trees.definitions},
        [*chosen.targets, *troubles.targets, *operations.targets, *trees.targets, _CHECK],
        notes,
        [*chosen.tried, *trees.tried, *operations.tried, *troubles.tried],
    )


def decide_without_types(btf: Btf | None, tracefs: Path) -> Layout:
    """The layout of the client's tracepoints, as tracefs describes them.

    ``btf`` is only asked for tracepoints of trouble, which are left out without it.
    Raises :class:`LayoutProblemError`.
    """
    chosen = command_targets(tracefs)
    if btf is None:
        notes = [*LIMITS, "without the client's types no tracepoint of trouble is attached"]
        return Layout(chosen.definitions, chosen.targets, notes, chosen.tried)
    troubles = _troubles(btf)
    return Layout(
        chosen.definitions,
        [*chosen.targets, *troubles.targets],
        [*LIMITS, *troubles.notes],
        [*chosen.tried, *troubles.tried],
    )


def _troubles(btf: Btf) -> Layout:
    troubles, tried = attachable(btf)
    notes = [
        f"{candidate.target} has unknown {candidate.why}: left out"
        for candidate in tried
        if not candidate.chosen and candidate.why != NOT_THERE
    ]
    targets = [
        Target("trouble", trouble.program, trouble.tracepoint, "raw_tracepoint", 0)
        for trouble in troubles
    ]
    return Layout({}, targets, notes, tried)


def _trees(btf: Btf, exclude: Collection[str]) -> Choice:
    """How shares are named: those of new trees, and those of trees that are there already."""
    try:
        definitions = tree_definitions(btf)
    except LayoutProblemError as problem:
        return Choice([], {}, [Candidate("trees", "cifs_tcon", chosen=False, why=str(problem))])
    connected = tree_target(btf, exclude)
    walk = Target("walk", "walk_trees", "cifs_tcon", "on_demand", 0)
    return Choice(
        [*connected.targets, walk], {**definitions, **connected.definitions}, connected.tried
    )
