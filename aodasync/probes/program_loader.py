# SPDX-License-Identifier: MIT
"""From byte code to running probes: maps, patched programs, attachments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from aodasync.errors import BpfError, ProbeError
from aodasync.evidence.arrays import is_in
from aodasync.probes import bpf
from aodasync.probes.bpf import AttachType, ProgramType
from aodasync.probes.interface import Attachment
from aodasync.probes.maps import MMAPABLE, MapType, create_map
from aodasync.probes.perf_events import attach_kprobe, attach_tracepoint
from aodasync.probes.records import FILE_NAME, RECORD
from aodasync.probes.shared import (
    CALL_BYTES,
    COMMAND_KEY_BYTES,
    CONNECTION_BYTES,
    EMERGENCY_COMMANDS,
    IN_FLIGHT_BLOCKS,
    IN_FLIGHT_MAX,
    INTERIM_KEY_BYTES,
    MAX_CALLS,
    MAX_CONNECTIONS,
    MAX_INTERIM,
    MAX_OPERATIONS,
    MAX_TREES,
    NAME_SLOTS,
    NAMED_CONNECTIONS,
    PATH_SLOTS,
    TREE_KEY_BYTES,
    TREE_NAME_BYTES,
    Counter,
    MapNumber,
    StateIndex,
)
from aodasync.probes.slots import BLOCK, OPERATION_SLOT

__all__ = ["ESSENTIAL", "MADE_UP_FOR", "Loaded", "Program", "create_maps", "load", "patched"]

ESSENTIAL: Final = frozenset({"release", "freed", "entered", "alloc"})
"""Roles without which nothing can be recorded; any other may fail alone."""

MADE_UP_FOR: Final = frozenset(
    {"alloc", "entered", "received", "release", "freed", "operations", "paths"}
)
"""Roles of which a run that the kernel skips loses no request: see ``bpf/smb_request.h``.

