# SPDX-License-Identifier: MIT
"""Savefiles of libpcap (pcap-savefile(5)): several made one. Everything blocks.

A file header of 24 bytes, then packets, each behind a header of 16: seconds, fraction,
bytes captured, bytes on the wire; in the byte order of the host that wrote them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO, Final

__all__ = ["join", "whole_packets"]

_FILE_HEADER_BYTES: Final = 24
_PACKET: Final = struct.Struct("=IIII")
_MOST_PACKET_BYTES: Final = 262_144  # MAXIMUM_SNAPLEN
_CHUNK_BYTES: Final = 256 * 1024


def join(files: Iterable[BinaryIO], out: BinaryIO) -> int:
    """Write one savefile of the packets of several, in their order; returns how many there are.

    Files end with their last whole packet, even while they are being written. One whose header
    is not the first one's (another link type, another snapshot length) is left out. One
    that was overwritten while it was read is left out as well: between two of its
    packets may lie half of another.
    """
    first = b""
    packets = 0
    for file, size_bytes in [(each, _size_bytes(each)) for each in files]:
        header = file.read(_FILE_HEADER_BYTES)
        if len(header) < _FILE_HEADER_BYTES or (first and header != first):
            continue
        if not first:
            first = header
            out.write(header)
        began = out.tell()
        found = _copy(file, out)
        if _size_bytes(file) < size_bytes:
            out.seek(began)
            out.truncate()
        else:
            packets += found
    return packets


def whole_packets(data: bytes) -> tuple[int, int]:
    """How many whole packets ``data`` begins with, and of how many bytes they are."""
    at = count = 0
    while at + _PACKET.size <= len(data):
        captured_bytes = _PACKET.unpack_from(data, at)[2]
        end = at + _PACKET.size + captured_bytes
        if captured_bytes > _MOST_PACKET_BYTES or end > len(data):
            break
        at = end
        count += 1
    return count, at


def _size_bytes(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _copy(file: BinaryIO, out: BinaryIO) -> int:
    packets = 0
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        data = rest + chunk
        count, size_bytes = whole_packets(data)
        out.write(data[:size_bytes])
        packets += count
        rest = data[size_bytes:]
        if len(rest) > _PACKET.size + _MOST_PACKET_BYTES:
            break  # no packet: a disk that was full leaves such
    return packets
