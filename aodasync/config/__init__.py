# SPDX-License-Identifier: MIT
"""Configuration: the model, a loader that knows positions, JSON Schema."""

from __future__ import annotations

from aodasync.config.actions import DEFAULT_ACTIONS
from aodasync.config.files import default_path, find
from aodasync.config.load import load, load_output_dir, loads
from aodasync.config.model import Config
from aodasync.config.reload import changes_needing_restart
from aodasync.config.render import as_yaml, to_json, to_yaml
from aodasync.config.settings import schema

__all__ = [
    "DEFAULT_ACTIONS",
    "Config",
    "as_yaml",
    "changes_needing_restart",
    "default_path",
    "find",
    "load",
    "load_output_dir",
    "loads",
    "schema",
    "to_json",
    "to_yaml",
]
