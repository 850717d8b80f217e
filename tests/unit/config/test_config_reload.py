# SPDX-License-Identifier: MIT
"""What a running agent can take over, and what needs a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aodasync.config import Config, changes_needing_restart

Accept = Callable[[str], Config]


def test_anomalies_and_limits_need_no_restart(accept: Accept) -> None:
    """Nor does anything else that is looked up when it is used."""
    new = accept("""
        watch_interval_sec: 5
        watcher: {actions: [stats]}
        guardian: {anomalies: {latency: {acceptable_count: 3}, drift: {enabled: false}}}
        collector: {max_concurrent: 1, tcpdump_mb: 64}
        cleanup: {max_log_age_days: 1}
        audit: {enabled: false}
        """)
    assert changes_needing_restart(accept("{}"), new) == ()


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("{}", "aod_output_dir: /srv", ("aod_output_dir",)),
        ("{}", "recorder: {max_events: 2000}", ("recorder.max_events",)),
        ("{}", "recorder: {ring_bytes: 4096}", ("recorder.ring_bytes",)),
        (
            "watcher: {captures: [tcpdump, trace-cmd]}",
            "watcher: {captures: [trace-cmd, tcpdump]}\ncollector: {tcpdump_mb: 64}",
            ("collector.tcpdump_mb",),
        ),
        (
            "{}",
            "watcher: {captures: [trace-cmd]}\naod_output_dir: /srv",
            ("aod_output_dir", "watcher.captures"),
        ),
    ],
)
def test_what_is_set_up_once_needs_a_restart(
    accept: Accept, old: str, new: str, keys: tuple[str, ...]
) -> None:
    """Each by its key; the order of captures is nothing."""
    assert changes_needing_restart(accept(old), accept(new)) == keys
    assert changes_needing_restart(accept(new), accept(new)) == ()
