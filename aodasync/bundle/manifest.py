# SPDX-License-Identifier: MIT
"""``manifest.json``: what is in a bundle, how it was come by, and what is missing from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from aodasync.actions.action import ActionResult
from aodasync.bundle.episode import describe_episode
from aodasync.bundle.jsonvalues import plain
from aodasync.config.model import Anomaly
from aodasync.events import EVENT, EventArray, Flag, Kind, Outcome
from aodasync.evidence.model import Snapshot, Trigger
from aodasync.verdict.judge import Verdict

__all__ = ["SCHEMA_VERSION", "build_manifest", "dump"]

SCHEMA_VERSION: Final = 2

_INDENT: Final = "  "
_NESTED: Final = frozenset({dict, list})


def build_manifest(
    *,
    bundle: str,
    trigger: Trigger,
    anomaly: Anomaly | None,
    live: bool,
    verdict: Verdict,
    actions: Iterable[ActionResult],
    rows: EventArray,
    before: Snapshot,
    after: Snapshot,
    truncations: Iterable[Mapping[str, Any]],
    volatile_ms: float | None = None,
) -> dict[str, Any]:
    """The manifest as plain JSON values.

    ``anomaly`` is its configuration, ``rows`` what went into ``events.npy``; requests in
    flight and operations are those of the snapshot ``before`` the actions ran, the rest
    is of ``after``. Facts (agent, kernel, cifs, probe, mounts, ...) become keys of their own.
    ``volatile_ms`` is the time from the decision until what decays first was in its files.
    Session ids are hexadecimal: JSON readers round integers beyond 2**53.
    Numbers that end in ``_ns`` are CLOCK_MONOTONIC, unless called realtime.
    """
    manifest = {
        "live": live,
        "anomaly": _anomaly(trigger, anomaly),
        "episode": describe_episode(trigger, rows),
        "verdict": {k: v for k, v in plain(verdict).items() if k != "who"},
        "who": verdict.who,
        "clock": before.clocks,
        "collection": {
            "decided_monotonic_ns": trigger.decided_monotonic_ns,
            "decided_realtime_ns": trigger.decided_realtime_ns,
            "started_monotonic_ns": before.clocks.monotonic_ns,
            "started_realtime_ns": before.clocks.realtime_ns,
            "ended_monotonic_ns": after.clocks.monotonic_ns,
            "ended_realtime_ns": after.clocks.realtime_ns,
            "volatile_ms": None if volatile_ms is None else round(volatile_ms, 3),
        },
        "actions": [result.as_manifest() for result in actions],
        "events": _events(rows),
        "in_flight": {"file": "inflight.json", "count": len(before.in_flight)},
        "operations": {"file": "operations.json", "count": len(before.operations)},
        "samples": {"file": "samples.json"},
        "losses": after.losses,
        "counters": after.figures,
        "connections": [
            plain(each) | {"credits": before.credits.get(each.connection_id)}
            for each in after.connections.values()
        ],
        "shares": [
            {"session_id": f"0x{session:016x}", "tree_id": tree, "share": share}
            for (session, tree), share in after.shares.items()
        ],
        "unreadable": {**before.errors, **after.errors},
        "truncations": list(truncations),
    }
    first = {"schema_version": SCHEMA_VERSION, "bundle": bundle}
    everything = {**first, "mounts": [], **after.facts, **manifest, **first}
    return {key: plain(value) for key, value in everything.items()}


def dump(value: Any) -> bytes:
    """JSON as bundles have it: indented, ASCII, in the order given."""
    return _indented(plain(value), 0).encode("ascii") + b"\n"


@cache
def _encoder(depth: int) -> json.JSONEncoder:
    """An encoder of what holds no more than scalars, each in a line of its own."""
    return json.JSONEncoder(allow_nan=False, separators=(f",\n{_INDENT * depth}", ": "))


def _indented(value: Any, depth: int) -> str:
    """As ``json.dumps(value, indent=2)``, which is in Python throughout: evidence waits for it.

    What is innermost, and that is most of a manifest, is encoded in C.
    """
    if not value or type(value) not in _NESTED:
        return _encoder(depth).encode(value)
    inner, around = f"\n{_INDENT * (depth + 1)}", f"\n{_INDENT * depth}"
    items = value.values() if isinstance(value, dict) else value
    if _NESTED.isdisjoint(map(type, items)):
        flat = _encoder(depth + 1).encode(value)
        return f"{flat[0]}{inner}{flat[1:-1]}{around}{flat[-1]}"
    if isinstance(value, list):
        parts = [_indented(item, depth + 1) for item in value]
        return f"[{inner}{f',{inner}'.join(parts)}{around}]"
    named = [f"{_encoder(0).encode(k)}: {_indented(v, depth + 1)}" for k, v in value.items()]
    return f"{{{inner}{f',{inner}'.join(named)}{around}}}"


def _anomaly(trigger: Trigger, anomaly: Anomaly | None) -> dict[str, Any]:
    finding = trigger.finding
    observed = plain(finding) if finding else {"type": trigger.anomaly}
    observed.pop("anomaly", None)
    if finding:
        observed["phase"] = "end" if trigger.at_end else "start"
    return {
        "name": trigger.anomaly,
        **observed,
        "episode": trigger.episode,
        "configured": anomaly,
    }


def _events(rows: EventArray) -> dict[str, Any]:
    issued = rows["issued_ns"]
    stamps = issued[issued > 0]
    return {
        "file": "events.npy",
        "dtype": EVENT.descr,
        "count": len(rows),
        "first_ns": int(stamps.min()) if len(stamps) else 0,
        "last_ns": int(max(rows["released_ns"].max(initial=0), issued.max(initial=0))),
        "kinds": {kind.value: kind.name.lower() for kind in Kind},
        "outcomes": {outcome.value: outcome.name.lower() for outcome in Outcome},
        "flags": {flag.value: str(flag.name).lower() for flag in Flag},
    }
