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

from aodasync.detection.long_waits import may_wait
from aodasync.events import NS_PER_MS, EventArray, Outcome, latency_ns, pick
from aodasync.evidence.failures import failed, silent
from aodasync.report.groups import by_command
from aodasync.report.values import whole_number
from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import status_name

__all__ = [
    "Moments",
    "against_usual",
    "errors",
    "latency_ms",
    "moments",
    "shares_by_tree",
    "sockets",
]

_BEFORE_NS: Final = 10 * 1_000_000_000
_MOST_ERRORS: Final = 1000
_SHARE: Final = re.compile(r"^[ \t]*\d+\) (?:IPC: )?(\\\\[^\t\n]+?) Mounts:", re.MULTILINE)
_TID: Final = re.compile(r"\btid: 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Moments:
    """CLOCK_MONOTONIC in ns: when the trouble began (as detected), and the decision."""

    began_ns: int
    decided_ns: int


def latency_ms(rows: EventArray) -> npt.NDArray[np.float64]:
    """From issue to release; shape (N,), 0 for what was never released."""
    return latency_ns(rows) / NS_PER_MS


def moments(manifest: Mapping[str, Any], rows: EventArray) -> Moments:
    """From the manifest; for a snapshot trouble begins ten seconds before it."""
    collection, anomaly = manifest.get("collection"), manifest.get("anomaly")
    decided = whole_number(collection, "decided_monotonic_ns")
    if not decided:
        decided = int(rows["released_ns"].max(initial=0))
    began = whole_number(anomaly, "first_ns")
    return Moments(began or max(0, decided - _BEFORE_NS), decided)


def against_usual(rows: EventArray, began_ns: int) -> tuple[str, float | None, float, float] | None:
    """Of the command that added most time: its name, usual median, median and worst since, in ms.

    None where no request ended since; the usual one is None where none ended before.
    """
    ended = pick(rows, ~may_wait(rows))
    for group in by_command(ended, began_ns):
        usual_ms, now_ms = group.median_ms
        if now_ms is not None:
            return group.name, usual_ms, now_ms, group.max_ms[1] or 0.0
    return None


def errors(rows: EventArray, shares: Mapping[int, str]) -> list[tuple[str, str, str, int]]:
    """(what, command, share, count), most first: failed statuses, and ends without a response.

    Expected noise is left out. ``shares`` are by tree id.
    """
    bad = pick(rows, failed(rows) | silent(rows))
    kinds, counts = np.unique(bad[["status", "outcome", "tree_id", "command"]], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_MOST_ERRORS]
    found: Counter[tuple[str, str, str]] = Counter()
    for (status, outcome, tree, command), count in zip(
        kinds[most].tolist(), counts[most].tolist(), strict=True
    ):
        what = status_name(status) if outcome == Outcome.ANSWERED else _outcome(outcome)
        share = shares.get(tree, f"tree 0x{tree:x}" if tree else "")
        found[what, command_name(command), share] += count
    return [(*key, count) for key, count in found.most_common()]


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
    known = manifest.get("shares")
    for share in known if isinstance(known, list) else ():
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
