# SPDX-License-Identifier: MIT
"""The BTF reader against libbpf, on all of the running kernel's types."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aodasync.probes.child.btf import Btf, Kind

VMLINUX = Path("/sys/kernel/btf/vmlinux")


class CType(ctypes.Structure):
    """struct btf_type."""

    _fields_ = (("name_off", ctypes.c_uint), ("info", ctypes.c_uint), ("size", ctypes.c_uint))


class Libbpf:
    """The few calls of libbpf that answer the same questions."""

    def __init__(self) -> None:
        try:
            self._lib = ctypes.CDLL("libbpf.so.1")
        except OSError:
            pytest.fail("libbpf.so.1 is missing: apt install libbpf1")
        self._lib.btf__parse.restype = ctypes.c_void_p
        self._lib.btf__type_by_id.restype = ctypes.POINTER(CType)
        self._lib.btf__name_by_offset.restype = ctypes.c_char_p
        self._lib.btf__resolve_size.restype = ctypes.c_int64
        self._btf = ctypes.c_void_p(self._lib.btf__parse(str(VMLINUX).encode(), None))
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
        after = ctypes.addressof(found) + 12
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

    def _stripped(self, type_id: int) -> int:
        while True:
            _, kind, _, target, _, _ = self.type(type_id)
            if kind not in (Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG):
                return type_id
            type_id = target


@pytest.fixture(scope="module")
def oracle() -> Libbpf:
    """Libbpf's view of vmlinux."""
    return Libbpf()


@pytest.fixture(scope="module")
def ours() -> Btf:
    """Our view."""
    begun = time.perf_counter()
    btf = Btf(VMLINUX.read_bytes())
    print(f"{btf.end_id} types read in {1e3 * (time.perf_counter() - begun):.0f} ms")
    return btf


def test_all_types_agree(oracle: Libbpf, ours: Btf) -> None:
    """Name, kind, number of entries, size or target of every type."""
    assert ours.end_id == oracle.end_id
    for type_id in range(1, ours.end_id):
        found = ours.type(type_id)
        assert oracle.type(type_id)[:5] == (
            found.name,
            found.kind,
            found.entries,
            found.size_or_type,
            found.has_bitfields,
        )


def test_members_agree(oracle: Libbpf, ours: Btf) -> None:
    """Name, bit offset, bits and type of the members of every fifth struct and union."""
    compared = 0
    for type_id in range(1, ours.end_id):
        found = ours.type(type_id)
        if found.kind in (Kind.STRUCT, Kind.UNION) and type_id % 5 == 0:
            mine = list(ours.members(found))
            assert [tuple(member) for member in mine] == list(oracle.members(type_id))
            compared += len(mine)
            for member in mine[:3]:
                size = oracle.size(member.type_id)
                assert ours.size(member.type_id) == max(size, 0)
    print(f"{compared} members compared")
    assert compared > 5_000


def test_parameters_agree(oracle: Libbpf, ours: Btf) -> None:
    """Names and types of the parameters of every tenth function."""
    compared = 0
    for type_id in range(1, ours.end_id):
        function = ours.type(type_id)
        if function.kind == Kind.FUNC and type_id % 10 == 0:
            prototype = ours.type(function.size_or_type)
            _, _, entries, result, _, after = oracle.type(prototype.id)
            words = (ctypes.c_uint * (2 * entries)).from_address(after)
            theirs = [(oracle.name(words[2 * i]), words[2 * i + 1]) for i in range(entries)]
            assert [tuple(p) for p in ours.parameters(prototype)] == theirs
            assert prototype.size_or_type == result
            compared += len(theirs)
    print(f"{compared} parameters compared")
    assert compared > 5_000


def test_names_are_found(ours: Btf) -> None:
    """By name and kind, with the offset that all the world knows."""
    (task,) = ours.find("task_struct", Kind.STRUCT)
    assert ours.member(task, "comm") is not None
    (function,) = ours.find("vfs_read", Kind.FUNC)
    parameters = ours.parameters(ours.type(function.size_or_type))
    assert ours.points_to(parameters[0].type_id, "file")
