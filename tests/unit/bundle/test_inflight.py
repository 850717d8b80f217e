# SPDX-License-Identifier: MIT
"""``inflight.json`` says who waits for what, since when, and takes no time over it."""

from __future__ import annotations

import json
import time

import numpy as np

from aodasync.bundle.inflight import describe_in_flight, encode_in_flight
from aodasync.events import Flag
from aodasync.evidence import Connection
from tests.unit.builders import MS, in_flight, requests

_SERVERS = {1: Connection(1, "nas", "10.0.0.1", 445)}


def test_a_request_is_described_by_names() -> None:
    """Command, share, server and process are named, ids are what JSON readers can hold."""
    flag = next(iter(Flag))
    row = in_flight(
        "SMB2_WRITE", issued_ns=5 * MS, session_id=2**63, tree_id=7, pid=42, flags=int(flag)
    )
    (entry,) = describe_in_flight(row, _SERVERS, {(2**63, 7): "//nas/home"}, 30 * MS)
    assert entry == {
        "age_ms": 25.0,
        "command": "SMB2_WRITE",
        "message_id": 0,
        "tree_id": 7,
        "session_id": "0x8000000000000000",
        "share": "//nas/home",
        "connection_id": 1,
        "server": "nas",
        "address": "10.0.0.1",
        "pid": 42,
        "tgid": 0,
        "comm": "test",
        "issued_ns": 5 * MS,
        "sent_ns": 0,
        "flags": [str(flag.name).lower()],
    }


def test_the_file_is_a_list_of_one_a_line() -> None:
    """It is JSON, and a request is a line; none is an empty list."""
    rows = requests(*(in_flight(issued_ns=n, connection_id=9) for n in range(3)))
    data = encode_in_flight(rows, {}, {}, 10)
    assert [entry["server"] for entry in json.loads(data)] == ["", "", ""]
    assert len(data.splitlines()) == 5
    assert encode_in_flight(rows[:0], {}, {}, 10) == b"[]\n"


def test_thousands_are_described_while_they_hang() -> None:
    """What waits behind it decays: 1,000 requests take some 10 ms."""
    rows = np.repeat(in_flight(issued_ns=1), 1000)
    best_sec = float("inf")
    for _ in range(5):
        begun_sec = time.perf_counter()
        encode_in_flight(rows, _SERVERS, {}, 10)
        best_sec = min(best_sec, time.perf_counter() - begun_sec)
    assert best_sec < 0.025
