# SPDX-License-Identifier: MIT
"""The live state of an agent, for ``aodasync status``: pure figures, and their text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aodasync.detection.by_server import by_server
from aodasync.events import NS_PER_MS, EventArray, Kind, Outcome, latency_ns, pick
from aodasync.evidence.arrays import median, quantile
from aodasync.evidence.failures import failed
from aodasync.host.printable import printable
from aodasync.smb.commands import command_name

__all__ = ["in_flight_summary", "render", "server_summary"]

_RECENT_NS = 60_000_000_000
_MOST_SERVERS = 64
OTHER = "other"
"""Stands for the servers beyond the busiest ones."""


def server_summary(
    rows: EventArray, server_of: Callable[[int], str], now_ns: int
) -> dict[str, dict[str, Any]]:
    """Per server, the requests of the last minute: rate, latency, errors, without a response.

    Servers beyond the 64 busiest ones are summed up as ``other``.
    """
    of_last_minute = (rows["kind"] == Kind.REQUEST) & (rows["released_ns"] + _RECENT_NS > now_ns)
    recent = pick(rows, of_last_minute)
    connection_id = recent["connection_id"]
    if len(recent) == 0:
        return {}
    busy = Counter(connection_id.tolist())
    names = {number: server_of(number) for number in busy}
    requests: Counter[str] = Counter()
    for number, count in busy.items():
        requests[names[number]] += count
    shown = {server for server, _ in requests.most_common(_MOST_SERVERS)}
    connections: dict[str, list[int]] = {}
    for number, server in names.items():
        connections.setdefault(server if server in shown else OTHER, []).append(number)
    summary = {}
    latency_ms, bad = latency_ns(recent) / NS_PER_MS, failed(recent)
    unanswered = recent["outcome"] != Outcome.ANSWERED
    for server, at in sorted(_places(connection_id, connections).items()):
        own_ms = latency_ms[at]
        summary[server] = {
            "connections": len(connections[server]),
            "requests": len(at),
            "per_sec": round(len(at) / (_RECENT_NS / 1e9), 2),
            "median_ms": round(median(own_ms), 3),
            "p99_ms": round(quantile(own_ms, 0.99), 3),
            "max_ms": round(float(own_ms.max()), 3),
            "errors": int(np.count_nonzero(bad[at])),
            "unanswered": int(np.count_nonzero(unanswered[at])),
        }
    return summary


def _places(
    ids: npt.NDArray[np.uint64], connections: Mapping[str, Sequence[int]]
) -> dict[str, npt.NDArray[np.intp]]:
    """Where the rows of each server are, given the connections of all rows, of shape (N,)."""
    name_of = {number: name for name, numbers in connections.items() for number in numbers}
    grouped = by_server(ids, name_of.__getitem__)
    order = np.argsort(grouped.place, kind="stable")
    ends = np.cumsum(np.bincount(grouped.place, minlength=len(grouped.servers)))
    return dict(zip(grouped.servers, np.split(order, ends[:-1]), strict=True))


def in_flight_summary(rows: EventArray, now_ns: int) -> dict[str, Any]:
    """How many requests are in flight, and the oldest of them."""
    if len(rows) == 0:
        return {"count": 0, "oldest": None}
    oldest = rows[np.argmin(rows["issued_ns"])]
    return {
        "count": len(rows),
        "oldest": {
            "command": command_name(int(oldest["command"])),
            "age_ms": round((now_ns - int(oldest["issued_ns"])) / NS_PER_MS, 3),
            "pid": int(oldest["pid"]),
            "comm": oldest["comm"].decode("utf-8", "replace"),
            "connection_id": int(oldest["connection_id"]),
        },
    }


def render(status: Mapping[str, Any]) -> str:
    """The status as indented text, one figure a line."""
    lines: list[str] = []
    _render(status, "", lines)
    return "\n".join(map(printable, lines)) + "\n"


def _render(value: Mapping[str, Any], indent: str, lines: list[str]) -> None:
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines.append(f"{indent}{key}:" + ("" if item else " none"))
            _render(item, indent + "  ", lines)
        else:
            shown = ", ".join(map(str, item)) if isinstance(item, list) else item
            lines.append(f"{indent}{key}: {'none' if shown in (None, '') else shown}")
