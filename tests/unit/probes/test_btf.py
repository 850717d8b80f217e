# SPDX-License-Identifier: MIT
"""The BTF reader, on BTF written by the test."""

from __future__ import annotations

import pytest

from aodasync.probes.compiler.btf import Btf, BtfError, Kind, Member
from tests.unit.probes.btf_writer import (
    CONST,
    DATASEC,
    DECL_TAG,
    ENUM,
    ENUM64,
    FLOAT,
    FWD,
    TYPE_TAG,
    UNION,
    VAR,
    VOLATILE,
    BtfWriter,
)


def test_members_of_anonymous_structs_and_unions_appear_in_their_owner() -> None:
    """Anonymous members are flattened, offsets added up, at any depth."""
    writer = BtfWriter()
    u32 = writer.int_("unsigned int", 4)
    inner = writer.struct("", 8, [("c", 0, u32), ("d", 4, u32)])
    union = writer.struct("", 8, [("", 0, inner), ("e", 0, u32)], kind=UNION)
    writer.struct("outer", 16, [("a", 0, u32), ("", 8, union)])
    btf = Btf(writer.blob())
    (outer,) = btf.find("outer", Kind.STRUCT)
    assert [(m.name, m.bit_offset // 8) for m in btf.members(outer)] == [
        ("a", 0),
        ("c", 8),
        ("d", 12),
        ("e", 8),
    ]


def test_bitfields_have_bit_offsets_and_widths() -> None:
    """A struct with kind_flag tells bit offset and width of each member apart."""
    writer = BtfWriter()
    u8 = writer.int_("unsigned char", 1)
    writer.bitfield_struct("s", 2, [("plain", 0, 0, u8), ("low", 8, 1, u8), ("high", 9, 7, u8)])
    btf = Btf(writer.blob())
    (found,) = btf.find("s", Kind.STRUCT)
    assert list(btf.members(found)) == [
        Member("plain", 0, 0, u8),
        Member("low", 8, 1, u8),
        Member("high", 9, 7, u8),
    ]


def test_a_member_is_found_by_its_path() -> None:
    """Dotted paths go through named members, typedefs and qualifiers; misses give None."""
    writer = BtfWriter()
    u32 = writer.int_("unsigned int", 4)
    inner = writer.struct("inner", 8, [("x", 0, u32), ("y", 4, u32)])
    alias = writer.typedef("inner_t", writer.add(CONST, "", writer.add(VOLATILE, "", inner)))
    writer.struct("outer", 24, [("head", 0, u32), ("body", 16, alias)])
    btf = Btf(writer.blob())
    (outer,) = btf.find("outer", Kind.STRUCT)
    assert btf.member(outer, "body.y") == Member("y", 160, 0, u32)
    assert btf.member(outer, "body.z") is None
    assert btf.member(outer, "nothing") is None


def test_sizes_of_all_kinds() -> None:
    """Sizes see through aliases and multiply through arrays; what has no size has 0."""
    writer = BtfWriter()
    u16 = writer.int_("short unsigned int", 2)
    grid = writer.array(writer.array(u16, 3), 5)
    btf_ids = {
        "int": (u16, 2),
        "pointer": (writer.ptr(u16), 8),
        "array": (grid, 30),
        "typedef": (writer.typedef("grid_t", grid), 30),
        "enum": (writer.add(ENUM, "e", 4, words=[0, 0], entries=1), 4),
        "enum64": (writer.add(ENUM64, "e64", 8, words=[0, 0, 0], entries=1), 8),
        "forward": (writer.add(FWD, "opaque", 0), 0),
        "prototype": (writer.prototype(0, []), 0),
        "void": (0, 0),
    }
    btf = Btf(writer.blob())
    assert {name: btf.size(type_id) for name, (type_id, _) in btf_ids.items()} == {
        name: size for name, (_, size) in btf_ids.items()
    }


def test_every_kind_is_stepped_over() -> None:
    """Types after any other kind are still found where they are."""
    writer = BtfWriter()
    u32 = writer.int_("unsigned int", 4)
    writer.add(VAR, "v", u32, words=[1])
    writer.add(DATASEC, ".data", 4, words=[1, 0, 4, 2, 4, 4], entries=2)
    writer.add(FLOAT, "double", 8)
    writer.add(DECL_TAG, "tag", u32, words=[0xFFFFFFFF])
    writer.add(TYPE_TAG, "user", u32)
    last = writer.struct("last", 4, [("x", 0, u32)])
    btf = Btf(writer.blob())
    assert [entry.id for entry in btf.find("last", Kind.STRUCT)] == [last]


def test_functions_tell_parameters_and_result() -> None:
    """A function's prototype lists names and types, and pointers are told by their struct."""
    writer = BtfWriter()
    thing = writer.struct("thing", 4, [])
    opaque = writer.add(FWD, "opaque", 0)
    parameters = [
        ("t", writer.ptr(writer.add(CONST, "", thing))),
        ("o", writer.typedef("opaque_p", writer.ptr(opaque))),
        ("n", writer.int_("int", 4)),
    ]
    writer.func("work", thing, parameters)
    btf = Btf(writer.blob())
    (function,) = btf.find("work", Kind.FUNC)
    prototype = btf.type(function.size_or_type)
    found = btf.parameters(prototype)
    assert [parameter.name for parameter in found] == ["t", "o", "n"]
    assert prototype.size_or_type == thing
    assert btf.points_to(found[0].type_id, "thing")
    assert btf.points_to(found[1].type_id, "opaque")
    assert not btf.points_to(found[0].type_id, "opaque")
    assert not btf.points_to(found[2].type_id, "thing")


def test_split_btf_continues_its_base() -> None:
    """Ids and strings go on where the base ends; names may live in either section."""
    base = BtfWriter()
    u64 = base.int_("long unsigned int", 8)
    kref = base.struct("kref", 4, [])
    base.string("shared_name")
    module = BtfWriter(base)
    first = module.struct("first", 16, [("shared_name", 0, u64), ("own", 8, module.ptr(kref))])
    kernel = Btf(base.blob())
    btf = Btf(module.blob(), kernel)
    (found,) = btf.find("first", Kind.STRUCT)
    assert found.id == first
    assert [m.name for m in btf.members(found)] == ["shared_name", "own"]
    own = btf.member(found, "own")
    assert own
    assert btf.points_to(own.type_id, "kref")
    assert btf.find("kref", Kind.STRUCT) == []
    assert kernel.find("first", Kind.STRUCT) == []


def test_the_first_string_of_a_split_section_is_found() -> None:
    """It has no NUL before it."""
    base = BtfWriter()
    base.int_("int", 4)
    module = BtfWriter(base)
    module.struct("opening", 0, [])
    assert module.strings.startswith(b"opening\0")
    btf = Btf(module.blob(), Btf(base.blob()))
    assert [entry.name for entry in btf.find("opening", Kind.STRUCT)] == ["opening"]


def test_names_that_share_a_tail_are_told_apart() -> None:
    """A string may be stored as the tail of a longer one."""
    writer = BtfWriter()
    long = writer.string("cifs_release_mid")
    writer.offsets["release_mid"] = long + len("cifs_")
    writer.struct("cifs_release_mid", 1, [])
    writer.struct("release_mid", 2, [])
    btf = Btf(writer.blob())
    assert [e.size_or_type for e in btf.find("release_mid", Kind.STRUCT)] == [2]
    assert [e.size_or_type for e in btf.find("cifs_release_mid", Kind.STRUCT)] == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x9f\xeb\x01\0",
        b"\xeb\x9f\x01\0" + bytes(20),
        BtfWriter().blob()[:-1],
    ],
)
def test_what_is_not_btf_is_refused(data: bytes) -> None:
    """Short, truncated and byte-swapped input is an error, not a guess."""
    with pytest.raises(BtfError):
        Btf(data)


def test_an_unknown_kind_is_refused() -> None:
    """A kind of the future has an unknown length: nothing after it could be trusted."""
    writer = BtfWriter()
    writer.add(25, "future", 0)
    with pytest.raises(BtfError, match="type 1"):
        Btf(writer.blob())
