# SPDX-License-Identifier: MIT
"""``inflight.json`` and ``operations.json`` say who waits for what, and since when."""

from __future__ import annotations

import json
import time

import numpy as np

from aodasync.bundle.json_tables import (
    describe_in_flight,
    describe_operations,
    encode_in_flight,
    encode_operations,
)
from aodasync.events import NO_OPERATIONS, OPERATION, Flag, WaitsFor
from aodasync.evidence.file_book import File
from aodasync.evidence.model import Connection
from tests.builders import MS, in_flight, requests

_SERVERS = {1: Connection(1, "nas", "10.0.0.1", 445)}


def test_a_request_is_described_by_names() -> None:
    """Command, share, server and process are named, ids are what JSON readers can hold."""
    flag = next(iter(Flag))
    row = in_flight(
        "SMB2_WRITE", issued_ns=5 * MS, session_id=2**63, tree_id=7, pid=42, flags=int(flag)
    )
    shares, files = {(2**63, 7): "//nas/home"}, [File("dir/file", 1, 2)]
    (entry,) = describe_in_flight(row, _SERVERS, shares, 30 * MS, files)
    assert entry == {
        "age_ms": 25.0,
        "command": "SMB2_WRITE",
        "message_id": 0,
        "tree_id": 7,
        "session_id": "0x8000000000000000",
        "share": "//nas/home",
        "file_name": "dir/file",
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
        begun_sec = time.thread_time()
        encode_in_flight(rows, _SERVERS, {}, 10)
        best_sec = min(best_sec, time.thread_time() - begun_sec)
    assert best_sec < 0.025


def test_an_operation_is_described_in_full() -> None:
    """Its age, the client's function, what it waits for, and whose it is."""
    rows = np.zeros(1, OPERATION)
    rows["started_ns"], rows["xid"], rows["pid"], rows["tgid"] = 5 * MS, 2**32 - 1, 42, 41
    rows["comm"], rows["function"] = b"caf\xe9", b"cifs_open"
    rows["waits_for"] = WaitsFor.RECONNECT
    assert describe_operations(rows, 30 * MS) == [
        {
            "age_ms": 25.0,
            "function": "cifs_open",
            "waits_for": "reconnect",
            "pid": 42,
            "tgid": 41,
            "comm": "caf\ufffd",
            "xid": 2**32 - 1,
            "started_ns": 5 * MS,
        }
    ]


def test_the_file_has_one_operation_a_line() -> None:
    """In their order; an empty list of none."""
    rows = np.zeros(3, OPERATION)
    rows["xid"] = [7, 5, 6]
    lines = encode_operations(rows, 0).decode("ascii").splitlines()
    assert (len(lines), lines[0], lines[-1]) == (5, "[", "]")
    assert [each["xid"] for each in json.loads("".join(lines))] == [7, 5, 6]
    assert encode_operations(NO_OPERATIONS, 0) == b"[]\n"
