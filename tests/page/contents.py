# SPDX-License-Identifier: MIT
"""Bundles of four kinds of anomaly, for pages: a healthy minute, and then trouble."""

from __future__ import annotations

from typing import Any

import numpy as np

from aodasync.events import EVENT, EventArray, Kind, Outcome
from aodasync.report.content import Content
from aodasync.smb.commands import COMMAND_CODES
from tests.builders import MS, SECOND, request, requests

__all__ = ["KINDS", "SLOWEST", "content", "healthy"]

KINDS = ("latency", "hang", "error", "connection")
BEGAN_NS = 100 * SECOND
DECIDED_NS = 105 * SECOND
SLOWEST = request(
    "SMB2_FLUSH",
    released_ns=104 * SECOND,
    latency_ns=7 * SECOND,
    received_ns=103 * SECOND,
    comm=b"postgres",
    tgid=2210,
    tree_id=7,
)
"""One request that is slower than all others, in a page of latency."""


def healthy(count: int, until_ns: int = BEGAN_NS) -> EventArray:
    """Requests of twelve processes and six commands, a few milliseconds each, up to a time."""
    chance = np.random.default_rng(1)
    rows = np.zeros(count, EVENT)
    rows["released_ns"] = np.sort(chance.integers(40 * SECOND, until_ns, count))
    rows["issued_ns"] = rows["released_ns"] - chance.integers(MS, 20 * MS, count).astype(np.uint64)
    rows["received_ns"] = rows["released_ns"] - 1000
    names = ("READ", "WRITE", "CREATE", "CLOSE", "QUERY_INFO", "SET_INFO")
    codes = np.array([COMMAND_CODES[f"SMB2_{name}"] for name in names])
    rows["command"] = codes[chance.integers(0, len(codes), count)]
    rows["tgid"] = rows["pid"] = 300 + chance.integers(0, 12, count)
    rows["comm"] = b"worker"
    rows["connection_id"], rows["tree_id"] = 1, 7
    return rows


def content(kind: str, count: int = 2000) -> Content:
    """The bundle of an anomaly of this kind, after ``count`` healthy requests."""
    rows = [healthy(count)]
    in_flight: list[dict[str, Any]] = []
    at = np.arange(100) * 40 * MS + BEGAN_NS
    if kind == "latency":
        slow = [request("SMB2_READ", released_ns=int(n), latency_ns=900 * MS) for n in at]
        rows += [*slow, SLOWEST]
    elif kind == "hang":
        in_flight = [
            {"age_ms": 4000.0 + n, "command": "SMB2_READ", "comm": "cp", "pid": n, "server": "nas"}
            for n in range(40)
        ]
    elif kind == "error":
        rows += [request("SMB2_CREATE", released_ns=int(n), status=0xC0000022) for n in at]
    else:
        rows += [request("SMB2_WRITE", released_ns=int(n), outcome=Outcome.RETRY) for n in at]
        rows += [request(0, released_ns=BEGAN_NS, kind=Kind.RECONNECT)]
    manifest: dict[str, Any] = {
        "bundle": f"aod_quick_1_{kind}",
        "host": "client7",
        "anomaly": {
            "name": kind,
            "type": kind,
            "server": "nas.example",
            "first_ns": BEGAN_NS,
            "count": 12,
            "acceptable_count": 10,
            "commands": ["SMB2_READ"],
        },
        "episode": {"open": True, "ended_monotonic_ns": None},
        "verdict": {
            "cause": "server",
            "confidence": "high",
            "sentence": "It took 890 ms to answer, while the network lost nothing.",
            "refuted_by": "a capture at the server shows that it answered at once",
            "evidence": {"wire_ms": 890.0, "usual_wire_ms": 9.1},
            "next": ["on nas.example: iostat -x 1 5", "here: aodasync report"],
        },
        "who": {
            "processes": [{"name": "postgres", "pid": 2210, "share_of_time": 0.71}],
            "shares": [{"name": "//nas.example/data", "share_of_time": 1.0}],
        },
        "shares": [{"session_id": "0x0", "tree_id": 7, "share": "//nas.example/data"}],
        "connections": [{"connection_id": 1, "server": "nas.example"}],
        "collection": {"decided_monotonic_ns": DECIDED_NS, "decided_realtime_ns": 10**18},
        "actions": [{"name": "dmesg", "file": "dmesg.log", "bytes": 5, "argv": ["dmesg"]}],
        "losses": {"ring_full": 0},
    }
    stacks = "==> pid 7 tid 7 cp state D wchan y <==\n[<0>] wait_for_response+0x1/0x2 [cifs]\n"
    texts = {"dmesg.log": "a line of the kernel's log\n" * 40, "stacks.log": stacks}
    return Content(manifest, requests(*rows), in_flight=in_flight, texts=texts)
