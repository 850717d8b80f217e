# SPDX-License-Identifier: MIT
"""The episode that a bundle is of: as its manifest states it, and out of one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aodasync.detection.long_waits import may_wait
from aodasync.events import NS_PER_MS, REQUEST, EventArray, latency_ns, pick
from aodasync.evidence.arrays import is_in, median
from aodasync.evidence.history import PastEpisode, values_of
from aodasync.evidence.model import Finding, Trigger
from aodasync.smb.commands import COMMAND_CODES

__all__ = ["describe_episode", "past_episode"]

_FEW = 8  # one in so many: they are copied
_LATEST_NS = 1 << 62  # what is later is damage


def describe_episode(trigger: Trigger, rows: EventArray) -> dict[str, Any] | None:
    """When it began and ended, how bad it was, and how it usually is; None for a snapshot.

    While it was still open when the bundle was ordered, its end is None. ``rows`` are the
    recorded requests, shape (N,), dtype EVENT. ``usual_ms`` is what was learnt, else the median
    of the same commands on the same connections before it began; None where there were none.
    """
    finding = trigger.finding
    if finding is None:
        return None
    offset_ns = trigger.decided_realtime_ns - trigger.decided_monotonic_ns
    began_ns = finding.first_ns or trigger.decided_monotonic_ns
    ended_ns = (finding.last_ns or trigger.decided_monotonic_ns) if trigger.at_end else None
    spans = _spans(finding, rows, began_ns)
    return {
        "number": trigger.episode,
        "open": not trigger.at_end,
        "began_monotonic_ns": began_ns,
        "began_realtime_ns": began_ns + offset_ns,
        "ended_monotonic_ns": ended_ns,
        "ended_realtime_ns": None if ended_ns is None else ended_ns + offset_ns,
        "worst_ms": round(max(finding.max_latency_ms, spans[0]), 3),
        "usual_ms": finding.figures.get("usual_ms", spans[1]),
    }


def _spans(finding: Finding, rows: EventArray, began_ns: int) -> tuple[float, float | None]:
    """In ms: the worst request since it began, and the median of those before it."""
    on_them = is_in(rows["connection_id"], np.array(finding.connections, np.uint64))
    if np.count_nonzero(on_them) < len(rows) // _FEW:  # not all of a large recorder again
        rows = pick(rows, on_them)
        on_them = np.ones(len(rows), np.bool_)
    mine = (rows["kind"] == REQUEST) & (rows["issued_ns"] > 0) & (rows["released_ns"] > 0)
    mine &= on_them & ~may_wait(rows)
    late = rows["released_ns"] >= np.uint64(max(0, began_ns))
    before = mine & ~late
    if finding.commands:
        codes = [COMMAND_CODES[name] for name in finding.commands if name in COMMAND_CODES]
        before &= is_in(rows["command"], codes)
    latency = latency_ns(rows)
    worst_ms = float(latency[mine & late].max(initial=0)) / NS_PER_MS
    if not before.any():
        return worst_ms, None
    return worst_ms, round(median(latency[before]) / NS_PER_MS, 3)


def past_episode(manifest: Mapping[str, Any], bundle: str) -> PastEpisode | None:
    """The episode of a manifest of any version; None for a snapshot, which is of none.

    The manifest is untrusted: what is of the wrong type is left out.
    """
    found, stated, verdict = (_mapping(manifest, key) for key in ("anomaly", "episode", "verdict"))
    if not found.get("server") and not found.get("count"):
        return None
    clock = _mapping(manifest, "collection")
    record = {
        **found,
        "id": f"{found.get('episode', 0)}",
        "anomaly": found.get("name"),
        "began_ns": stated.get("began_realtime_ns") or _began_ns(found, clock),
        "ended_ns": stated.get("ended_realtime_ns"),
        "worst_ms": stated.get("worst_ms", found.get("max_latency_ms")),
        "usual_ms": stated.get("usual_ms"),
        "bundle": bundle,
        "verdict": verdict,
        "who": _mapping(manifest, "who"),
        "next": verdict.get("next", []),
    }
    values = values_of(record)
    if not {"anomaly", "server", "began_ns"} <= values.keys():
        return None
    return PastEpisode(**values) if 0 <= values["began_ns"] < _LATEST_NS else None


def _began_ns(found: Mapping[str, Any], clock: Mapping[str, Any]) -> int | None:
    """CLOCK_REALTIME of the first sign, in a manifest of version 1."""
    realtime, monotonic = (clock.get(f"decided_{name}_ns") for name in ("realtime", "monotonic"))
    first = found.get("first_ns") or monotonic
    if not all(isinstance(each, int) for each in (realtime, monotonic, first)):
        return None
    return int(realtime - monotonic + first)  # type: ignore[operator]


def _mapping(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}
