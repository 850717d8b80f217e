# SPDX-License-Identifier: MIT
"""The metrics are what Prometheus' own parser reads, with cumulative buckets and rules kept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aodasync.live.counters import BOUNDS_SEC
from aodasync.live.prometheus import exposition

CONTRIB = Path(__file__).parents[3] / "contrib"
FACTS: dict[str, Any] = {
    "durations": [
        {
            "server": 'n"as\\1\n',
            "command": "SMB2_READ",
            "buckets": [1] * (len(BOUNDS_SEC) + 1),
            "sum_sec": 12.5,
        }
    ],
    "errors": [{"server": "nas", "status": "STATUS_ACCESS_DENIED", "count": 3}],
    "in_flight": 2,
    "oldest_sec": 8.5,
    "mounts": [{"mount_point": "/mnt/a", "server": "nas", "usable": False}],
    "episodes_open": [{"anomaly": "hang", "server": "nas", "count": 1}],
    "episodes_total": [{"anomaly": "hang", "server": "nas", "count": 4}],
    "verdicts": [{"anomaly": "hang", "cause": "server", "count": 4}],
    "losses": {"ring_full": 7},
    "restarts": {"detector": 1},
    "hooks": {"ok": 3, "failed": 1, "dropped": 0},
    "blind": False,
    "attached": True,
    "memory_bytes": 30_000_000,
    "loop_lag_sec": 0.003,
    "recorded": 99,
    "bundles": 4,
    "bundles_failed": 0,
    "suppressed": 2,
    "cpu_sec": 1.25,
    "version": "0.1.0",
    "kernel": "6.12",
    "probe": "fentry",
}


def test_the_text_is_parsed_back_to_the_same_figures() -> None:
    """By the client library's own parser; hostile names are escaped."""
    families = {f.name: f for f in text_string_to_metric_families(exposition(FACTS).decode())}
    buckets = families["aodasync_smb_request_duration_seconds"].samples
    counted = [s.value for s in buckets if s.name.endswith("_bucket")]
    assert counted == sorted(counted)
    assert counted[-1] == len(BOUNDS_SEC) + 1
    assert {s.labels["server"] for s in buckets} == {'n"as\\1\n'}
    assert families["aodasync_mount_usable"].samples[0].value == 0
    assert families["aodasync_lost"].samples[0].labels == {"stage": "ring_full"}
    hooks = {s.labels["end"]: s.value for s in families["aodasync_hooks"].samples}
    assert hooks == {"ok": 3, "failed": 1, "dropped": 0}
    assert families["aodasync_build_info"].samples[0].value == 1


@pytest.mark.parametrize(
    "file", ["grafana/aodasync.json", "prometheus/aodasync.rules.yml"], ids=["dashboard", "alerts"]
)
def test_what_contrib_asks_for_exists(file: str) -> None:
    """Every metric and label of the dashboard and of the alerts is one that the agent has."""
    text = (CONTRIB / file).read_text()
    if file.endswith(".json"):
        panels = json.loads(text)["panels"]
        text = "\n".join(target["expr"] for panel in panels for target in panel["targets"])
        assert len({panel["title"] for panel in panels}) == len(panels)
    families = text_string_to_metric_families(exposition(FACTS).decode())
    samples = [sample for family in families for sample in family.samples]
    asked = set(re.findall(r"\baodasync_[a-z_]+\b", text))
    assert asked
    assert asked <= {sample.name for sample in samples}
    labels = {"instance"} | {label for sample in samples for label in sample.labels}
    by = {word for group in re.findall(r"by \(([^)]*)\)", text) for word in group.split(", ")}
    assert by <= labels


def test_names_follow_prometheus_rules() -> None:
    """Base units, _total for counters alone, and a help text for each."""
    text = exposition(FACTS).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert kinds.keys() == helps.keys()
    for name, kind in kinds.items():
        assert name.startswith("aodasync_")
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|ns|kb|mb|percent)(_|$)", name)


def test_names_that_no_text_may_hold_cost_no_metric() -> None:
    """A mount point that is no UTF-8, and what steers a terminal: as JSON has it, and different."""
    points = ["/mnt/\udcff", "/mnt/\udcfe", "/mnt/\x1b[2J\r\x00", "/mnt/\u202e"]
    mounts = [{"mount_point": point, "server": "nas", "usable": True} for point in points]
    text = exposition({**FACTS, "mounts": mounts}).decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    shown = [s.labels["mount_point"] for s in families["aodasync_mount_usable"].samples]
    assert shown == [
        "/mnt/\\udcff",
        "/mnt/\\udcfe",
        "/mnt/\\u001b[2J\\u000d\\u0000",
        "/mnt/\\u202e",
    ]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_no_two_names_are_one_series() -> None:
    """The same labels twice cost all that node_exporter has, not ours alone."""
    points = [
        "/mnt/\x1b",
        "/mnt/\\u001b",
        "/mnt/\\u005cu001b",
        "/mnt/\\\x1b",
        "/mnt/\\users",
        "\ud800",
    ]
    mounts = [{"mount_point": point, "server": "nas", "usable": True} for point in points]
    text = exposition({**FACTS, "mounts": mounts}).decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    shown = [s.labels["mount_point"] for s in families["aodasync_mount_usable"].samples]
    assert len(set(shown)) == len(points)
    assert "/mnt/\\users" in shown
