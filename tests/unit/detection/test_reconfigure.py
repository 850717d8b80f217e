# SPDX-License-Identifier: MIT
"""An engine goes on by another configuration, with what it has."""

from __future__ import annotations

from dataclasses import replace

from aodasync.detection.engine import Engine
from tests.builders import MS, config, hang_anomaly, latency_anomaly, request

SECOND = 1_000_000_000


def _slow(at_sec: int, latency_ms: int = 100) -> tuple[object, int]:
    at_ns = at_sec * SECOND
    return request(released_ns=at_ns, latency_ns=latency_ms * MS), at_ns


def test_an_open_episode_goes_on_and_another_threshold_holds() -> None:
    """No second start of what goes on; what fires is decided by the new limits."""
    old = config(latency_anomaly(acceptable_count=1))
    engine = Engine(old, lambda _: "nas")
    (started,) = engine.process(*_slow(100))  # type: ignore[arg-type]
    higher = replace(old, watch_interval_sec=0.5)
    engine.reconfigure(higher)
    assert engine.process(*_slow(101)) == []  # type: ignore[arg-type]
    assert engine.episodes.open_count == 1
    assert engine.tick(103 * SECOND - SECOND // 2) == []
    (ended,) = engine.tick(104 * SECOND)
    assert ended.episode == started.episode
    assert ended.finding.count == 2


def test_an_anomaly_that_is_gone_ends_quietly() -> None:
    """Its open episode ends after its quiet intervals; a new anomaly is watched for at once."""
    engine = Engine(config(latency_anomaly(acceptable_count=1)), lambda _: "nas")
    engine.process(*_slow(100))  # type: ignore[arg-type]
    engine.reconfigure(config(hang_anomaly()))
    assert list(engine.detectors()) == ["hang"]
    assert engine.process(*_slow(101)) == []  # type: ignore[arg-type]
    assert [ended.finding.anomaly for ended in engine.tick(110 * SECOND)] == ["latency"]


def test_detectors_stay_when_only_limits_of_bundles_change() -> None:
    """What they counted in this window is kept."""
    old = config(latency_anomaly(acceptable_count=2))
    engine = Engine(old, lambda _: "nas")
    assert engine.process(*_slow(100)) == []  # type: ignore[arg-type]
    engine.reconfigure(replace(old, collector=replace(old.collector, max_bundles_per_hour=1)))
    assert len(engine.process(*_slow(100))) == 1  # type: ignore[arg-type]
