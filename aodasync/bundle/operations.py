# SPDX-License-Identifier: MIT
"""``operations.json``: what processes wait for inside the client, readable by people.

One a line. A thousand of them take some 8 ms.
"""

from __future__ import annotations

from typing import Any, Final

from aodasync.bundle.jsonlist import encode_list
from aodasync.operations import OPERATION, OperationArray, WaitsFor

__all__ = ["describe_operations", "encode_operations"]

_WAITS: Final = {int(wait): wait.name.lower() for wait in WaitsFor}


def encode_operations(rows: OperationArray, now_ns: int) -> bytes:
    """The file's content; arguments as for :func:`describe_operations`."""
    return encode_list(describe_operations(rows, now_ns))


def describe_operations(rows: OperationArray, now_ns: int) -> list[dict[str, Any]]:
    """One object an operation of ``rows`` (shape (N,), dtype OPERATION), in their order.

    ``now_ns`` is CLOCK_MONOTONIC. Join it with ``inflight.json`` by ``pid``: an
    operation whose thread has no request there waits inside the client.
    """
    names = OPERATION.names or ()
    described = []
    for values in rows.tolist():
        row = dict(zip(names, values, strict=True))
        described.append(
            {
                "age_ms": round((now_ns - row["started_ns"]) / 1e6, 3),
                "function": row["function"].decode("ascii", "replace"),
                "waits_for": _WAITS[row["waits_for"]],
                "pid": row["pid"],
                "tgid": row["tgid"],
                "comm": row["comm"].decode("utf-8", "replace"),
                "xid": row["xid"],
                "started_ns": row["started_ns"],
            }
        )
    return described
