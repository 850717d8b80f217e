# SPDX-License-Identifier: MIT
"""operations.json is for people: names instead of numbers, one operation a line."""

from __future__ import annotations

import json

import numpy as np

from aodasync.bundle.operations import describe_operations, encode_operations
from aodasync.operations import NO_OPERATIONS, OPERATION, WaitsFor
from tests.unit.builders import MS


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
