# SPDX-License-Identifier: MIT
"""``aodasync check-config`` and ``aodasync config-schema``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from aodasync.config import Config, as_yaml, load, loads, schema, to_json
from aodasync.config.document import WHOLE_FILE
from aodasync.errors import ConfigError, ConfigProblem, ExitCode, NotPermittedError

__all__ = ["check_config", "config_schema"]

_WATCHED: Final = "thresholds_ms"
"""What has a key for each command that is watched."""


def check_config(
    path: Path | None,
    *,
    as_json: bool,
    out: TextIO,
    err: TextIO,
    strict: bool = False,
    changed: bool = False,
) -> int:
    """Print the effective configuration of ``path`` (None: the one that would be used).

    Problems go to ``err``, one a line, as ``FILE:LINE:COL: KEY: MESSAGE``; warnings
    likewise, after ``aodasync: warning:``; ``strict`` makes these problems, too. JSON has
    both, with ``file``, ``line``, ``column``, ``key`` and ``message``. Where several files
    were read, it says from which line of which file each setting is. With ``changed`` what
    is as without any configuration is left out. Returns the exit code.
    """
    try:
        config = _load(path, strict=strict)
    except ConfigError as error:
        err.write(f"{error}\n")
        if as_json:
            _print_problems(error.problems, out)
        return error.exit_code
    except NotPermittedError as error:
        if as_json:
            message = "cannot be read: permission denied"
            _print_problems([ConfigProblem(error.file, 1, 1, WHOLE_FILE, message)], out)
        raise
    err.writelines(f"aodasync: warning: {warning}\n" for warning in config.warnings)
    shown = _changed(config) if changed else to_json(config)
    if as_json:
        warnings = [asdict(warning) for warning in config.warnings]
        found = {"warnings": warnings, "origins": config.origins}
        _print_json({"ok": True, **shown, **found}, out)
    else:
        out.write(as_yaml(shown))
        out.writelines(f"# {key}: {origin}\n" for key, origin in config.origins.items())
    return ExitCode.OK


def _changed(config: Config) -> dict[str, Any]:
    """What differs from the defaults; of an anomaly, from those of one without settings."""
    text = "guardian: {anomalies: {latency: {}, error: {}}}"
    default, own = to_json(loads(text, "")), to_json(config)
    anomalies = default["anomalies"]
    for name in anomalies.keys() - own["anomalies"].keys():
        if name in ("latency", "error"):  # off unless named
            del anomalies[name]
        else:
            own["anomalies"][name] = {"enabled": False}
    return {"source": own.pop("source"), **_differing(own, default)}


def _differing(own: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in own.items():
        usual = default.get(key)
        if key == _WATCHED and usual is not None and usual.keys() - value.keys():
            found[key] = value  # a part of it would not say which commands are left out
        elif isinstance(value, Mapping) and isinstance(usual, Mapping):
            if below := _differing(value, usual):
                found[key] = below
        elif value != usual:
            found[key] = value
    return found


def _load(path: Path | None, *, strict: bool) -> Config:
    try:
        config = load(path)
    except ConfigError as error:
        if not strict:
            raise
        problems = sorted((*error.problems, *error.warnings))
        raise ConfigError(problems[0].file, problems, hint=error.hint) from error
    if strict and config.warnings:
        raise ConfigError(config.warnings[0].file, config.warnings)
    return config


def _print_problems(problems: Iterable[ConfigProblem], out: TextIO) -> None:
    shown = [asdict(problem) for problem in problems]
    _print_json({"ok": False, "problems": shown}, out)


def _print_json(value: object, out: TextIO) -> None:
    out.write(f"{json.dumps(value, indent=2)}\n")


def config_schema(out: TextIO) -> int:
    """Print the JSON Schema of the configuration. Returns the exit code."""
    _print_json(schema(), out)
    return ExitCode.OK
