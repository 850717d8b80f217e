# SPDX-License-Identifier: MIT
"""BPF maps through bpf(2). Every call raises :class:`~aodasync.errors.BpfError`."""

from __future__ import annotations

import ctypes
import errno
import struct
from enum import IntEnum
from typing import Any, Final

import numpy.typing as npt

from aodasync.errors import BpfError
from aodasync.probes.bpf import Command, address, call

__all__ = ["MMAPABLE", "MapType", "create_map", "lookup", "lookup_batch", "update"]

MMAPABLE: Final = 1 << 10
"""BPF_F_MMAPABLE: the values of an array can be mapped, each rounded up to 8 bytes."""


class MapType(IntEnum):
    """enum bpf_map_type."""

    HASH = 1
    ARRAY = 2
    LRU_HASH = 9
    RINGBUF = 27


def create_map(
    kind: MapType, *, name: str, key_size: int, value_size: int, max_entries: int, flags: int = 0
) -> int:
    """Descriptor of a new map; ``name`` has at most 15 characters."""
    attributes = struct.pack(
        "IIIIIII16s", kind, key_size, value_size, max_entries, flags, 0, 0, name.encode()
    )
    return call(Command.MAP_CREATE, attributes, f"cannot create map {name}")


def lookup(map_fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """The value under a key; None when there is none."""
    wanted = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_bytes)
    attributes = struct.pack("IxxxxQQQ", map_fd, address(wanted), address(value), 0)
    try:
        call(Command.MAP_LOOKUP_ELEM, attributes, "cannot read a map")
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Set the value under a key."""
    wanted = ctypes.create_string_buffer(key, len(key))
    content = ctypes.create_string_buffer(value, len(value))
    attributes = struct.pack("IxxxxQQQ", map_fd, address(wanted), address(content), 0)
    call(Command.MAP_UPDATE_ELEM, attributes, "cannot write a map")


def lookup_batch(
    map_fd: int, token: bytes | None, keys: npt.NDArray[Any], values: npt.NDArray[Any]
) -> tuple[int, bytes | None]:
    """Fill ``keys`` and ``values`` (equally long, contiguous) from where ``token`` left off.

    Returns the number of rows and the token to go on with, None at the end. Raises
    ENOSPC when one bucket holds more rows than fit.
    """
    start = ctypes.create_string_buffer(token or b"", 8)
    following = ctypes.create_string_buffer(8)
    attributes = bytearray(
        struct.pack(
            "QQQQIIQQ",
            address(start) if token is not None else 0,
            address(following),
            keys.ctypes.data,
            values.ctypes.data,
            len(keys),
            map_fd,
            0,
            0,
        )
    )
    try:
        call(Command.MAP_LOOKUP_BATCH, attributes, "cannot scan a map")
    except BpfError as error:
        if error.errno != errno.ENOENT:
            raise
        return struct.unpack_from("I", attributes, 32)[0], None
    return struct.unpack_from("I", attributes, 32)[0], following.raw
