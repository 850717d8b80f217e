# SPDX-License-Identifier: MIT
"""What the agent knows at this moment, as plain values: for live views and for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from aodasync import __version__
from aodasync.bundle.json_tables import describe_operations
from aodasync.detection.batch_content import Content
from aodasync.detection.lost_shares import Tree
from aodasync.detection.usability import MountState
from aodasync.events import EventArray
from aodasync.evidence.model import Finding
from aodasync.evidence.recorder import FlightRecorder
from aodasync.live.counters import RequestCounters
from aodasync.live.frames import State
from aodasync.probes.live_source import LiveEvidence
from aodasync.tasks.blindness_check import BlindnessCheck
from aodasync.tasks.history_keeper import HistoryKeeper
from aodasync.tasks.mount_watch import MountWatch
from aodasync.tasks.pipeline import Pipeline

__all__ = ["LiveFacts", "describe_mount"]

_MAX_NAMED = 2000  # requests in flight, the oldest first: a header is bounded
_OF_MOUNT = tuple(each.name for each in fields(MountState))
_OF_FINDING = tuple(each.name for each in fields(Finding))


def describe_mount(state: MountState) -> dict[str, Any]:
    """A mount's state as plain values: as asdict, which takes ten times as long."""
    return {name: getattr(state, name) for name in _OF_MOUNT}


@dataclass(slots=True)
class _Shares:
    """Shares as a state lists them: thousands, which hardly ever change."""

    known: Mapping[Tree, str] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)

    def list(self, known: Mapping[Tree, str]) -> list[dict[str, Any]]:
        if known != self.known:
            self.known = known
            self.listed = [
                {"session_id": f"0x{session:x}", "tree_id": tree, "share": share}
                for (session, tree), share in known.items()
            ]
        return self.listed


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """The parts of the agent that are asked."""

    evidence: LiveEvidence
    recorder: FlightRecorder
    pipeline: Pipeline
    mounts: MountWatch
    blindness: BlindnessCheck
    history: HistoryKeeper
    counters: RequestCounters
    shares: _Shares = field(default_factory=_Shares)

    def observe(self, rows: EventArray, content: Content) -> None:
        """Take a batch in, for what is counted and for what mounts are judged by."""
        self.mounts.observe(rows, content)
        self.counters.add(rows, content)

    def state(self) -> tuple[State, EventArray]:
        """What a live view needs besides rows, and the requests in flight."""
        evidence, engine = self.evidence, self.pipeline.detector.engine
        now = evidence.snapshot(
            "in_flight", "operations", "connections", "credits", "shares", "losses", "files"
        )
        now_ns = now.clocks.monotonic_ns
        sampler = self.pipeline.sampler
        state = {
            "now_ns": now_ns,
            "probe": evidence.probe.plan.name if evidence.probe else None,
            "blind": self.blindness.blind,
            "connections": [
                asdict(c) | {"credits": now.credits.get(c.connection_id)}
                for c in now.connections.values()
            ],
            "shares": self.shares.list(now.shares),
            "sockets": [
                {k: getattr(s, k) for k in ("address", "port", "rtt_ms", "retransmits")}
                for s in (sampler.latest() if sampler else ())
            ],
            "usual": engine.usual(),
            "episodes": [_described(finding) for finding in engine.episodes.open_findings()],
            "mounts": [describe_mount(state) for state in self.mounts.states],
            "operations": describe_operations(now.operations, now_ns),
            "losses": dict(now.losses),
            "files": [file.name for file in now.files.of(now.in_flight[:_MAX_NAMED])],
        }
        return state, now.in_flight

    def file_names(self, rows: EventArray) -> list[str]:
        """The file of each request that ended just now; "" where it is unknown."""
        files = self.evidence.snapshot("files").files
        return [file.name for file in files.of(rows, recent=True)]

    def open_episodes(self, now_ns: int) -> list[dict[str, Any]]:
        """The open episodes: since when (``for_ms``), how many requests, the worst of them."""
        return [
            {
                "anomaly": finding.anomaly,
                "server": finding.server,
                "for_ms": round((now_ns - finding.first_ns) / 1e6, 1),
                "count": finding.count,
                "max_latency_ms": round(finding.max_latency_ms, 3),
                "emergency": finding.emergency,
            }
            for finding in self.pipeline.detector.engine.episodes.open_findings()
        ]

    def metrics(self, health: Mapping[str, Any]) -> dict[str, Any]:
        """What metrics are made of; ``health`` is the agent's own (see :class:`Health`)."""
        evidence, pipeline = self.evidence, self.pipeline
        plan = evidence.probe.plan if evidence.probe else None
        now = evidence.snapshot("in_flight")
        in_flight = now.in_flight
        waiting = in_flight[(in_flight["received_ns"] == 0) & (in_flight["issued_ns"] != 0)]
        oldest_ns = now.clocks.monotonic_ns - int(waiting["issued_ns"].min(initial=2**63 - 1))
        totals = self.counters.totals()
        collector = pipeline.collector.metrics
        opened: dict[tuple[str, str], int] = {}
        for finding in pipeline.detector.engine.episodes.open_findings():
            key = finding.anomaly, finding.server
            opened[key] = opened.get(key, 0) + 1
        return {
            "durations": [
                {**asdict(entry), "buckets": entry.buckets.tolist()} for entry in totals.durations
            ],
            "errors": _rows(totals.errors, "server", "status"),
            "in_flight": len(in_flight),
            "oldest_sec": round(max(0, oldest_ns) / 1e9, 3),
            "mounts": [describe_mount(state) for state in self.mounts.states],
            "episodes_open": _rows(opened, "anomaly", "server"),
            "episodes_total": _rows(self.history.began_total, "anomaly", "server"),
            "verdicts": _rows(self.history.verdicts_total, "anomaly", "cause"),
            "losses": dict(health.get("losses", {})),
            "restarts": dict(health.get("restarts", {})),
            "hooks": dict(health.get("hooks", {})),
            "blind": self.blindness.blind,
            "attached": plan is not None,
            "memory_bytes": health.get("private_dirty_bytes", health["rss_bytes"]),
            "loop_lag_sec": health["loop_lag_max_ms"] / 1e3,
            "recorded": self.recorder.appended,
            "bundles": collector.bundles_written,
            "bundles_failed": collector.bundles_failed,
            "suppressed": pipeline.detector.engine.episodes.suppressed,
            "cpu_sec": health["cpu_sec"],
            "version": __version__,
            "kernel": plan.kernel if plan else None,
            "probe": plan.name if plan else None,
        }


def _described(finding: Finding) -> dict[str, Any]:
    """As ``asdict``, which copies all that is below: with a hundred open episodes, in 2 ms."""
    values = {name: getattr(finding, name) for name in _OF_FINDING}
    return {**values, "stalls": [asdict(stall) for stall in finding.stalls]}


def _rows(counts: Mapping[tuple[str, str], int], first: str, second: str) -> list[dict[str, Any]]:
    return [{first: a, second: b, "count": count} for (a, b), count in sorted(counts.items())]
