# SPDX-License-Identifier: MIT
"""``operations.json``: what processes wait for inside the client, readable by people."""

from __future__ import annotations

from typing import Any

from aodasync.operations import OperationArray, WaitsFor

__all__ = ["describe_operations"]


def describe_operations(rows: OperationArray, now_ns: int) -> list[dict[str, Any]]:
    """One object an operation of ``rows`` (shape (N,), dtype OPERATION), in their order.

    ``now_ns`` is CLOCK_MONOTONIC. Join it with ``inflight.json`` by ``pid``: an
    operation whose thread has no request there waits inside the client.
    """
    return [
        {
            "age_ms": round((now_ns - int(row["started_ns"])) / 1e6, 3),
            "function": bytes(row["function"]).decode("ascii", "replace"),
            "waits_for": WaitsFor(row["waits_for"]).name.lower(),
            "pid": int(row["pid"]),
            "tgid": int(row["tgid"]),
            "comm": bytes(row["comm"]).decode("utf-8", "replace"),
            "xid": int(row["xid"]),
            "started_ns": int(row["started_ns"]),
        }
        for row in rows
    ]
