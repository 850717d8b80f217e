# SPDX-License-Identifier: MIT
"""``inflight.json``: the requests that had no answer yet, readable by people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aodasync.events import EventArray, Flag
from aodasync.evidence import Connection
from aodasync.smb.commands import command_name

__all__ = ["describe_in_flight"]


def describe_in_flight(
    rows: EventArray,
    connections: Mapping[int, Connection],
    shares: Mapping[tuple[int, int], str],
    now_ns: int,
) -> list[dict[str, Any]]:
    """One object a request of ``rows`` (shape (N,), dtype EVENT), in their order.

    ``now_ns`` is CLOCK_MONOTONIC. Session ids are hexadecimal: JSON readers
    round integers beyond 2**53. ``server`` is empty for a connection not known,
    ``share`` (of ``shares``, by session id and tree id) for a tree not known.
    """
    described = []
    for row in rows:
        connection = connections.get(int(row["connection_id"]))
        described.append(
            {
                "age_ms": round((now_ns - int(row["issued_ns"])) / 1e6, 3),
                "command": command_name(int(row["command"])),
                "message_id": int(row["message_id"]),
                "session_id": f"0x{int(row['session_id']):016x}",
                "tree_id": int(row["tree_id"]),
                "share": shares.get((int(row["session_id"]), int(row["tree_id"])), ""),
                "connection_id": int(row["connection_id"]),
                "server": connection.server if connection else "",
                "address": connection.address if connection else "",
                "pid": int(row["pid"]),
                "tgid": int(row["tgid"]),
                "comm": bytes(row["comm"]).decode("utf-8", "replace"),
                "issued_ns": int(row["issued_ns"]),
                "sent_ns": int(row["sent_ns"]),
                "flags": [str(flag.name).lower() for flag in Flag if int(row["flags"]) & flag],
            }
        )
    return described
