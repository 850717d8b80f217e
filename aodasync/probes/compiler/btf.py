# SPDX-License-Identifier: MIT
"""Reader of raw BTF: members and their offsets, functions and their prototypes.

The format is the kernel's Documentation/bpf/btf.rst: a header, a type section of
32-bit words, a string section. Split BTF (a module's, on top of vmlinux')
continues the type ids and the string offsets of its base.

Only the position of every type is taken down in one pass over the words; all
else is read on demand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Btf", "BtfError", "Kind", "Member", "Parameter", "Type"]

_HEADER = struct.Struct("=HBBIIIII")
_MAGIC = 0xEB9F
_POINTER_BYTES = 8


class Kind:
    """BTF_KIND_* (include/uapi/linux/btf.h)."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    TYPE_TAG = 18
    ENUM64 = 19


# Words after the three of every type: fixed ones, and those per entry (vlen), by kind.
_FIXED_WORDS = (3, 4, 3, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 4, 3, 3)
_ENTRY_WORDS = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)

_ALIASES = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
_SIZED = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64})


class BtfError(Exception):
    """The bytes are not BTF that this reader understands."""


class Type(NamedTuple):
    """One type: ``size_or_type`` is a size in bytes or the id of the type referred to."""

    id: int
    kind: int
    name: str
    entries: int
    has_bitfields: bool
    size_or_type: int


class Member(NamedTuple):
    """One member of a struct or union; ``bits`` is 0 unless it is a bitfield."""

    name: str
    bit_offset: int
    bits: int
    type_id: int


class Parameter(NamedTuple):
    """One parameter of a function."""

    name: str
    type_id: int


