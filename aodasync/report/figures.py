# SPDX-License-Identifier: MIT
"""The figures of a report, out of the recorded requests. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import EventArray, Flag, Kind, Outcome
from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import ANY_COMMAND, EXPECTED_NOISE, status_name

__all__ = [
    "CommandFigures",
    "Moments",
    "by_command",
    "errors",
    "latency_ms",
    "moments",
    "shares_by_tree",
    "sockets",
]

_BEFORE_NS: Final = 10 * 1_000_000_000
_NAME_NOT_FOUND: Final = 0xC0000034
_SHARE: Final = re.compile(r"^\s*(?:\d+\)|\d+\) IPC:) (?:IPC: )?(\\\\\S+) Mounts:", re.MULTILINE)
_TID: Final = re.compile(r"\btid: 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Moments:
    """CLOCK_MONOTONIC in ns: when the trouble began (as detected), and the decision."""

    began_ns: int
    decided_ns: int


@dataclass(frozen=True, slots=True)
class CommandFigures:
    """One command: requests and latencies in ms, before the trouble and from then on.

    ``server_ms`` and ``client_ms`` are medians of the phases from then on: from issue to
    response, and from response to release. None where there is nothing to tell.
    """

    command: str
    count: tuple[int, int]
    median_ms: tuple[float | None, float | None]
    p99_ms: tuple[float | None, float | None]
    max_ms: tuple[float | None, float | None]
    server_ms: float | None
    client_ms: float | None


def latency_ms(rows: EventArray) -> npt.NDArray[np.float64]:
    """From issue to release; shape (N,), 0 for what was never released."""
    spans = rows["released_ns"].astype(np.int64) - rows["issued_ns"].astype(np.int64)
    known = (rows["released_ns"] > 0) & (rows["issued_ns"] > 0)
    return np.where(known, np.maximum(spans, 0) / 1e6, 0.0)


def moments(manifest: Mapping[str, Any], rows: EventArray) -> Moments:
    """From the manifest; for a snapshot trouble begins ten seconds before it."""
    collection, anomaly = manifest.get("collection"), manifest.get("anomaly")
    decided = _whole(collection, "decided_monotonic_ns")
    if not decided:
        decided = int(rows["released_ns"].max(initial=0))
    began = _whole(anomaly, "first_ns")
    return Moments(began or max(0, decided - _BEFORE_NS), decided)


def _whole(holder: object, key: str) -> int:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0


def by_command(rows: EventArray, began_ns: int) -> list[CommandFigures]:
    """A row a command, the one with the slowest request since the beginning first."""
    requests = rows[(rows["kind"] == Kind.REQUEST) & (rows["released_ns"] > 0)]
    late = requests["released_ns"] >= began_ns
    found = []
    for code in np.unique(requests["command"]):
        mine = requests["command"] == code
        halves = (requests[mine & ~late], requests[mine & late])
        spans = [latency_ms(half) for half in halves]
        answered = halves[1][halves[1]["received_ns"] > 0]
        found.append(
            CommandFigures(
                command=command_name(int(code)),
                count=(len(spans[0]), len(spans[1])),
                median_ms=(_at(spans[0], 50), _at(spans[1], 50)),
                p99_ms=(_at(spans[0], 99), _at(spans[1], 99)),
                max_ms=(_at(spans[0], 100), _at(spans[1], 100)),
                server_ms=_at(_span_ms(answered, "issued_ns", "received_ns"), 50),
                client_ms=_at(_span_ms(answered, "received_ns", "released_ns"), 50),
            )
        )
    return sorted(found, key=lambda row: (-(row.max_ms[1] or 0.0), row.command))


def _span_ms(rows: EventArray, start: str, end: str) -> npt.NDArray[np.float64]:
    return np.maximum(rows[end].astype(np.int64) - rows[start].astype(np.int64), 0) / 1e6


def _at(values: npt.NDArray[np.float64], percentile: float) -> float | None:
    return float(np.percentile(values, percentile)) if len(values) else None


def silent(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Requests that ended without a response; shape (N,)."""
    ended = (rows["kind"] == Kind.REQUEST) & (rows["outcome"] != Outcome.IN_FLIGHT)
    return np.asarray(ended & (rows["outcome"] != Outcome.ANSWERED), dtype=np.bool_)


def failed(rows: EventArray) -> npt.NDArray[np.bool_]:
    """Requests whose response is an error, expected noise left out; shape (N,).

    In a compound the parts after a CREATE that found no file fail like it (MS-SMB2
    3.3.5.2.7.2), and are as expected.
    """
    answered = (rows["kind"] == Kind.REQUEST) & (rows["outcome"] == Outcome.ANSWERED)
    bad = answered & (rows["status"] >= 0x80000000)
    for command, status in EXPECTED_NOISE:
        of_command = True if command == ANY_COMMAND else rows["command"] == command
        bad &= ~((rows["status"] == status) & of_command)
    followers = (rows["flags"] & Flag.COMPOUND) > 0
    return np.asarray(bad & ~((rows["status"] == _NAME_NOT_FOUND) & followers), dtype=np.bool_)


def errors(rows: EventArray, shares: Mapping[int, str]) -> list[tuple[str, str, str, int]]:
    """(what, command, share, count), most first: failed statuses, and ends without a response.

    Expected noise is left out. ``shares`` are by tree id.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in rows[failed(rows) | silent(rows)]:
        status, outcome, tree = int(row["status"]), int(row["outcome"]), int(row["tree_id"])
        what = status_name(status) if outcome == Outcome.ANSWERED else _outcome(outcome)
        share = shares.get(tree, f"tree 0x{tree:x}" if tree else "")
        counts[what, command_name(int(row["command"])), share] += 1
    return [(*key, count) for key, count in counts.most_common(50)]


def _outcome(code: int) -> str:
    try:
        return f"no response: {Outcome(code).name.lower().replace('_', ' ')}"
    except ValueError:
        return f"no response: outcome {code}"


def shares_by_tree(manifest: Mapping[str, Any], texts: Mapping[str, str]) -> dict[int, str]:
    """Names of shares by tree id: as the manifest has them, else out of DebugData."""
    found = {}
    parts = _SHARE.split(texts.get("debug_data.log", ""))
    for share, text in zip(parts[1::2], parts[2::2], strict=True):
        if tid := _TID.search(text):
            found[int(tid[1], 16)] = share
    told = manifest.get("shares")
    for share in told if isinstance(told, list) else ():
        if isinstance(share, Mapping) and isinstance(share.get("tree_id"), int):
            found[share["tree_id"]] = str(share.get("share", ""))
    return found


_SOCKET_KEYS: Final = frozenset(
    ["rtt", "rto", "cwnd", "retrans", "lost", "unacked", "rcv_ooopack", "lastrcv"]
)


def sockets(text: str) -> list[dict[str, str]]:
    """The figures of ``ss -tinmoe`` by socket: state, peer, queues, and what -i tells."""
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        fields = line.split()
        if line[:1].isalpha() and len(fields) >= 5 and fields[1].isdigit():
            found.append(
                {"state": fields[0], "recv_q": fields[1], "send_q": fields[2], "peer": fields[4]}
            )
        elif found and line[:1].isspace():
            pairs = (field.partition(":") for field in fields)
            found[-1] |= {key: value for key, _, value in pairs if key in _SOCKET_KEYS and value}
    return found
