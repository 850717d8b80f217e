# SPDX-License-Identifier: MIT
"""Configuration: the model, a loader that knows positions, JSON Schema."""

from __future__ import annotations

from aodasync.config.anomaly_settings import BUILTIN_ACTIONS, DEFAULT_ACTIONS
from aodasync.config.json_schema import schema
from aodasync.config.loader import load, loads
from aodasync.config.locate import default_path, find
from aodasync.config.model import Config
from aodasync.config.render import to_json, to_yaml

__all__ = [
    "BUILTIN_ACTIONS",
    "DEFAULT_ACTIONS",
    "Config",
    "default_path",
    "find",
    "load",
    "loads",
    "schema",
    "to_json",
    "to_yaml",
]
