# SPDX-License-Identifier: MIT
"""A writer of raw BTF."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF = range(1, 9)
VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO = range(9, 14)
VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(14, 20)

Members = Sequence[tuple[str, int, int]]
"""Name, offset in bytes, type id."""


@dataclass
class BtfWriter:
    """Builds one BTF object, maybe on top of a ``base``."""

    base: BtfWriter | None = None
    words: list[int] = field(default_factory=list)
    strings: bytearray = field(default_factory=bytearray)
    offsets: dict[str, int] = field(default_factory=dict)
    next_id: int = 1

    def __post_init__(self) -> None:
        if self.base:
            self.next_id = self.base.next_id
            self.offsets.update(self.base.offsets)
        else:
            self.strings += b"\0"
            self.offsets[""] = 0

    @property
    def end_string(self) -> int:
        return len(self.strings) + (self.base.end_string if self.base else 0)

    def string(self, text: str) -> int:
        if text not in self.offsets:
            self.offsets[text] = self.end_string
            self.strings += text.encode() + b"\0"
        return self.offsets[text]

    def add(
        self,
        kind: int,
        name: str,
        size_or_type: int,
        *,
        words: Iterable[int] = (),
        entries: int = 0,
        flag: bool = False,
    ) -> int:
        info = flag << 31 | kind << 24 | entries
        self.words += [self.string(name), info, size_or_type, *words]
        self.next_id += 1
        return self.next_id - 1

    def int_(self, name: str, size: int) -> int:
        return self.add(INT, name, size, words=[8 * size])

    def ptr(self, to: int) -> int:
        return self.add(PTR, "", to)

    def array(self, element: int, count: int) -> int:
        return self.add(ARRAY, "", 0, words=[element, element, count])

    def typedef(self, name: str, to: int) -> int:
        return self.add(TYPEDEF, name, to)

    def struct(self, name: str, size: int, members: Members, *, kind: int = STRUCT) -> int:
        words: list[int] = []
        for member, offset, type_id in members:
            words += [self.string(member), type_id, 8 * offset]
        return self.add(kind, name, size, words=words, entries=len(members))

    def bitfield_struct(
        self, name: str, size: int, members: Sequence[tuple[str, int, int, int]]
    ) -> int:
        """Members are name, bit offset, bits (0: not a bitfield), type id."""
        words: list[int] = []
        for member, offset, bits, type_id in members:
            words += [self.string(member), type_id, bits << 24 | offset]
        return self.add(STRUCT, name, size, words=words, entries=len(members), flag=True)

    def func(self, name: str, result: int, parameters: Sequence[tuple[str, int]]) -> int:
        return self.add(FUNC, name, self.prototype(result, parameters))

    def prototype(self, result: int, parameters: Sequence[tuple[str, int]]) -> int:
        words: list[int] = []
        for parameter, type_id in parameters:
            words += [self.string(parameter), type_id]
        return self.add(FUNC_PROTO, "", result, words=words, entries=len(parameters))

    def tracepoint(self, name: str, parameters: Sequence[int]) -> int:
        data = self.ptr(0)
        proto = self.prototype(0, [("", data), *(("", type_id) for type_id in parameters)])
        return self.typedef(f"btf_trace_{name}", self.ptr(proto))

    def blob(self) -> bytes:
        types = struct.pack(f"={len(self.words)}I", *self.words)
        header = struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self.strings)
        )
        return header + types + bytes(self.strings)
