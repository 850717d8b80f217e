# SPDX-License-Identifier: MIT
"""The requests of a page as its script reads them: columns one after the other, packed. Pure.

A column is a little-endian array; all of them together are zlib's, in base64.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.events import REQUEST, EventArray, Kind
from aodasync.evidence.failures import failed, silent
from aodasync.host.local_time import local
from aodasync.host.printable import printable_text
from aodasync.report import summary
from aodasync.report.clock import clock_of
from aodasync.report.content import Content
from aodasync.report.values import real_number, whole_number
from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import status_name

__all__ = ["MOST_ROWS", "data_block"]

MOST_ROWS: Final = 50_000
"""Requests that a page holds: the slowest, and an even choice of the others."""

_MOST_NAMES: Final = 250
_MOST_TROUBLES: Final = 200
_MOST_FLYING: Final = 500
_UNKNOWN: Final = 0xFFFFFFFF
_US: Final = 1000
_MOST_MS: Final = 1e12

Numbers: TypeAlias = npt.NDArray[np.uint64]


def data_block(content: Content) -> str:
    """A script element of JSON, which a browser does not run; nothing if no request ended."""
    ended = content.rows[content.rows["released_ns"] > 0]
    requests = _chosen(ended[ended["kind"] == REQUEST])
    if not len(requests):
        return ""
    first_ns = int(ended["released_ns"].min())
    columns = _columns(requests, first_ns, content)
    troubles = ended[ended["kind"] != REQUEST][:_MOST_TROUBLES]
    names = {kind.value: kind.name.lower().replace("_", " ") for kind in Kind}
    data = {
        **columns,
        **_moments(content, first_ns),
        "troubles": [
            [(int(t["released_ns"]) - first_ns) / 1e6, names.get(int(t["kind"]), "trouble")]
            for t in troubles
        ],
        "flying": [
            [min(real_number(one, "age_ms"), _MOST_MS)] for one in content.in_flight[:_MOST_FLYING]
        ],
    }
    # "</script>" in a name must not end the element, nor "<!--" change how it ends.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="rows">{text}</script>'


def _chosen(requests: EventArray) -> EventArray:
    """At most :data:`MOST_ROWS` of them, in the order of their ends."""
    if len(requests) > MOST_ROWS:
        slowest = np.argsort(summary.latency_ms(requests))[-MOST_ROWS // 3 :]
        even = np.linspace(0, len(requests) - 1, MOST_ROWS * 2 // 3).astype(np.int64)
        requests = requests[np.union1d(slowest, even)]
    in_order: EventArray = requests[np.argsort(requests["released_ns"], kind="stable")]
    return in_order


def _columns(rows: EventArray, first_ns: int, content: Content) -> dict[str, Any]:
    span_ns = max(1, int(rows["released_ns"][-1]) - first_ns)
    tick_ns = max(_US, span_ns // 0xFFFFFFF0 + 1)
    issued_ns = rows["issued_ns"]
    ticks = (rows["released_ns"] - np.uint64(first_ns)) // np.uint64(tick_ns)
    shares = summary.shares_by_tree(content.manifest, content.texts)
    process, processes = _numbered(rows, ("comm", "tgid"), _process)
    command, commands = _numbered(rows, ("command",), _command)
    share, share_names = _numbered(rows, ("tree_id",), lambda v: shares.get(v) or _tree(v))
    status, statuses = _numbered(rows, ("status",), status_name)
    columns = (
        (np.diff(ticks, prepend=np.uint64(0)), "<u4"),
        (_since(rows["released_ns"], issued_ns, 0), "<u4"),
        (_since(rows["received_ns"], issued_ns, _UNKNOWN), "<u4"),
        (_since(rows["sent_ns"], issued_ns, _UNKNOWN), "<u4"),
        (process, "<u2"),
        (command, "u1"),
        (share, "u1"),
        (status, "u1"),
        (np.where(silent(rows), 2, np.where(failed(rows), 1, 0)), "u1"),
    )
    joined = b"".join(np.ascontiguousarray(values, kind).tobytes() for values, kind in columns)
    return {
        "count": len(rows),
        "columns": base64.b64encode(zlib.compress(joined)).decode("ascii"),
        "tick_ms": tick_ns / 1e6,
        "commands": commands,
        "processes": processes,
        "shares": share_names,
        "statuses": statuses,
    }


def _since(end_ns: Numbers, issued_ns: Numbers, otherwise: int) -> Numbers:
    """Microseconds from the issue, where both are known and in that order."""
    known = (issued_ns > 0) & (end_ns >= issued_ns)
    micros = np.minimum((end_ns - issued_ns) // np.uint64(_US), np.uint64(_UNKNOWN - 1))
    return np.where(known, micros, np.uint64(otherwise))


def _numbered(
    rows: EventArray, fields: tuple[str, ...], name: Callable[[Any], str]
) -> tuple[npt.NDArray[Any], list[str]]:
    """A column of places in a list of names, the most frequent first; the last one for the rest."""
    columns = rows[fields[0]] if len(fields) == 1 else rows[list(fields)]
    values, inverse, counts = np.unique(columns, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    places = np.empty(len(order), np.int64)
    places[order] = np.minimum(np.arange(len(order)), _MOST_NAMES)
    names = [printable_text(name(values[n].item())[:128]) for n in order[:_MOST_NAMES].tolist()]
    if len(order) > _MOST_NAMES:
        names.append("others")
    return places[inverse.ravel()], names


def _command(code: int) -> str:
    return command_name(code).removeprefix("SMB2_")


def _process(value: tuple[bytes, int]) -> str:
    return f"{value[0].decode('utf-8', 'replace')} {value[1]}"


def _tree(number: int) -> str:
    return f"tree 0x{number:x}" if number else ""


def _moments(content: Content, first_ns: int) -> Mapping[str, float | None]:
    """Times in ms since the first request; ``clock_ms`` is that one's, since 1970."""
    at, clock = summary.moments(content.manifest, content.rows), clock_of(content.manifest)
    ended_ns = whole_number(content.manifest.get("episode"), "ended_monotonic_ns")
    zone_ms, clock_ms = 0.0, None
    if clock is not None:
        clock_ms = (first_ns + clock.offset_ns) / 1e6
        zone_ms = local(first_ns + clock.offset_ns).tm_gmtoff * 1e3
    return {
        "began_ms": max(0.0, (at.began_ns - first_ns) / 1e6),
        "decided_ms": max(0.0, (at.decided_ns - first_ns) / 1e6),
        "ended_ms": (ended_ns - first_ns) / 1e6 if ended_ns > first_ns else None,
        "clock_ms": clock_ms,
        "zone_ms": zone_ms,
    }
