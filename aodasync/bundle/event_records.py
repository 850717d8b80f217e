# SPDX-License-Identifier: MIT
"""Rows of ``events.npy`` as records with names in place of numbers. Pure."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aodasync.bundle.files_table import NamesByRequest, file_of
from aodasync.events import REQUEST, EventArray, Flag, Kind, Outcome
from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import status_name

__all__ = ["FIELDS", "records"]

FIELDS: Final = (
    *("time", "kind", "command", "latency_ms", "send_ms", "wire_ms", "client_ms", "status"),
    *("outcome", "server", "share", "comm", "pid", "tgid", "message_id", "session_id"),
    *("connection_id", "flags", "issued_ns", "released_ns", "file"),
)
"""The fields of a record, in this order."""

_KINDS: Final = {kind.value: kind.name.lower() for kind in Kind}
_OUTCOMES: Final = {outcome.value: outcome.name.lower() for outcome in Outcome}
_FLAGS: Final = tuple((flag.value, str(flag.name).lower()) for flag in Flag)
_MOST_CHARACTERS: Final = 512  # of a name: it is in each row, and ours have 255 at most
_LATEST_SEC: Final = 253_000_000_000  # in the year 9987: the last that datetime can tell


def records(
    rows: EventArray, manifest: Mapping[str, Any], offset_ns: int | None, files: NamesByRequest
) -> Iterator[dict[str, Any]]:
    """One record a row, in their order.

    ``manifest`` has the names of servers and shares, ``files`` those of files.
    ``offset_ns`` leads from CLOCK_MONOTONIC to CLOCK_REALTIME. ``time`` is when the request ended,
    in UTC; None where one of the two is not known. A phase that is not known is None:
    ``send_ms`` is from issue to the socket, ``wire_ms`` from there (else from the issue) to the
    response, ``client_ms`` from there to the release.
    """
    servers = {
        c["connection_id"]: (c.get("server") or c.get("address", ""))[:_MOST_CHARACTERS]
        for c in manifest.get("connections", [])
    }
    shares = _shares(manifest)
    names = rows.dtype.names or ()
    for values in rows.tolist():
        row = dict(zip(names, values, strict=True))
        yield {
            "time": _utc(row["released_ns"], offset_ns),
            "kind": _KINDS.get(row["kind"], str(row["kind"])),
            "command": command_name(row["command"]) if row["kind"] == REQUEST else None,
            "latency_ms": _ms(row["issued_ns"], row["released_ns"]),
            "send_ms": _ms(row["issued_ns"], row["sent_ns"]),
            "wire_ms": _ms(row["sent_ns"] or row["issued_ns"], row["received_ns"]),
            "client_ms": _ms(row["received_ns"], row["released_ns"]),
            "status": _status(row["kind"], row["status"]),
            "outcome": _OUTCOMES.get(row["outcome"], str(row["outcome"])),
            "server": servers.get(row["connection_id"], ""),
            "share": shares.get((row["session_id"], row["tree_id"]), ""),
            "comm": row["comm"].decode("utf-8", "replace"),
            "pid": row["pid"],
            "tgid": row["tgid"],
            "message_id": row["message_id"],
            "session_id": f"0x{row['session_id']:016x}",
            "connection_id": row["connection_id"],
            "flags": [name for bit, name in _FLAGS if row["flags"] & bit],
            "issued_ns": row["issued_ns"],
            "released_ns": row["released_ns"],
            "file": file_of(row, files)[:_MOST_CHARACTERS],
        }


def _shares(manifest: Mapping[str, Any]) -> dict[tuple[int, int], str]:
    """By session id and tree id; what is not as we write it is left out."""
    found = {}
    known = manifest.get("shares")
    for entry in known if isinstance(known, list) else ():
        try:
            name = str(entry["share"])[:_MOST_CHARACTERS]
            found[int(entry["session_id"], 16), int(entry["tree_id"])] = name
        except (KeyError, TypeError, ValueError):
            continue
    return found


def _ms(start_ns: int, end_ns: int) -> float | None:
    return round((end_ns - start_ns) / 1e6, 6) if 0 < start_ns <= end_ns else None


def _status(kind: int, status: int) -> str:
    if kind == REQUEST:
        return status_name(status)
    return errno.errorcode.get(status, str(status)) if status else ""


def _utc(released_ns: int, offset_ns: int | None) -> str | None:
    """ISO 8601 to the microsecond."""
    if not released_ns or offset_ns is None:
        return None
    seconds = min(max(0, released_ns + offset_ns), _LATEST_SEC * 10**9) // 1000 / 1e6
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
