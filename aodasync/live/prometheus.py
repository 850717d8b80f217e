# SPDX-License-Identifier: MIT
"""What the agent knows as Prometheus metrics, in the text format, by prometheus-client.

Names and units follow Prometheus' rules. Labels are bounded: server, command, status,
anomaly, cause, stage; never a process or a path, but for mount points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from aodasync.host.printable import escaped
from aodasync.live.counters import BOUNDS_SEC

__all__ = ["exposition"]


def exposition(facts: Mapping[str, Any]) -> bytes:
    """The metrics as text; ``facts`` are what the agent's ``metrics`` command answers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Facts(_escaped(facts)))
    return generate_latest(registry)


def _escaped(value: Any) -> Any:
    """A mount point need not be UTF-8, and one name must not cost all metrics."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value


class _Facts(Collector):
    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """All families."""
        facts = self._facts
        yield from _requests(facts)
        yield from _state(facts)
        yield from _agent(facts)


def _requests(facts: Mapping[str, Any]) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "aodasync_smb_request_duration_seconds",
        "Time from the allocation of a request's MID to its release.",
        labels=("server", "command"),
    )
    bounds = [*map(str, BOUNDS_SEC), "+Inf"]
    for entry in facts["durations"]:
        running, total = [], 0
        for bound, count in zip(bounds, entry["buckets"], strict=True):
            total += count
            running.append((bound, total))
        durations.add_metric((entry["server"], entry["command"]), running, entry["sum_sec"])
    yield durations
    errors = CounterMetricFamily(
        "aodasync_smb_responses_failed",
        "Responses with an NTSTATUS other than success, expected ones included.",
        labels=("server", "status"),
    )
    for entry in facts["errors"]:
        errors.add_metric((entry["server"], entry["status"]), entry["count"])
    yield errors


def _state(facts: Mapping[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "aodasync_smb_requests_in_flight", "Requests without an end.", facts["in_flight"]
    )
    yield GaugeMetricFamily(
        "aodasync_smb_request_oldest_seconds",
        "Age of the oldest request without a response; 0 without one.",
        facts["oldest_sec"],
    )
    usable = GaugeMetricFamily(
        "aodasync_mount_usable",
        "1 if requests to the mount's server are answered, 0 if not.",
        labels=("mount_point", "server"),
    )
    for mount in facts["mounts"]:
        usable.add_metric((mount["mount_point"], mount["server"]), float(mount["usable"]))
    yield usable
    opened = GaugeMetricFamily(
        "aodasync_episodes_open", "Episodes that go on.", labels=("anomaly", "server")
    )
    for entry in facts["episodes_open"]:
        opened.add_metric((entry["anomaly"], entry["server"]), entry["count"])
    yield opened
    total = CounterMetricFamily(
        "aodasync_episodes", "Episodes that began.", labels=("anomaly", "server")
    )
    for entry in facts["episodes_total"]:
        total.add_metric((entry["anomaly"], entry["server"]), entry["count"])
    yield total
    causes = CounterMetricFamily(
        "aodasync_verdicts", "Bundles by the cause of their verdict.", labels=("anomaly", "cause")
    )
    for entry in facts["verdicts"]:
        causes.add_metric((entry["anomaly"], entry["cause"]), entry["count"])
    yield causes


def _agent(facts: Mapping[str, Any]) -> Iterator[Metric]:
    lost = CounterMetricFamily(
        "aodasync_lost", "What could not be recorded or reported, by stage.", labels=("stage",)
    )
    for stage, count in facts["losses"].items():
        lost.add_metric((stage,), count)
    yield lost
    restarts = CounterMetricFamily(
        "aodasync_task_restarts", "Tasks that died and were restarted.", labels=("task",)
    )
    for task, count in facts["restarts"].items():
        restarts.add_metric((task,), count)
    yield restarts
    hooks = CounterMetricFamily(
        "aodasync_hooks",
        "Runs of on_bundle and on_episode: ok, failed, dropped.",
        labels=("end",),
    )
    for end, count in facts["hooks"].items():
        hooks.add_metric((end,), count)
    yield hooks
    gauges = {
        "aodasync_blind": ("1 if the client counts more requests than are recorded.", "blind"),
        "aodasync_attached": ("1 if the probe is attached.", "attached"),
        "aodasync_memory_private_dirty_bytes": ("Private memory of the agent.", "memory_bytes"),
        "aodasync_loop_lag_seconds": ("Worst lateness of the event loop.", "loop_lag_sec"),
    }
    for name, (text, key) in gauges.items():
        yield GaugeMetricFamily(name, text, float(facts[key]))
    counters = {
        "aodasync_events_recorded": ("Requests and trouble events recorded.", "recorded"),
        "aodasync_bundles_written": ("Bundles written.", "bundles"),
        "aodasync_bundles_failed": ("Bundles that could not be written.", "bundles_failed"),
        "aodasync_bundles_suppressed": ("Bundles held back: cool-down, budget.", "suppressed"),
        "aodasync_cpu_seconds": ("CPU time of the agent.", "cpu_sec"),
    }
    for name, (text, key) in counters.items():
        yield CounterMetricFamily(name, text, float(facts[key]))
    build = GaugeMetricFamily(
        "aodasync_build_info", "Version, kernel and probe.", labels=("version", "kernel", "probe")
    )
    build.add_metric((facts["version"], facts["kernel"] or "", facts["probe"] or ""), 1)
    yield build
