# SPDX-License-Identifier: MIT
"""The effective configuration for people (YAML) and programs (JSON).

Anomalies have the keys that AODv2's loader gives them (``type``, ``acceptable_count``,
``actions``, ``thresholds_ms`` or ``codes``), and ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from typing import Any

import yaml

from aodasync.config.anomalies import Anomaly
from aodasync.config.kinds import plain
from aodasync.config.model import Config

__all__ = ["as_yaml", "to_json", "to_yaml"]


def to_json(config: Config) -> dict[str, Any]:
    """Lists, mappings and single values, all of which JSON knows."""
    effective = {
        "source": None if config.source is None else str(config.source),
        "watch_interval_sec": config.watch_interval_sec,
        "aod_output_dir": str(config.output_dir),
        "watcher": {"actions": config.watcher_actions, "captures": config.captures},
        "captures": config.captures,
        "anomalies": {anomaly.name: _anomaly(anomaly) for anomaly in config.anomalies},
        "unwatched": config.unwatched,
        "collector": asdict(config.collector),
        "recorder": asdict(config.recorder),
        "cleanup": asdict(config.cleanup),
        "audit": asdict(config.audit),
        "metrics": asdict(config.metrics),
        "control": asdict(config.control),
        "on_bundle": config.on_bundle,
        "on_episode": config.on_episode,
        "actions": {
            action.name: {"command": action.command, "timeout_sec": action.timeout_sec}
            for action in config.user_actions
        },
    }
    tidy: dict[str, Any] = _tidy(effective)
    return tidy


def to_yaml(config: Config) -> str:
    """As :func:`to_json`; lists stand on their key's line."""
    return as_yaml(to_json(config))


def as_yaml(shown: Mapping[str, Any]) -> str:
    """What :func:`to_json` gives, or a part of it."""
    return yaml.dump(dict(shown), Dumper=_Dumper, sort_keys=False, width=100)


def _anomaly(anomaly: Anomaly) -> dict[str, Any]:
    values = asdict(anomaly)
    del values["name"]
    if values.get("rules"):
        del values["acceptable_count"]  # each rule has its own
    return {"type": values.pop("type"), **values}


def _tidy(value: Any) -> Any:
    """Sets sorted, whole numbers without a fraction, nothing shared."""
    if isinstance(value, Mapping):
        return {key: _tidy(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_tidy(item) for item in value]
    return plain(value) if isinstance(value, float) else value


class _Dumper(yaml.SafeDumper):
    """Lists in one line, mappings in many."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        """As ``[dmesg, stats]``."""
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _Dumper.represent_list)
