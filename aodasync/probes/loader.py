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
from aodasync.events import EVENT
from aodasync.probes import bpf
from aodasync.probes.bpf import AttachType, ProgramType
from aodasync.probes.interface import Attachment
from aodasync.probes.maps import MapType, create_map
from aodasync.probes.shared import (
    CONNECTION_BYTES,
    EMERGENCY_COMMANDS,
    IN_FLIGHT_MAX,
    INTERIM_KEY_BYTES,
    MAX_CONNECTIONS,
    MAX_INTERIM,
    MAX_TREES,
    TREE_KEY_BYTES,
    TREE_NAME_BYTES,
    Counter,
    MapNumber,
    StateIndex,
)

__all__ = ["ESSENTIAL", "Loaded", "Program", "create_maps", "load", "patched"]

ESSENTIAL: Final = frozenset({"release", "freed", "alloc"})
"""Roles without which nothing can be recorded; any other may fail alone."""

_INSTRUCTION: Final = np.dtype(
    [("code", "u1"), ("registers", "u1"), ("off", "<i2"), ("imm", "<i4")]
)
_LD_IMM64: Final = 0x18
_PSEUDO_MAP_FD: Final = 1

_ATTACH_TYPES: Final = MappingProxyType(
    {"fentry": AttachType.TRACE_FENTRY, "fexit": AttachType.TRACE_FEXIT}
)


@dataclass(frozen=True, slots=True)
class Program:
    """Byte code, and what to attach it to.

    ``attach`` is ``fentry`` or ``fexit`` of ``function`` (``btf_id`` in the BTF of
    the object that holds it), ``raw_tracepoint`` of that name, or ``on_demand``: not
    attached, the agent runs it.
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
        """How often the kernel skipped a program, by ``skipped_<role>``. Raises BpfError."""
        skipped: dict[str, int] = {}
        for role, fd in self.programs:
            name = f"skipped_{role}"
            skipped[name] = skipped.get(name, 0) + bpf.recursion_misses(fd)
        return skipped

    def close(self) -> None:
        """Detach, then free. Safe to call twice."""
        for fd in (*self.links, *(fd for _, fd in self.programs), *self.maps.values()):
            os.close(fd)
        self.maps, self.programs, self.links = {}, [], []


def create_maps(ring_bytes: int) -> dict[MapNumber, int]:
    """Descriptors of all maps by their number in the byte code. Raises BpfError."""
    # Kind, bytes of key and value, rows.
    table = {
        MapNumber.RING: (MapType.RINGBUF, 0, 0, ring_bytes),
        MapNumber.IN_FLIGHT: (MapType.HASH, 8, EVENT.itemsize, IN_FLIGHT_MAX),
        MapNumber.CONNECTIONS: (MapType.LRU_HASH, 8, CONNECTION_BYTES, MAX_CONNECTIONS),
        MapNumber.COUNTERS: (MapType.PERCPU_ARRAY, 4, 8, len(Counter)),
        MapNumber.EMERGENCY: (MapType.ARRAY, 4, 16, EMERGENCY_COMMANDS),
        MapNumber.STATE: (MapType.ARRAY, 4, 8, len(StateIndex)),
        MapNumber.TREES: (MapType.LRU_HASH, TREE_KEY_BYTES, TREE_NAME_BYTES, MAX_TREES),
        MapNumber.INTERIM: (MapType.LRU_HASH, INTERIM_KEY_BYTES, 8, MAX_INTERIM),
    }
    maps: dict[MapNumber, int] = {}
    try:
        for number, (kind, key_size, value_size, rows) in table.items():
            maps[number] = create_map(
                kind,
                name=f"aod_{number.name.lower()}",
                key_size=key_size,
                value_size=value_size,
                max_entries=rows,
            )
    except BpfError:
        for fd in maps.values():
            os.close(fd)
        raise
    return maps


def patched(code: bytes, maps: Mapping[MapNumber, int]) -> bytes:
    """The byte code with map descriptors in place of map numbers. Raises ProbeError."""
    instructions = np.frombuffer(code, _INSTRUCTION).copy()
    loads_map = (instructions["code"] == _LD_IMM64) & (
        instructions["registers"] >> 4 == _PSEUDO_MAP_FD
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
    try:
        btf_fd = bpf.btf_object(btf_object)
    except BpfError:
        loaded.close()
        raise
    try:
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
    finally:
        os.close(btf_fd)
    return loaded


def _load_one(program: Program, loaded: Loaded, btf_fd: int) -> None:
    code = patched(program.code, loaded.maps)
    if program.attach in ("raw_tracepoint", "on_demand"):
        fd = bpf.load_program(ProgramType.RAW_TRACEPOINT, code, program.name)
    else:
        fd = bpf.load_program(
            ProgramType.TRACING,
            code,
            program.name,
            attach_type=_ATTACH_TYPES[program.attach],
            btf_id=program.btf_id,
            btf_fd=btf_fd,
        )
    if program.attach == "on_demand":
        loaded.programs.append((program.role, fd))
        return
    try:
        tracepoint = program.function if program.attach == "raw_tracepoint" else ""
        loaded.links.append(bpf.attach(fd, program.function, tracepoint))
    except BpfError:
        os.close(fd)
        raise
    loaded.programs.append((program.role, fd))
