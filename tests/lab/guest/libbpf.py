# SPDX-License-Identifier: MIT
"""The oracle of the BTF reader: libbpf, asked through ctypes about the same types.

Used by the tests on this host's kernel and by the lab on the client's split BTF.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aodasync.probes.compiler.btf import Btf, Kind

__all__ = ["Comparison", "Libbpf", "compare_members", "compare_parameters", "compare_types"]

_TYPE_BYTES = 12


class _Type(ctypes.Structure):
    """struct btf_type."""

    _fields_ = (("name_off", ctypes.c_uint), ("info", ctypes.c_uint), ("size", ctypes.c_uint))


class Libbpf:
    """The few calls of libbpf that answer the same questions.

    ``base`` is what a module's types continue. Raises OSError without libbpf.so.1, or
    when the file is none that libbpf reads.
    """

    def __init__(self, file: Path, base: Libbpf | None = None) -> None:
        self._lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
        self._lib.btf__parse_split.restype = ctypes.c_void_p
        self._lib.btf__type_by_id.restype = ctypes.POINTER(_Type)
        self._lib.btf__name_by_offset.restype = ctypes.c_char_p
        self._lib.btf__resolve_size.restype = ctypes.c_int64
        self._base = base  # libbpf refers to it
        base_btf: ctypes.c_void_p | None = None if base is None else base._btf
        parsed = self._lib.btf__parse_split(str(file).encode(), base_btf)
        if not parsed:
            raise OSError(ctypes.get_errno(), "libbpf does not read it", str(file))
        self._btf: ctypes.c_void_p = ctypes.c_void_p(parsed)
        self.end_id: int = self._lib.btf__type_cnt(self._btf)

    def name(self, offset: int) -> str:
        """A string."""
        found: bytes = self._lib.btf__name_by_offset(self._btf, ctypes.c_uint(offset))
        return found.decode()

    def type(self, type_id: int) -> tuple[str, int, int, int, bool, int]:
        """Name, kind, entries, size or type, kind_flag, address of what follows."""
        pointer = self._lib.btf__type_by_id(self._btf, ctypes.c_uint(type_id))
        found = pointer.contents
        kind, entries = found.info >> 24 & 31, found.info & 0xFFFF
        after = ctypes.addressof(found) + _TYPE_BYTES
        return self.name(found.name_off), kind, entries, found.size, bool(found.info >> 31), after

    def size(self, type_id: int) -> int:
        """Resolved size in bytes; negative where there is none."""
        return int(self._lib.btf__resolve_size(self._btf, ctypes.c_uint(type_id)))

    def members(self, type_id: int, base: int = 0) -> Iterator[tuple[str, int, int, int]]:
        """Name, bit offset, bits, type; anonymous structs flattened."""
        _, _, entries, _, flag, after = self.type(type_id)
        words = (ctypes.c_uint * (3 * entries)).from_address(after)
        for at in range(0, 3 * entries, 3):
            name, member, offset = self.name(words[at]), words[at + 1], words[at + 2]
            bits = offset >> 24 if flag else 0
            offset = offset & 0xFFFFFF if flag else offset
            inner = self._stripped(member)
            if not name and self.type(inner)[1] in (Kind.STRUCT, Kind.UNION):
                yield from self.members(inner, base + offset)
            else:
                yield name, base + offset, bits, member

    def parameters(self, prototype_id: int) -> tuple[int, list[tuple[str, int]]]:
        """Type of the result; name and type of each parameter."""
        _, _, entries, result, _, after = self.type(prototype_id)
        words = (ctypes.c_uint * (2 * entries)).from_address(after)
        return result, [(self.name(words[2 * i]), words[2 * i + 1]) for i in range(entries)]

    def _stripped(self, type_id: int) -> int:
        while True:
            _, kind, _, target, _, _ = self.type(type_id)
            if kind not in (Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG):
                return type_id
            type_id = target


@dataclass(slots=True)
class Comparison:
    """How many things were compared, and those on which the two do not agree."""

    compared: int = 0
    differing: list[str] = field(default_factory=list)


def compare_types(ours: Btf, oracle: Libbpf, type_ids: Iterable[int]) -> Comparison:
    """Name, kind, number of entries, size or target, kind_flag of every type."""
    result = Comparison()
    for type_id in type_ids:
        found = ours.type(type_id)
        mine = (found.name, found.kind, found.entries, found.size_or_type, found.has_bitfields)
        theirs = oracle.type(type_id)[:5]
        result.compared += 1
        if mine != theirs:
            result.differing.append(f"type {type_id}: {mine}, libbpf {theirs}")
    return result


def compare_members(ours: Btf, oracle: Libbpf, type_ids: Iterable[int]) -> Comparison:
    """Name, bit offset, bits and type of the members of structs and unions; some sizes."""
    result = Comparison()
    for type_id in type_ids:
        found = ours.type(type_id)
        if found.kind not in (Kind.STRUCT, Kind.UNION):
            continue
        mine = [tuple(member) for member in ours.members(found)]
        theirs = list(oracle.members(type_id))
        sizes = [ours.size(member[3]) for member in theirs[:3]]
        their_sizes = [max(oracle.size(member[3]), 0) for member in theirs[:3]]
        result.compared += len(theirs)
        if mine != theirs or sizes != their_sizes:
            result.differing.append(f"{found.name}: {mine} {sizes}, libbpf {theirs} {their_sizes}")
    return result


def compare_parameters(ours: Btf, oracle: Libbpf, type_ids: Iterable[int]) -> Comparison:
    """Names and types of the parameters, and the result, of functions."""
    result = Comparison()
    for type_id in type_ids:
        function = ours.type(type_id)
        if function.kind != Kind.FUNC:
            continue
        prototype = ours.type(function.size_or_type)
        mine = (prototype.size_or_type, [tuple(each) for each in ours.parameters(prototype)])
        theirs = oracle.parameters(prototype.id)
        result.compared += len(theirs[1])
        if mine != theirs:
            result.differing.append(f"{function.name}: {mine}, libbpf {theirs}")
    return result
