# SPDX-License-Identifier: MIT
"""Small pieces of the loader that need no kernel."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from aodasync.errors import ProbeError
from aodasync.events import EVENT
from aodasync.probes.connection_table import peer
from aodasync.probes.program_loader import patched
from aodasync.probes.shared import MapNumber, definitions


def instruction(code: int, registers: int = 0, imm: int = 0) -> bytes:
    """One struct bpf_insn."""
    return struct.pack("<BBhi", code, registers, 0, imm)


def test_only_map_loads_are_patched() -> None:
    """LD_IMM64 with src_reg 1 or 2 gets a descriptor; constants that look alike stay."""
    load_value = instruction(0x18, 0x21, MapNumber.COUNTERS) + instruction(0)
    assert patched(load_value, {MapNumber.COUNTERS: 7}) == (
        instruction(0x18, 0x21, 7) + instruction(0)
    )
    load_map = instruction(0x18, 0x11, MapNumber.RING) + instruction(0)
    load_constant = instruction(0x18, 0x01, MapNumber.RING) + instruction(0)
    move = instruction(0xB7, 0x00, MapNumber.RING)
    assert patched(load_map + load_constant + move, {MapNumber.RING: 9}) == (
        instruction(0x18, 0x11, 9) + instruction(0) + load_constant + move
    )


def test_an_unknown_map_is_an_error() -> None:
    """Byte code of another version is not loaded half patched."""
    code = instruction(0x18, 0x11, 0x7FFF0099) + instruction(0)
    with pytest.raises(ProbeError, match="0x7fff0099"):
        patched(code, {MapNumber.RING: 9})


def test_every_field_of_the_event_is_told_to_the_c_side() -> None:
    """The static asserts of smb_event.h compare each field's offset."""
    table = definitions()
    assert EVENT.names is not None
    assert all(f"AT_{name}" in table for name in EVENT.names)
    header = Path(__file__).parents[3].joinpath("bpf/smb_event.h").read_text()
    assert all(f"SAME_OFFSET({name});" in header for name in EVENT.names)
    assert table["EVENT_BYTES"] == EVENT.itemsize == 96


def test_peers_of_both_families() -> None:
    """IPv4 and IPv6 with port; an empty address is no error."""
    v4 = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s", 445, bytes([10, 9, 9, 1]))
    v6 = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 445, 0)
    v6 += socket.inet_pton(socket.AF_INET6, "fd00::1")
    assert peer(v4.ljust(28, b"\0")) == ("10.9.9.1", 445)
    assert peer(v6.ljust(28, b"\0")) == ("fd00::1", 445)
    assert peer(bytes(28)) == ("", 0)
