# SPDX-License-Identifier: MIT
"""``aodasync check-config`` and ``aodasync config-schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

from aodasync.config.json_schema import schema
from aodasync.config.loader import load
from aodasync.config.locate import find
from aodasync.config.render import to_json, to_yaml
from aodasync.errors import ConfigError, ExitCode

__all__ = ["check_config", "config_schema"]


def check_config(path: Path | None, *, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Print the effective configuration of ``path`` (None: the one that would be used).

    Problems go to ``err``, one a line, as ``FILE:LINE:COL: KEY: MESSAGE``; warnings
    likewise, after ``aodasync: warning:``. Returns the exit code.
    """
    try:
        config = load(find(path))
    except ConfigError as error:
        err.write(f"{error}\n")
        return error.exit_code
    err.writelines(f"aodasync: warning: {warning}\n" for warning in config.warnings)
    out.write(f"{json.dumps(to_json(config), indent=2)}\n" if as_json else to_yaml(config))
    return ExitCode.OK


def config_schema(out: TextIO) -> int:
    """Print the JSON Schema of the configuration. Returns the exit code."""
    out.write(f"{json.dumps(schema(), indent=2)}\n")
    return ExitCode.OK