class Btf:
    """One BTF object. Raises :class:`BtfError` on bytes it cannot read."""

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        if len(data) < _HEADER.size:
            raise BtfError("shorter than a BTF header")
        magic, version, _, header, type_at, type_bytes, string_at, string_bytes = (
            _HEADER.unpack_from(data)
        )
        if magic != _MAGIC or version != 1:
            raise BtfError(f"magic {magic:#x}, version {version}: not BTF of this machine")
        if header + max(type_at + type_bytes, string_at + string_bytes) > len(data):
            raise BtfError("truncated")
        start = header + type_at
        self._base = base
        self._words = memoryview(data)[start : start + type_bytes].cast("I")
        self._strings = data[header + string_at : header + string_at + string_bytes]
        self._first_string = base.end_string if base else 0
        self.end_string: int = self._first_string + string_bytes
        self.first_id = base.end_id if base else 1
        self._positions = self._scan()
        self.end_id: int = self.first_id + len(self._positions)
        self._ids_by_name: dict[bytes, list[int]] = {}

    def _scan(self) -> list[int]:
        words, fixed, entry = self._words, _FIXED_WORDS, _ENTRY_WORDS
        positions: list[int] = []
        append = positions.append
        at, end = 0, len(words)
        try:
            while at < end:
                append(at)
                info = words[at + 1]
                kind = info >> 24 & 31
                at += fixed[kind] + entry[kind] * (info & 0xFFFF)
        except IndexError:
            raise BtfError(f"type {self.first_id + len(positions) - 1} is unreadable") from None
        return positions

    def find(self, name: str, kind: int) -> list[Type]:
        """Types of that name and kind in this object (not its base), in id order."""
        if not self._ids_by_name:
            self._ids_by_name = self._named()
        found = (self.type(type_id) for type_id in self._ids_by_name.get(name.encode(), ()))
        return [entry for entry in found if entry.kind == kind]

    def _named(self) -> dict[bytes, list[int]]:
        words, string = self._words, self.raw_string
        ids: dict[bytes, list[int]] = {}
        for type_id, at in enumerate(self._positions, self.first_id):
            if words[at]:
                ids.setdefault(string(words[at]), []).append(type_id)
        return ids

    def type(self, type_id: int) -> Type:
        """The type of that id; 0 is void."""
        if type_id == 0:
            return Type(0, Kind.VOID, "void", 0, has_bitfields=False, size_or_type=0)
        if type_id < self.first_id and self._base:
            return self._base.type(type_id)
        at = self._position(type_id)
        name, info, size_or_type = self._words[at : at + 3]
        return Type(
            id=type_id,
            kind=info >> 24 & 31,
            name=self.string(name),
            entries=info & 0xFFFF,
            has_bitfields=bool(info >> 31),
            size_or_type=size_or_type,
        )

    def strip(self, type_id: int) -> Type:
        """The type behind typedefs and qualifiers."""
        entry = self.type(type_id)
        while entry.kind in _ALIASES:
            entry = self.type(entry.size_or_type)
        return entry

    def size(self, type_id: int) -> int:
        """Size in bytes; 0 where there is none (functions, void, forward declarations)."""
        entry = self.strip(type_id)
        if entry.kind == Kind.PTR:
            return _POINTER_BYTES
        if entry.kind == Kind.ARRAY:
            element, _, count = self.entry_words(entry)
            return count * self.size(element)
        return entry.size_or_type if entry.kind in _SIZED else 0

    def members(self, entry: Type) -> Iterator[Member]:
        """Members of a struct or union; those of anonymous ones inside it as its own."""
        words = self.entry_words(entry)
        for at in range(0, 3 * entry.entries, 3):
            name, type_id, offset = self.string(words[at]), words[at + 1], words[at + 2]
            bits = 0
            if entry.has_bitfields:
                bits, offset = offset >> 24, offset & 0xFFFFFF
            inner = self.strip(type_id)
            if not name and inner.kind in (Kind.STRUCT, Kind.UNION):
                for member in self.members(inner):
                    yield member._replace(bit_offset=offset + member.bit_offset)
            else:
                yield Member(name, offset, bits, type_id)

    def member(self, entry: Type, path: str) -> Member | None:
        """The member at a dotted path (``Id.SyncId.TreeId``), its offset from ``entry``'s start."""
        name, _, rest = path.partition(".")
        for found in self.members(entry):
            if found.name == name:
                if not rest:
                    return found
                inner = self.member(self.strip(found.type_id), rest)
                return inner and inner._replace(bit_offset=found.bit_offset + inner.bit_offset)
        return None

    def parameters(self, prototype: Type) -> list[Parameter]:
        """Parameters of a FUNC_PROTO; its ``size_or_type`` is the type it returns."""
        words = self.entry_words(prototype)
        return [
            Parameter(self.string(words[at]), words[at + 1])
            for at in range(0, 2 * prototype.entries, 2)
        ]

    def points_to(self, type_id: int, name: str) -> bool:
        """Whether the type is a pointer to the struct ``name``, qualifiers aside."""
        pointer = self.strip(type_id)
        if pointer.kind != Kind.PTR:
            return False
        target = self.strip(pointer.size_or_type)
        return target.kind in (Kind.STRUCT, Kind.FWD) and target.name == name

    def _position(self, type_id: int) -> int:
        if not self.first_id <= type_id < self.end_id:
            raise BtfError(f"no type {type_id}")
        return self._positions[type_id - self.first_id]

    def entry_words(self, entry: Type) -> memoryview:
        """The words that follow the first three of a type."""
        if entry.id < self.first_id and self._base:
            return self._base.entry_words(entry)
        at = self._position(entry.id)
        words = _FIXED_WORDS[entry.kind] + _ENTRY_WORDS[entry.kind] * entry.entries
        return self._words[at + 3 : at + words]

    def has_string(self, text: str) -> bool:
        """Whether anything has that name, here or in the base: quicker than to look for what."""
        here = b"\0%s\0" % text.encode() in self._strings
        return here or (self._base is not None and self._base.has_string(text))

    def string(self, offset: int) -> str:
        """The string at an offset of the continued string section."""
        return self.raw_string(offset).decode()

    def raw_string(self, offset: int) -> bytes:
        """The same, as it is stored."""
        if offset < self._first_string and self._base:
            return self._base.raw_string(offset)
        start = offset - self._first_string
        return self._strings[start : self._strings.index(b"\0", start)]
