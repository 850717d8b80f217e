# SPDX-License-Identifier: MIT
"""``inflight.json``, ``operations.json`` and ``files.json``: JSON lists with one object a line.

People read them, and grep finds whole objects. A thousand objects take some 8 ms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from aodasync.events import EVENT, OPERATION, EventArray, Flag, OperationArray, WaitsFor
from aodasync.evidence.file_book import NO_FILE, File
from aodasync.evidence.model import Connection
from aodasync.smb.commands import command_name

__all__ = [
    "describe_in_flight",
    "describe_operations",
    "encode_in_flight",
    "encode_operations",
    "encode_table",
]

_ENCODER: Final = json.JSONEncoder(allow_nan=False)
_FLAGS: Final = tuple((int(flag), str(flag.name).lower()) for flag in Flag)
_WAITS: Final = {int(wait): wait.name.lower() for wait in WaitsFor}


def encode_in_flight(
    rows: EventArray,
    connections: Mapping[int, Connection],
    shares: Mapping[tuple[int, int], str],
    now_ns: int,
    files: Sequence[File] = (),
) -> bytes:
    """The file's content; arguments as for :func:`describe_in_flight`.

    A thousand of them take 8 ms: who waits for them decays with the hang.
    """
    return encode_table(describe_in_flight(rows, connections, shares, now_ns, files))


def describe_in_flight(
    rows: EventArray,
    connections: Mapping[int, Connection],
    shares: Mapping[tuple[int, int], str],
    now_ns: int,
    files: Sequence[File] = (),
) -> list[dict[str, Any]]:
    """One object a request of ``rows`` (shape (N,), dtype EVENT), in their order.

    ``now_ns`` is CLOCK_MONOTONIC. Session ids are hexadecimal: JSON readers
    round integers beyond 2**53. ``server`` is empty for a connection not known,
    ``share`` (of ``shares``, by session id and tree id) for a tree not known,
    ``file_name`` (of ``files``, one a row, or none at all) for a file not known.
    """
    names = EVENT.names or ()
    described = []
    for values, file in zip_longest(rows.tolist(), files, fillvalue=NO_FILE):
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
                "file_name": file.name,
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


def encode_operations(rows: OperationArray, now_ns: int) -> bytes:
    """The file's content; arguments as for :func:`describe_operations`."""
    return encode_table(describe_operations(rows, now_ns))


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


def encode_table(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """The objects as a file's content, in ASCII."""
    lines = ",\n".join(map(_ENCODER.encode, objects))
    return f"[\n{lines}\n]\n".encode("ascii") if lines else b"[]\n"
