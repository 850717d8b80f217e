# SPDX-License-Identifier: MIT
"""Reads a configuration: the file, its document, the settings, the rules that span them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

from aodasync.config.actions import report_unused, runnable, user_actions
from aodasync.config.anomalies import AnomalyReader
from aodasync.config.anomaly_settings import DEFAULT_ACTIONS
from aodasync.config.compose import parse, refuse
from aodasync.config.document import WHOLE_FILE
from aodasync.config.findings import Findings
from aodasync.config.model import Audit, Cleanup, Collector, Config, Recorder
from aodasync.config.settings import TOP
from aodasync.errors import ConfigError, ConfigProblem

__all__ = ["load", "loads"]

_MAX_BYTES: Final = 1 << 20


def load(path: Path) -> Config:
    """The configuration in the file ``path``.

    Raises:
        ConfigError: it cannot be read, or it is wrong; all of its problems are told.
    """
    findings = Findings()
    return _interpret(_decode(_content(path, findings), str(path)), str(path), path, findings)


def loads(text: str, file: str) -> Config:
    """The configuration in ``text``, which came from ``file``.

    Raises:
        ConfigError: it is wrong; all of its problems are told.
    """
    return _interpret(text, file, None, Findings())


def _content(path: Path, findings: Findings) -> bytes:
    file = str(path)
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(_MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        hint = "give the path of a file that you may read, or none for the default"
        refuse(file, 1, 1, f"cannot be read: {error.strerror}", hint=hint)
    if not stat.S_ISREG(mode):
        refuse(file, 1, 1, "cannot be read: not a regular file", hint="give the path of a file")
    if len(content) > _MAX_BYTES:
        refuse(file, 1, 1, "found more than 1 MiB; a configuration has a few kilobytes")
    if mode & stat.S_IWOTH:
        message = "anybody can write this file, and it can name commands to be run; chmod o-w"
        findings.warnings.append(ConfigProblem(1, 1, WHOLE_FILE, message))
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    """A FIFO must not hold up the start."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        refuse(file, line, column, f"found the byte 0x{content[error.start]:02x}; UTF-8 is right")


def _interpret(text: str, file: str, source: Path | None, findings: Findings) -> Config:
    values: dict[str, Any] = TOP.read(parse(text, file, findings), "", findings) or TOP.defaults()
    collector = Collector(**values["collector"])
    defined = user_actions(values["actions"], collector.action_timeout_sec, findings)
    names = values["actions"].keys()
    listed = values["watcher"]["actions"]
    watcher = DEFAULT_ACTIONS if listed is None else runnable(listed, names, findings)
    reader = AnomalyReader(names, watcher, findings)
    anomalies = reader.read(values["guardian"]["anomalies"])
    used = set(watcher).union(*(anomaly.actions for anomaly in anomalies))
    report_unused(values["actions"], used, findings)
    if findings.errors:
        raise ConfigError(file, findings.errors)
    return Config(
        source=source,
        watch_interval_sec=values["watch_interval_sec"],
        output_dir=Path(values["aod_output_dir"]),
        watcher_actions=watcher,
        anomalies=anomalies,
        collector=collector,
        recorder=Recorder(**values["recorder"]),
        cleanup=Cleanup(**values["cleanup"]),
        audit=Audit(**values["audit"]),
        user_actions=defined,
        captures=tuple(dict.fromkeys(values["watcher"]["captures"])),
        warnings=tuple(problem.at(file) for problem in sorted(findings.warnings)),
    )
