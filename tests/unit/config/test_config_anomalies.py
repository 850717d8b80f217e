# SPDX-License-Identifier: MIT
"""Types, names and defaults of anomalies, and which of them are on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import DEFAULT_ACTIONS, Config
from aodasync.config.model import (
    ConnectionAnomaly,
    DriftAnomaly,
    ErrorAnomaly,
    HangAnomaly,
    LatencyAnomaly,
)

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]


def _latency(config: Config) -> LatencyAnomaly:
    (anomaly,) = (a for a in config.anomalies if isinstance(a, LatencyAnomaly))
    return anomaly


def _error(config: Config) -> ErrorAnomaly:
    (anomaly,) = (a for a in config.anomalies if isinstance(a, ErrorAnomaly))
    return anomaly


@pytest.mark.parametrize("spelling", ["Latency", "latency", "LATENCY", "' Latency '"])
def test_types_are_written_in_any_case(accept: Accept, spelling: str) -> None:
    """AODv2 lowers and strips them."""
    config = accept(f"guardian: {{anomalies: {{slow: {{type: {spelling}}}}}}}")
    assert (_latency(config).name, _latency(config).type) == ("slow", "latency")


def test_a_name_that_is_no_type_needs_one(refuse: Refuse) -> None:
    """The type is the key only where the key is a type."""
    assert refuse("guardian: {anomalies: {slow: {acceptable_count: 3}}}") == [
        (
            "f:1:30: guardian.anomalies.slow: "
            "the required key 'type' is missing; "
            "expected one of latency, error, hang, connection, drift"
        )
    ]


def test_several_anomalies_of_a_type_stand_side_by_side(accept: Accept) -> None:
    """Each under its own name, in file order, before the ones that are on by themselves."""
    config = accept("""
        guardian:
          anomalies:
            writes: {type: latency, mode: trackonly, track_commands: [{command: SMB2_WRITE}]}
            error:
            reads: {type: latency, mode: trackonly, track_commands: [{command: SMB2_READ}]}
        """)
    names = [anomaly.name for anomaly in config.anomalies]
    assert names == ["writes", "error", "reads", "hang", "connection", "drift"]


def test_hang_connection_and_drift_are_on_unnamed(accept: Accept) -> None:
    """Latency and error are on only when the file names them."""
    assert accept("{}").anomalies == (
        HangAnomaly("hang", 5000.0, DEFAULT_ACTIONS, 60.0),
        ConnectionAnomaly("connection", 1, DEFAULT_ACTIONS, 60.0),
        DriftAnomaly("drift", DEFAULT_ACTIONS, 60.0),
    )


def test_enabled_false_turns_any_anomaly_off(accept: Accept) -> None:
    """Also one that is on by itself."""
    config = accept("""
        guardian:
          anomalies:
            latency: {enabled: false}
            error: {enabled: false}
            hang: {enabled: false}
            connection: {enabled: false}
            trend: {type: drift, enabled: false}
        """)
    assert config.anomalies == ()


def test_what_is_off_is_checked_all_the_same(refuse: Refuse) -> None:
    """Turning it on again must not be a surprise."""
    assert len(refuse("guardian: {anomalies: {hang: {enabled: false, age_ms: -1}}}")) == 1


def test_a_named_hang_takes_the_place_of_the_unnamed_one(accept: Accept) -> None:
    """Whatever its name."""
    config = accept("guardian: {anomalies: {stuck: {type: Hang, age_ms: 250}}}")
    assert [(a.name, a.type) for a in config.anomalies] == [
        ("stuck", "hang"),
        ("connection", "connection"),
        ("drift", "drift"),
    ]


def test_the_name_of_one_type_is_not_taken_for_another(refuse: Refuse) -> None:
    """Two anomalies called hang cannot be told apart."""
    assert refuse("guardian: {anomalies: {hang: {type: Latency}}}") == [
        ("f:1:24: guardian.anomalies.hang: expected the type hang under this name, found latency")
    ]


def test_defaults_are_the_documented_ones(accept: Accept) -> None:
    """Of the file as a whole, and of an anomaly that is only named."""
    config = accept("guardian: {anomalies: {latency: , error: {}}}")
    latency, error = _latency(config), _error(config)
    assert config.watch_interval_sec == 1
    assert str(config.output_dir) == "/var/log/aod"
    cleanup = config.cleanup
    assert (cleanup.cleanup_interval_sec, cleanup.max_log_age_days) == (60, 2)
    assert cleanup.max_total_log_size_mb == 200
    assert config.audit.enabled
    assert set(latency.thresholds_ms.values()) == {10.0}
    assert (latency.acceptable_count, error.acceptable_count) == (10, 10)
    assert latency.emergency_threshold_ms == 1000
    assert latency.cooldown_sec == error.cooldown_sec == 60
    assert (config.collector.max_concurrent, config.collector.action_timeout_sec) == (4, 10)
    assert config.collector.max_action_bytes == 8 * 1024 * 1024
    assert (config.collector.look_back_sec, config.collector.max_bundles_per_hour) == (300, 20)
    assert config.recorder.max_events == 50_000


def test_a_count_of_0_is_taken_as_1(accept: Accept) -> None:
    """AODv2 takes it, meaning that no slow request is acceptable."""
    config = accept("guardian: {anomalies: {latency: {acceptable_count: 0}}}")
    assert _latency(config).acceptable_count == 1
    assert tuple(map(str, config.warnings)) == (
        (
            "f:1:52: guardian.anomalies.latency.acceptable_count: "
            "expected 1 or more, found 0: 1 is used"
        ),
    )


def test_a_setting_of_another_type_is_ignored_with_a_warning(accept: Accept) -> None:
    """AODv2 does not look at it either."""
    config = accept("guardian: {anomalies: {error: {emergency_threshold_ms: 5, tool: any}}}")
    assert tuple(map(str, config.warnings)) == (
        (
            "f:1:32: guardian.anomalies.error.emergency_threshold_ms: "
            "ignored: an anomaly of type error has no such setting"
        ),
    )
