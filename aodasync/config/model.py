# SPDX-License-Identifier: MIT
"""The effective configuration: validated, defaults filled in, nothing left to interpret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aodasync.actions import UserAction
from aodasync.config.anomalies import Anomaly
from aodasync.config.anomalies.connection import ConnectionAnomaly
from aodasync.config.anomalies.drift import DriftAnomaly
from aodasync.config.anomalies.error import ErrorAnomaly
from aodasync.config.anomalies.hang import HangAnomaly
from aodasync.config.anomalies.latency import LatencyAnomaly
from aodasync.errors import ConfigProblem

__all__ = [
    "Anomaly",
    "Audit",
    "Cleanup",
    "Collector",
    "Config",
    "ConnectionAnomaly",
    "Control",
    "DriftAnomaly",
    "ErrorAnomaly",
    "HangAnomaly",
    "LatencyAnomaly",
    "Metrics",
    "Recorder",
]


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
    rounded up to a power of two. ``file_names``: which file a request is about is noted.
    """

    max_events: int = 50_000
    ring_bytes: int = 8 * 1024 * 1024
    file_names: bool = True


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
class Metrics:
    """Metrics for Prometheus; without a ``textfile`` none are written."""

    textfile: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """Who besides root may look at the running agent: members of ``group``; "": nobody."""

    group: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. ``anomalies`` holds the ones that are on, in file order, then the defaults.

    ``captures`` are names out of :data:`~aodasync.captures.CAPTURES`. ``unwatched`` is what
    a file in AODv2's newer format has for other protocols: by protocol and type, in plain
    values.
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
    warnings: tuple[ConfigProblem, ...]
    captures: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=Metrics)
    control: Control = field(default_factory=Control)
    on_bundle: tuple[str, ...] = ()
    on_episode: tuple[str, ...] = ()
    unwatched: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