A name that ``paths`` did not see is counted by ``alloc``, as ``name_unseen``.
"""

_INSTRUCTION: Final = np.dtype(
    [("code", "u1"), ("registers", "u1"), ("off", "<i2"), ("imm", "<i4")]
)
_LD_IMM64: Final = 0x18
_PSEUDO_MAPS: Final = (1, 2)  # BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE

_ATTACH_TYPES: Final = MappingProxyType(
    {"fentry": AttachType.TRACE_FENTRY, "fexit": AttachType.TRACE_FEXIT}
)

_KINDS: Final = MappingProxyType(
    {
        "kprobe": ProgramType.KPROBE,
        "kretprobe": ProgramType.KPROBE,
        "tracepoint": ProgramType.TRACEPOINT,
        "raw_tracepoint": ProgramType.RAW_TRACEPOINT,
        "on_demand": ProgramType.RAW_TRACEPOINT,
    }
)


@dataclass(frozen=True, slots=True)
class Program:
    """Byte code, and what to attach it to.

    ``attach`` is ``fentry`` or ``fexit`` of ``function`` (``btf_id`` in the BTF of
    the object that holds it), ``kprobe`` or ``kretprobe`` of it, ``raw_tracepoint`` or
    ``tracepoint`` of that name, or ``on_demand``: not attached, the agent runs it.
    """

    role: str
    name: str
    code: bytes
    attach: str
    function: str
    btf_id: int = 0


@dataclass(slots=True)
class Loaded:
    """Descriptors of what runs; closing them detaches and frees everything."""

    maps: Mapping[MapNumber, int]
    programs: list[tuple[str, int]] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    failed: tuple[Program, BpfError] | None = None

    def on_demand(self, role: str) -> int | None:
        """Descriptor of the program that is run on demand; None when it could not be loaded."""
        return next((fd for name, fd in self.programs if name == role), None)

    def skipped(self) -> dict[str, int]:
        """How often the kernel skipped a program, by role. Raises BpfError."""
        skipped: dict[str, int] = {}
        for role, fd in self.programs:
            skipped[role] = skipped.get(role, 0) + bpf.recursion_misses(fd)
        return skipped

    def close(self) -> None:
        """Detach, then free. Safe to call twice."""
        for fd in (*self.links, *(fd for _, fd in self.programs), *self.maps.values()):
            os.close(fd)
        self.maps, self.programs, self.links = {}, [], []


def create_maps(ring_bytes: int, method: str = "fentry") -> dict[MapNumber, int]:
    """Descriptors of the maps by their number in the byte code. Raises BpfError."""
    # Kind, bytes of key and value, rows.
    table = {
        MapNumber.RING: (MapType.RINGBUF, 0, 0, ring_bytes),
        MapNumber.IN_FLIGHT: (MapType.ARRAY, 4, BLOCK.itemsize, IN_FLIGHT_BLOCKS + 1),
        MapNumber.CONNECTIONS: (MapType.LRU_HASH, 8, CONNECTION_BYTES, MAX_CONNECTIONS),
        MapNumber.COUNTERS: (MapType.ARRAY, 4, 8 * len(Counter), 1),
        MapNumber.EMERGENCY: (MapType.ARRAY, 4, 16, EMERGENCY_COMMANDS),
        MapNumber.STATE: (MapType.ARRAY, 4, 8, len(StateIndex)),
        MapNumber.TREES: (MapType.LRU_HASH, TREE_KEY_BYTES, TREE_NAME_BYTES, MAX_TREES),
        MapNumber.NAMED: (MapType.ARRAY, 4, 8, NAMED_CONNECTIONS),
        MapNumber.INTERIM: (MapType.LRU_HASH, INTERIM_KEY_BYTES, 8, MAX_INTERIM),
        MapNumber.NAMES: (MapType.ARRAY, 4, FILE_NAME.itemsize, NAME_SLOTS + 1),
        MapNumber.PATHS: (MapType.ARRAY, 4, 16, PATH_SLOTS),
        MapNumber.OPERATIONS: (MapType.ARRAY, 4, OPERATION_SLOT.itemsize, MAX_OPERATIONS + 1),
    }
    if method == "kprobe":
        table[MapNumber.CALLS] = (MapType.HASH, CALL_BYTES, CALL_BYTES, MAX_CALLS)
    if method == "tracepoint":
        # By session and message id; what never ends there must not fill it.
        row = (MapType.LRU_HASH, COMMAND_KEY_BYTES, RECORD.itemsize, IN_FLIGHT_MAX)
        table[MapNumber.IN_FLIGHT] = row
    mapped = {MapNumber.OPERATIONS, MapNumber.NAMES, MapNumber.COUNTERS}
    if method != "tracepoint":
        mapped.add(MapNumber.IN_FLIGHT)
    maps: dict[MapNumber, int] = {}
    try:
        for number, (kind, key_size, value_size, rows) in table.items():
            maps[number] = create_map(
                kind,
                name=f"aod_{number.name.lower()}",
                key_size=key_size,
                value_size=value_size,
                max_entries=rows,
                flags=MMAPABLE if number in mapped else 0,
            )
    except BpfError:
        for fd in maps.values():
            os.close(fd)
        raise
    return maps


def patched(code: bytes, maps: Mapping[MapNumber, int]) -> bytes:
    """The byte code with map descriptors in place of map numbers. Raises ProbeError."""
    instructions = np.frombuffer(code, _INSTRUCTION).copy()
    loads_map = (instructions["code"] == _LD_IMM64) & is_in(
        instructions["registers"] >> 4, _PSEUDO_MAPS
    )
    for index in np.flatnonzero(loads_map):
        number = int(instructions["imm"][index])
        if number not in maps:
            raise ProbeError(f"byte code refers to an unknown map {number:#x}")
        instructions["imm"][index] = maps[MapNumber(number)]
    return instructions.tobytes()


def load(programs: Sequence[Program], maps: Mapping[MapNumber, int], btf_object: str) -> Loaded:
    """Load and attach all, in the order given; takes over ``maps``.

    A program that fails is left out and noted in ``attachments``. When it is an
    essential one, ``failed`` holds its error and nothing is attached after it.
    Raises BpfError when the object's BTF cannot be had.
    """
    loaded = Loaded(maps)
    btf_fd = -1
    try:
        if any(program.attach in _ATTACH_TYPES for program in programs):
            btf_fd = bpf.btf_object(btf_object)
        for program in programs:
            error = ""
            try:
                _load_one(program, loaded, btf_fd)
            except BpfError as refused:
                error = str(refused)
                if program.role in ESSENTIAL:
                    loaded.failed = (program, refused)
                    break
            loaded.attachments.append(
                Attachment(program.role, program.attach, program.function, error)
            )
    except BpfError:
        loaded.close()
        raise
    finally:
        if btf_fd >= 0:
            os.close(btf_fd)
    return loaded


def _load_one(program: Program, loaded: Loaded, btf_fd: int) -> None:
    code = patched(program.code, loaded.maps)
    if program.attach in _ATTACH_TYPES:
        fd = bpf.load_program(
            ProgramType.TRACING,
            code,
            program.name,
            attach_type=_ATTACH_TYPES[program.attach],
            btf_id=program.btf_id,
            btf_fd=btf_fd,
        )
    else:
        fd = bpf.load_program(_KINDS[program.attach], code, program.name)
    try:
        link = _attach(program, fd)
    except BpfError:
        os.close(fd)
        raise
    if link is not None:
        loaded.links.append(link)
    loaded.programs.append((program.role, fd))


def _attach(program: Program, fd: int) -> int | None:
    """The descriptor that holds the attachment; None for a program that is run on demand."""
    match program.attach:
        case "on_demand":
            return None
        case "raw_tracepoint":
            return bpf.attach(fd, program.function, program.function)
        case "kprobe" | "kretprobe":
            at_return = program.attach == "kretprobe"
            return attach_kprobe(fd, program.function, at_return=at_return)
        case "tracepoint":
            return attach_tracepoint(fd, program.function)
        case _:
            return bpf.attach(fd, program.function)
