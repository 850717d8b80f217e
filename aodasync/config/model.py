# SPDX-License-Identifier: MIT
"""The effective configuration: validated, defaults filled in, nothing left to interpret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

__all__ = [
    "CAPTURES",
    "Anomaly",
    "Audit",
    "Cleanup",
    "Collector",
    "Config",
    "ConnectionAnomaly",
    "DriftAnomaly",
    "ErrorAnomaly",
    "HangAnomaly",
    "LatencyAnomaly",
    "Recorder",
    "UserAction",
]

CAPTURES: Final = ("tcpdump", "trace-cmd")
"""Recorders outside the agent that can run all the time."""


@dataclass(frozen=True, slots=True)
class LatencyAnomaly:
    """Requests slower than their command's threshold.

    ``thresholds_ms`` holds the tracked commands alone, in command order, after
    ``mode`` was applied; ``named_commands`` those that the file itself names in
    ``track_commands`` (only these count when they may wait for ever).
    """

    name: str
    thresholds_ms: Mapping[str, float]
    named_commands: frozenset[str]
    acceptable_count: int
    emergency_threshold_ms: float
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "latency"


@dataclass(frozen=True, slots=True)
class ErrorAnomaly:
    """Responses that carry a tracked code.

    ``codes`` are errno names and ``statuses`` NTSTATUS names; a response counts
    when its NTSTATUS is in ``statuses``, or its errno in ``codes`` and its
    NTSTATUS not in ``excluded_statuses``. Expected noise counts only when its
    errno or NTSTATUS is in ``named_codes`` (those the file itself tracks).
    """

    name: str
    codes: tuple[str, ...]
    statuses: tuple[str, ...]
    excluded_statuses: frozenset[str]
    named_codes: frozenset[str]
    acceptable_count: int
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "error"


@dataclass(frozen=True, slots=True)
class HangAnomaly:
    """A request in flight for longer than ``age_ms``."""

    name: str
    age_ms: float
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "hang"


@dataclass(frozen=True, slots=True)
class ConnectionAnomaly:
    """Reconnects and other trouble of a connection; ``acceptable_count`` are enough to fire."""

    name: str
    acceptable_count: int
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "connection"


@dataclass(frozen=True, slots=True)
class DriftAnomaly:
    """A server that leaves the band it has been in."""

    name: str
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "drift"


Anomaly: TypeAlias = LatencyAnomaly | ErrorAnomaly | HangAnomaly | ConnectionAnomaly | DriftAnomaly


@dataclass(frozen=True, slots=True)
class Collector:
    """Limits of evidence collection."""

    max_concurrent: int = 4
    action_timeout_sec: float = 10.0
    max_action_bytes: int = 8 * 1024 * 1024
    look_back_sec: float = 300.0
    max_bundles_per_hour: int = 20
    tcpdump_mb: int = 16
    tcpdump_packet_bytes: int = 160


@dataclass(frozen=True, slots=True)
class Recorder:
    """The flight recorder; ``max_events`` rows are preallocated.

    ``ring_bytes`` is the size of the ring between kernel and agent, before it is
    rounded up to a power of two.
    """

    max_events: int = 50_000
    ring_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Retention of bundles."""

    cleanup_interval_sec: float = 60.0
    max_log_age_days: float = 2.0
    max_total_log_size_mb: float = 200.0
    min_free_mb: float = 100.0


@dataclass(frozen=True, slots=True)
class Audit:
    """AODv2's messages to syslog."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class UserAction:
    """A command of the user's own; ``command`` is an argument vector."""

    name: str
    command: tuple[str, ...]
    timeout_sec: float


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. ``anomalies`` holds the ones that are on, in file order, then the defaults.

    ``captures`` are names out of :data:`CAPTURES`.
    """

    source: Path | None
    watch_interval_sec: float
    output_dir: Path
    watcher_actions: tuple[str, ...]
    anomalies: tuple[Anomaly, ...]
    collector: Collector
    recorder: Recorder
    cleanup: Cleanup
    audit: Audit
    user_actions: tuple[UserAction, ...]
    warnings: tuple[str, ...]
    captures: tuple[str, ...] = ()
