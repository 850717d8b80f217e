# SPDX-License-Identifier: MIT
"""``inflight.json``, ``operations.json`` and ``files.json``: JSON lists with one object a line.

People read them, and grep finds whole objects. A thousand objects take some 8 ms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aodasync.events import EventArray, Flag, OperationArray, WaitsFor
from aodasync.evidence.arrays import distinct
from aodasync.evidence.file_book import File
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
_IN_FLIGHT: Final = (
    *("command", "message_id", "session_id", "tree_id", "connection_id", "pid", "tgid", "comm"),
    *("issued_ns", "sent_ns", "flags"),
)
_OPERATION: Final = ("started_ns", "function", "waits_for", "pid", "tgid", "comm", "xid")
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
    flags_of = {flags: _flags(flags) for flags in distinct(rows["flags"])}
    columns = [rows[name].tolist() for name in _IN_FLIGHT]
    names = [file.name for file in files] or [""] * len(rows)
    described = []
    for values in zip(*columns, names, strict=True):
        command, message, session, tree, number, pid, tgid, comm, issued, sent, flags, name = values
        connection = connections.get(number)
        described.append(
            {
                "age_ms": round((now_ns - issued) / 1e6, 3),
                "command": command_name(command),
                "message_id": message,
                "session_id": f"0x{session:016x}",
                "tree_id": tree,
                "share": shares.get((session, tree), ""),
                "file_name": name,
                "connection_id": number,
                "server": connection.server if connection else "",
                "address": connection.address if connection else "",
                "pid": pid,
                "tgid": tgid,
                "comm": comm.decode("utf-8", "replace"),
                "issued_ns": issued,
                "sent_ns": sent,
                "flags": flags_of[flags],
            }
        )
    return described


def _flags(flags: int) -> list[str]:
    return [name for bit, name in _FLAGS if flags & bit]


def encode_operations(rows: OperationArray, now_ns: int) -> bytes:
    """The file's content; arguments as for :func:`describe_operations`."""
    return encode_table(describe_operations(rows, now_ns))


def describe_operations(rows: OperationArray, now_ns: int) -> list[dict[str, Any]]:
    """One object an operation of ``rows`` (shape (N,), dtype OPERATION), in their order.

    ``now_ns`` is CLOCK_MONOTONIC. Join it with ``inflight.json`` by ``pid``: an
    operation whose thread has no request there waits inside the client.
    """
    columns = [rows[name].tolist() for name in _OPERATION]
    return [
        {
            "age_ms": round((now_ns - started_ns) / 1e6, 3),
            "function": function.decode("ascii", "replace"),
            "waits_for": _WAITS[waits_for],
            "pid": pid,
            "tgid": tgid,
            "comm": comm.decode("utf-8", "replace"),
            "xid": xid,
            "started_ns": started_ns,
        }
        for started_ns, function, waits_for, pid, tgid, comm, xid in zip(*columns, strict=True)
    ]


def encode_table(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """The objects as a file's content, in ASCII."""
    lines = ",\n".join(map(_ENCODER.encode, objects))
    return f"[\n{lines}\n]\n".encode("ascii") if lines else b"[]\n"
