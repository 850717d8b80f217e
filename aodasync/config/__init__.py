# SPDX-License-Identifier: MIT
"""Configuration: the model, a loader that knows positions, JSON Schema.

Names are imported when they are used: the running agent needs the model alone, and
leaves YAML and the reader, 1.6 MB, to a child (see :mod:`aodasync.footprint`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

_MODULES: Final = {
    "BUILTIN_ACTIONS": "anomaly_settings",
    "DEFAULT_ACTIONS": "anomaly_settings",
    "Config": "model",
    "default_path": "locate",
    "find": "locate",
    "load": "loader",
    "loads": "loader",
    "schema": "json_schema",
    "to_json": "render",
    "to_yaml": "render",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
