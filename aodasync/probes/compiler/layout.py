# SPDX-License-Identifier: MIT
"""From the running kernel's types to the numbers that the BPF programs are compiled with.

Nothing is guessed and no version is looked at. What is not understood is a
:class:`LayoutProblemError` that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from .btf import Btf
from .file_probes import FILES, file_targets
from .functions import Candidate, Choice, Target, function_targets, tree_target
from .kprobes import as_kprobes
from .members import LayoutProblemError, list_members, struct_definitions, tree_definitions
from .operation_probes import operation_targets
from .tracepoints import LIMITS, command_targets
from .trouble import NOT_THERE, attachable

__all__ = ["Candidate", "Layout", "LayoutProblemError", "Target", "decide", "decide_without_types"]

_ON_DEMAND = (
    Target("check", "check_mid", "mid_q_entry", "on_demand", 0),
    Target("word", "read_word", "list_head", "on_demand", 0),
    Target("connection", "note_connection", "TCP_Server_Info", "on_demand", 0),
    Target("adopt", "adopt_mid", "mid_q_entry", "on_demand", 0),
)
# What is not known without a definition.
_WITHOUT = {
    "MID_when_sent": ("the client does not note when it sends (CONFIG_CIFS_STATS2): sent_ns is 0"),
    "RECEIVED_MID_ARG": "dequeue_mid cannot be probed: received_ns is 0",
    "INTERIM_RESULT": (
        "smb2_is_status_pending cannot be probed: interim responses are not seen in flight"
    ),
    "READ_iov": "the I/O of a READ is unknown: its status is not seen on encrypted connections",
    "SERVER_vals": "the protocol of a connection is unknown: SMB1 requests are not left out",
    "SERVER_net": "the network namespace of a connection is unknown: no TCP figures of others",
}
_NO_OPERATIONS = (
    "the client's operations cannot be followed: what waits without a request is not seen"
)


class Layout(NamedTuple):
    """Numbers for the C side, and what to attach to, in the order of attachment.

    ``lists`` holds offsets of the client's lists (``ListLayout``); empty: they are unknown.
    """

    definitions: dict[str, int]
    targets: list[Target]
    notes: list[str]
    tried: list[Candidate]
    lists: Mapping[str, int] = MappingProxyType({})


def decide(
    btf: Btf,
    exclude: Collection[str] = (),
    method: str = "fentry",
    machine: str = "",
    *,
    file_names: bool = True,
    preempts: bool = True,
) -> Layout:
    """Work out the layout from the BTF of the object that holds the client.

    ``exclude`` names functions that turned out not to be attachable, ``method`` is
    ``fentry`` or ``kprobe`` (of this ``machine``), ``file_names`` whether the files of
    requests are recorded, ``preempts`` whether the kernel preempts threads that run in it.
    Raises :class:`LayoutProblemError`.
    """
    structs = struct_definitions(btf)
    chosen = function_targets(btf, exclude, preempts=preempts)
    trees = _trees(btf, exclude)
    operations = operation_targets(btf, exclude)
    files = file_targets(btf, exclude) if file_names else Choice([], {}, [])
    if method == "kprobe":
        chosen, trees = as_kprobes(chosen, machine), as_kprobes(trees, machine)
        operations, files = as_kprobes(operations, machine), as_kprobes(files, machine)
    troubles = _troubles(btf)
    notes = list(troubles.notes)
    choices = (chosen, files, operations, trees)
    definitions = {**structs, **({"FILE_NAMES": 1} if file_names else {})}
    for choice in choices:
        definitions.update(choice.definitions)
    notes += [note for name, note in _WITHOUT.items() if name not in definitions]
    if not operations.targets:
        notes.append(_NO_OPERATIONS)
    if not trees.targets:
        notes.append("the name of a tree is not readable: shares are unknown")
    if file_names and not files.targets:
        notes.append(f"{FILES} cannot be probed: files have ids, and no names")
    return Layout(
        definitions,
        [
            *files.targets,
            *chosen.targets,
            *troubles.targets,
            *operations.targets,
            *trees.targets,
            *_ON_DEMAND,
        ],
        notes,
        [*chosen.tried, *files.tried, *trees.tried, *operations.tried, *troubles.tried],
        list_members(btf),
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
