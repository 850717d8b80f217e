# SPDX-License-Identifier: MIT
"""The SMB2 messages of a capture, out of its TCP streams: whatever was lost, doubled or late.

tshark reads a capture once. While packets are lost it either waits for a segment and shows
nothing behind it, or does not, and misses what came out of order. Here each stream is put
together from all of its segments first. For captures of an Ethernet by tcpdump, IPv4, and
unencrypted SMB2 (MS-SMB2 2.1, 2.2.1).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["SmbAnswer", "SmbRequest", "answers_of", "requests_of"]

_MAGIC: Final = 0xA1B23C4D  # nanoseconds, in this machine's byte order
_ETHERNET: Final = 14
_IPV4: Final = b"\x08\x00"
_TCP: Final = 6
_SYN: Final = 0x02
_HEADER_BYTES: Final = 64
_TO_SERVER, _FROM_SERVER = 0, 1


class SmbRequest(NamedTuple):
    """One request: the number of its stream, and of the frame in which it begins."""

    stream: int
    frame: int
    command: int
    message_id: int
    session_id: int


class SmbAnswer(NamedTuple):
    """One response, of the stream of its request; ``flags`` are the header's (MS-SMB2 2.2.1.2)."""

    stream: int
    completed_ns: int
    command: int
    message_id: int
    status: int
    flags: int


class _Segment(NamedTuple):
    at: int
    frame: int
    data: bytes


class _Header(NamedTuple):
    """One message of a compound: the frames that its PDU begins and ends in, and where it is."""

    first: int
    last: int
    at: int


@dataclass
class _Stream:
    """The segments from each end, placed relative to the first sequence number."""

    segments: tuple[list[_Segment], list[_Segment]] = field(default_factory=lambda: ([], []))
    first: list[int | None] = field(default_factory=lambda: [None, None])


def requests_of(capture: Path, port: int = 445) -> list[SmbRequest]:
    """All requests to ``port``, in the order in which they begin; CANCEL among them.

    A stream that was there before the capture must have been quiet when it began.
    """
    found = []
    for number, stream in enumerate(_streams(_packets(capture.read_bytes()), port)):
        data, frames = _joined(stream.segments[_TO_SERVER])
        for header in _headers(data, frames):
            fields = struct.unpack_from("<12xH10xQ8xQ", data, header.at)
            found.append(SmbRequest(number, header.first, *fields))
    return sorted(found, key=lambda request: request.frame)


def answers_of(capture: Path, port: int = 445) -> list[SmbAnswer]:
    """All responses from ``port``, interim ones among them, stream by stream."""
    packets = list(_packets(capture.read_bytes()))
    found = []
    for number, stream in enumerate(_streams(packets, port)):
        data, frames = _joined(stream.segments[_FROM_SERVER])
        for header in _headers(data, frames):
            status, command, flags, message_id = struct.unpack_from("<8xIH2xI4xQ", data, header.at)
            at_ns = packets[header.last][0]
            found.append(SmbAnswer(number, at_ns, command, message_id, status, flags))
    return found


def _streams(packets: Iterable[tuple[int, bytes]], port: int) -> list[_Stream]:
    """Each connection to the server, in the order in which they begin."""
    streams: list[_Stream] = []
    current: dict[bytes, _Stream] = {}
    for frame, (_, packet) in enumerate(packets):
        if packet[12:_ETHERNET] != _IPV4 or packet[_ETHERNET + 9] != _TCP:
            continue
        (ip_bytes,) = struct.unpack_from(">H", packet, _ETHERNET + 2)
        tcp_at = _ETHERNET + 4 * (packet[_ETHERNET] & 15)
        source, target, sequence, offset, flags = struct.unpack_from(">2s2sI4xBB", packet, tcp_at)
        addresses = packet[_ETHERNET + 12 : _ETHERNET + 16], packet[_ETHERNET + 16 : _ETHERNET + 20]
        if int.from_bytes(target, "big") == port:
            end, key = _TO_SERVER, b"".join((*addresses, source))
        elif int.from_bytes(source, "big") == port:
            end, key = _FROM_SERVER, b"".join((*addresses[::-1], target))
        else:
            continue
        data = packet[tcp_at + 4 * (offset >> 4) : _ETHERNET + ip_bytes]
        begun = sequence + 1 if flags & _SYN else None
        if key not in current or (begun and end == _TO_SERVER and current[key].first[end] != begun):
            current[key] = _Stream()
            streams.append(current[key])
        stream = current[key]
        first = stream.first[end]
        if first is None:
            first = stream.first[end] = sequence if begun is None else begun
        at = (sequence - first + (1 << 31)) % (1 << 32) - (1 << 31)
        if data:
            stream.segments[end].append(_Segment(at, frame, data))
    return streams


def _packets(capture: bytes) -> Iterator[tuple[int, bytes]]:
    """Time in ns, and bytes, of each packet."""
    (magic,) = struct.unpack_from("=I", capture)
    if magic != _MAGIC:
        raise ValueError(f"no capture with nanoseconds: 0x{magic:08x}")
    at = 24
    while at + 16 <= len(capture):
        seconds, nanoseconds, size = struct.unpack_from("=III", capture, at)
        yield seconds * 10**9 + nanoseconds, capture[at + 16 : at + 16 + size]
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


def _headers(stream: bytes, frames: list[tuple[int, int]]) -> Iterator[_Header]:
    """Each message, those of a compound too."""
    at = 0
    while at + 4 + _HEADER_BYTES <= len(stream):
        end = at + 4 + int.from_bytes(stream[at + 1 : at + 4], "big")
        first, last = (frames[bisect_right(frames, (n, 1 << 62)) - 1][1] for n in (at, end - 1))
        header = at + 4
        while stream[header : header + 4] == b"\xfeSMB" and header + _HEADER_BYTES <= len(stream):
            yield _Header(first, last, header)
            (following,) = struct.unpack_from("<20xI", stream, header)
            if not following:
                break
            header += following
        at = end
