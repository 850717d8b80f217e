# SPDX-License-Identifier: MIT
"""The lab's own reading of a capture."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from smb_streams import SmbRequest, answers_of, requests_of

CLIENT, SERVER = bytes([10, 9, 9, 2]), bytes([10, 9, 9, 1])
FIRST = 2**32 - 40  # sequence numbers wrap
SYN = 2


def packet(
    sequence: int, data: bytes, *, port: int = 40_000, flags: int = 0, answers: bool = False
) -> bytes:
    """A segment from the client to the server's port 445, or back, padded as Ethernet does."""
    ports = (445, port) if answers else (port, 445)
    tcp = struct.pack(">HHIIBBHHH", *ports, sequence % 2**32, 0, 5 << 4, flags, 0, 0, 0)
    size = 20 + len(tcp) + len(data)
    ends = SERVER + CLIENT if answers else CLIENT + SERVER
    ip = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, 6, 0) + ends
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


def test_responses_belong_to_the_stream_of_their_requests(tmp_path: Path) -> None:
    """Also where the connection before it got no packet back; each part of a compound is one."""
    parts = ((5, 0xC0000034), (6, 0xC0000128))
    body = b"".join(
        b"\xfeSMB"
        + struct.pack("<4xIH2xIIQ", status, command, 1, 72 if command == 5 else 0, 70 + command)
        + bytes(72 - 32)
        for command, status in parts
    )
    answer = struct.pack(">I", len(body)) + body
    packets = [
        packet(7, b"", port=40_001, flags=SYN),
        packet(99, b"", flags=SYN),
        packet(500, b"", flags=SYN, answers=True),
        packet(99, b"", flags=SYN),  # sent again: no other connection
        packet(100, message((5, 75), (6, 76))),
        packet(501, answer[:90], answers=True),
        packet(591, answer[90:], answers=True),
    ]
    found = answers_of(capture(tmp_path / "pcap", packets))
    assert [(a.stream, a.command, a.message_id, a.status, a.flags) for a in found] == [
        (1, 5, 75, 0xC0000034, 1),
        (1, 6, 76, 0xC0000128, 1),
    ]
    assert {answer.completed_ns for answer in found} == {10**9 + 6}


def test_nothing_is_made_up_behind_a_gap(tmp_path: Path) -> None:
    """A connection that died may have lost the end of a request."""
    data = message((8, 1)) + message((9, 2)) + message((9, 3))
    third = len(data) // 3
    packets = [packet(0, data[: third + 10]), packet(2 * third, data[2 * third :])]
    assert told(requests_of(capture(tmp_path / "pcap", packets))) == [(8, 1)]
