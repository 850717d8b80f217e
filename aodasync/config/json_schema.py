# SPDX-License-Identifier: MIT
"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

from typing import Any

from aodasync.config.anomaly_settings import ACTION, CODE, COMMAND
from aodasync.config.settings import TOP

__all__ = ["schema"]


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of the file after YAML anchors and merges are resolved.

    It knows keys, types, bounds and names. What spans several settings (a code that is
    both tracked and excluded) only ``check-config`` knows.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "aodasync configuration",
        **TOP.schema(),
        "type": "object",
        "$defs": {name.label: name.definition() for name in (ACTION, CODE, COMMAND)},
    }
