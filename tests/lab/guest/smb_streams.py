# SPDX-License-Identifier: MIT
"""The SMB2 requests of a capture, out of its TCP streams: whatever was lost, doubled or late.

tshark reads a capture once. While packets are lost it either waits for a segment and shows
nothing behind it, or does not, and misses what came out of order. Here each stream is put
together from all of its segments first. For captures of an Ethernet by tcpdump, IPv4, and
unencrypted SMB2 (MS-SMB2 2.1, 2.2.1).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["SmbRequest", "requests_of"]

_MAGIC: Final = 0xA1B23C4D  # nanoseconds, in this machine's byte order
_ETHERNET: Final = 14
_IPV4: Final = b"\x08\x00"
_TCP: Final = 6
_SYN: Final = 0x02
_HEADER_BYTES: Final = 64


class SmbRequest(NamedTuple):
    """One request: the number of its stream, and of the frame in which it begins."""

    stream: int
    frame: int
    command: int
    message_id: int
    session_id: int


class _Segment(NamedTuple):
    at: int
    frame: int
    data: bytes


def requests_of(capture: Path, port: int = 445) -> list[SmbRequest]:
    """All requests to ``port``, in the order in which they begin; CANCEL among them.

    A stream that was there before the capture must have been quiet when it began.
    """
    found = [
        SmbRequest(number, *request)
        for number, segments in enumerate(_streams(capture.read_bytes(), port))
        for request in _parsed(*_joined(segments))
    ]
    return sorted(found, key=lambda request: request.frame)


def _streams(capture: bytes, port: int) -> list[list[_Segment]]:
    """The segments of each stream to the server, placed relative to its first one."""
    streams: list[list[_Segment]] = []
    current: dict[bytes, tuple[list[_Segment], int]] = {}
    for frame, packet in enumerate(_packets(capture)):
        if packet[12:_ETHERNET] != _IPV4 or packet[_ETHERNET + 9] != _TCP:
            continue
        (ip_bytes,) = struct.unpack_from(">H", packet, _ETHERNET + 2)
        tcp_at = _ETHERNET + 4 * (packet[_ETHERNET] & 15)
        ports, sequence, offset, flags = struct.unpack_from(">4sI4xBB", packet, tcp_at)
        if int.from_bytes(ports[2:], "big") != port:
            continue
        key = packet[_ETHERNET + 12 : _ETHERNET + 20] + ports
        data = packet[tcp_at + 4 * (offset >> 4) : _ETHERNET + ip_bytes]
        if flags & _SYN:
            sequence += 1
        if flags & _SYN or key not in current:
            streams.append([])
            current[key] = streams[-1], sequence
        segments, first = current[key]
        at = (sequence - first + (1 << 31)) % (1 << 32) - (1 << 31)
        if data:
            segments.append(_Segment(at, frame, data))
    return streams


def _packets(capture: bytes) -> Iterator[bytes]:
    (magic,) = struct.unpack_from("=I", capture)
    if magic != _MAGIC:
        raise ValueError(f"no capture with nanoseconds: 0x{magic:08x}")
    at = 24
    while at + 16 <= len(capture):
        (size,) = struct.unpack_from("=8xI", capture, at)
        yield capture[at + 16 : at + 16 + size]
        at += 16 + size


def _joined(segments: list[_Segment]) -> tuple[bytes, list[tuple[int, int]]]:
    """The stream up to its first gap, and from which place on each frame brought it."""
    stream, frames = bytearray(), list[tuple[int, int]]()
    start = None
    for at, frame, data in sorted(segments):
        start = at if start is None else start
        known = start + len(stream) - at
        if known < 0:
            break
        if known < len(data):
            frames.append((len(stream), frame))
            stream += data[known:]
    return bytes(stream), frames


def _parsed(stream: bytes, frames: list[tuple[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Frame, command, message id and session id of each request, those of a compound too."""
    at = 0
    while at + 4 + _HEADER_BYTES <= len(stream):
        end = at + 4 + int.from_bytes(stream[at + 1 : at + 4], "big")
        frame = frames[bisect_right(frames, (at, 1 << 62)) - 1][1]
        header = at + 4
        while stream[header : header + 4] == b"\xfeSMB" and header + _HEADER_BYTES <= len(stream):
            command, following, message_id, session_id = struct.unpack_from(
                "<12xH6xIQ8xQ", stream, header
            )
            yield frame, command, message_id, session_id
            if not following:
                break
            header += following
        at = end
