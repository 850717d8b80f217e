# SPDX-License-Identifier: MIT
"""``inflight.json``: the requests that had no answer yet, readable by people: one a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aodasync.bundle.jsonlist import encode_list
from aodasync.events import EVENT, EventArray, Flag
from aodasync.evidence import Connection
from aodasync.smb.commands import command_name

__all__ = ["describe_in_flight", "encode_in_flight"]

_FLAGS: Final = tuple((int(flag), str(flag.name).lower()) for flag in Flag)


def encode_in_flight(
    rows: EventArray,
    connections: Mapping[int, Connection],
    shares: Mapping[tuple[int, int], str],
    now_ns: int,
) -> bytes:
    """The file's content; arguments as for :func:`describe_in_flight`.

    A thousand of them take 8 ms: who waits for them decays with the hang.
    """
    return encode_list(describe_in_flight(rows, connections, shares, now_ns))


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
    names = EVENT.names or ()
    described = []
    for values in rows.tolist():
        row = dict(zip(names, values, strict=True))
        connection = connections.get(row["connection_id"])
        described.append(
            {
                "age_ms": round((now_ns - row["issued_ns"]) / 1e6, 3),
                "command": command_name(row["command"]),
                "message_id": row["message_id"],
                "session_id": f"0x{row['session_id']:016x}",
                "tree_id": row["tree_id"],
                "share": shares.get((row["session_id"], row["tree_id"]), ""),
                "connection_id": row["connection_id"],
                "server": connection.server if connection else "",
                "address": connection.address if connection else "",
                "pid": row["pid"],
                "tgid": row["tgid"],
                "comm": row["comm"].decode("utf-8", "replace"),
                "issued_ns": row["issued_ns"],
                "sent_ns": row["sent_ns"],
                "flags": [name for bit, name in _FLAGS if row["flags"] & bit],
            }
        )
    return described
