# SPDX-License-Identifier: MIT
"""The lab's own reading of a capture."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from smb_streams import SmbRequest, requests_of

CLIENT, SERVER = bytes([10, 9, 9, 2]), bytes([10, 9, 9, 1])
FIRST = 2**32 - 40  # sequence numbers wrap
SYN = 2


def packet(sequence: int, data: bytes, *, port: int = 40_000, flags: int = 0) -> bytes:
    """A segment from the client to the server's port 445, padded as Ethernet does."""
    tcp = struct.pack(">HHIIBBHHH", port, 445, sequence % 2**32, 0, 5 << 4, flags, 0, 0, 0)
    size = 20 + len(tcp) + len(data)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, 6, 0) + CLIENT + SERVER
    return (bytes(12) + b"\x08\x00" + ip + tcp + data).ljust(60, b"\0")


def message(*parts: tuple[int, int], payload: int = 30) -> bytes:
    """A message of these commands and message ids; of several, a compound."""
    body = b""
    for number, (command, message_id) in enumerate(parts):
        following = 64 + payload if number + 1 < len(parts) else 0
        body += b"\xfeSMB" + bytes(8) + struct.pack("<H6xIQ8xQ", command, following, message_id, 7)
        body += bytes(64 - 48 + payload)
    return struct.pack(">I", len(body)) + body


def capture(path: Path, packets: list[bytes]) -> Path:
    """A file as tcpdump writes it."""
    head = struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)
    records = (struct.pack("=IIII", 1, n, len(p), len(p)) + p for n, p in enumerate(packets))
    path.write_bytes(head + b"".join(records))
    return path


def told(found: list[SmbRequest]) -> list[tuple[int, int]]:
    """Command and message id of each."""
    return [(request.command, request.message_id) for request in found]


@pytest.mark.parametrize("seed", range(12))
def test_requests_are_found_however_their_segments_came(tmp_path: Path, seed: int) -> None:
    """Late, doubled, cut anywhere, also through headers, while sequence numbers wrap."""
    chance = random.Random(seed)  # noqa: S311  # a repeatable sequence is the point
    messages = [((5, n), (16, n + 1), (6, n + 2)) for n in range(0, 60, 3)]
    stream = b"".join(message(*parts, payload=chance.randrange(90)) for parts in messages)
    packets, at = [], 0
    while at < len(stream):
        size = chance.randrange(1, 200)
        packets.append(packet(FIRST + at, stream[at : at + size]))
        at += size
    first, *others = packets
    late = sorted(others, key=lambda _: chance.random()) if seed % 2 else others
    shown = [first, *late, *chance.choices(packets, k=9)]
    found = requests_of(capture(tmp_path / "pcap", shown))
    assert sorted(told(found)) == sorted(part for parts in messages for part in parts)
    assert {request.session_id for request in found} == {7}


def test_the_first_segment_may_be_captured_late(tmp_path: Path) -> None:
    """What was lost on its way was not captured: its repetition comes after the next one."""
    data = message((8, 1)) + message((9, 2))
    half = len(data) // 2
    packets = [packet(FIRST + half, data[half:]), packet(FIRST, data[:half])]
    assert sorted(told(requests_of(capture(tmp_path / "pcap", packets)))) == [(8, 1), (9, 2)]


def test_each_connection_is_a_stream(tmp_path: Path) -> None:
    """A SYN begins another one, though its ports are those of one before."""
    data = message((0, 0))
    packets = [
        packet(7, data),
        packet(7, data, port=40_001),
        packet(99, b"", flags=SYN),
        packet(100, data),
        packet(7, b"not for us", port=40_002),
    ]
    found = requests_of(capture(tmp_path / "pcap", packets))
    assert [(request.stream, request.frame) for request in found] == [(0, 0), (1, 1), (2, 3)]


def test_nothing_is_made_up_behind_a_gap(tmp_path: Path) -> None:
    """A connection that died may have lost the end of a request."""
    data = message((8, 1)) + message((9, 2)) + message((9, 3))
    third = len(data) // 3
    packets = [packet(0, data[: third + 10]), packet(2 * third, data[2 * third :])]
    assert told(requests_of(capture(tmp_path / "pcap", packets))) == [(8, 1)]
