# SPDX-License-Identifier: MIT
"""Reads a configuration: the file, its document, the settings, the rules that span them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Final

from aodasync.config.actions import DEFAULT_ACTIONS, report_unused, runnable, user_actions
from aodasync.config.aodv2 import Reader
from aodasync.config.aodv2.captures import limits
from aodasync.config.compose import parse
from aodasync.config.document import WHOLE_FILE, Fields, Node, line_of, overlay, places
from aodasync.config.files import default_path, drop_ins, find, read, warn_of_misnamed
from aodasync.config.guardian import AnomalyReader
from aodasync.config.kinds import Number
from aodasync.config.model import Audit, Cleanup, Collector, Config, Control, Metrics, Recorder
from aodasync.config.problems import Problems
from aodasync.config.settings import COLLECTOR, top
from aodasync.errors import ConfigError

__all__ = ["load", "load_output_dir", "loads"]

_OF_OUTPUT_DIR: Final = ("", WHOLE_FILE, "aod_output_dir")
"""Keys of problems without which it is known."""


def load(path: Path | None = None) -> Config:
    """The configuration in the file ``path`` alone.

    Without it: in the administrator's file, else the packaged one, with the settings of
    the drop-ins laid over it.

    Raises:
        NotPermittedError: the caller may not read it.
        ConfigError: it cannot be read, or it is wrong; holds all of its problems.
    """
    problems = Problems()
    source = find(path)
    root, overlaid = _overlaid(source, path, problems)
    config = _interpret(root, source, problems)
    if not overlaid:
        return config
    origins = {key: f"{place.file}:{place.line}" for key, place in places(root)}
    return replace(config, origins=origins)


def load_output_dir(path: Path | None = None) -> Path:
    """``aod_output_dir`` of what :func:`load` reads, whatever else is wrong in it.

    Raises:
        NotPermittedError: the caller may not read it.
        ConfigError: it cannot be read, or this setting is wrong.
    """
    problems = Problems()
    source = find(path)
    root, _ = _overlaid(source, path, problems)
    whole = top()
    values = whole.read(root, "", problems) or whole.defaults()
    if wrong := [p for p in problems.errors if p.key in _OF_OUTPUT_DIR]:
        raise ConfigError(wrong[0].file, wrong)
    return Path(values["aod_output_dir"])


def _overlaid(source: Path, path: Path | None, problems: Problems) -> tuple[Node, bool]:
    """The document of ``source``, and whether others were laid over it, as for no ``path``."""
    over = drop_ins(problems) if path is None else ()
    if path is None and source == default_path():
        warn_of_misnamed(problems)
    documents: list[Node] = []
    refusals: list[ConfigError] = []
    for file in (source, *over):
        try:
            text = read(file, problems)
            documents.append(parse(text, str(file), problems, or_nothing=file != source))
        except ConfigError as error:
            refusals.append(error)
    if refusals:
        found = sorted([*problems.errors, *(p for error in refusals for p in error.problems)])
        hint, warnings = refusals[0].hint, problems.warnings
        raise ConfigError(found[0].file, found, hint=hint, warnings=warnings)
    return reduce(overlay, documents), bool(over)


def loads(text: str, file: str) -> Config:
    """The configuration in ``text``, which came from ``file``.

    Raises:
        ConfigError: it is wrong; holds all of its problems.
    """
    problems = Problems()
    return _interpret(parse(text, file, problems), None, problems)


def _interpret(root: Node, source: Path | None, problems: Problems) -> Config:
    root = _one_format(root, problems)
    whole = top()
    values = whole.read(root, "", problems) or whole.defaults()
    names = values["actions"].keys()
    listed = values["watcher"]["actions"]
    watcher = DEFAULT_ACTIONS if listed is None else runnable(listed, names, problems)
    guardian, newer = AnomalyReader(names, watcher, problems), Reader(names, problems)
    if values["anomalies"] is None:
        anomalies = guardian.read(values["guardian"]["anomalies"])
    else:
        anomalies = newer.read(values["anomalies"])
        anomalies += guardian.unnamed(newer.types)
    collector = Collector(**values["collector"] | _limits(newer, root, problems))
    defined = user_actions(values["actions"], collector.action_timeout_sec, problems)
    if problems.errors:
        errors, warnings = problems.errors, problems.warnings
        raise ConfigError(errors[0].file, errors, warnings=warnings)
    used = set(watcher).union(*(anomaly.actions for anomaly in anomalies))
    report_unused(values["actions"], used, problems)
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
        metrics=Metrics(**values["metrics"]),
        control=Control(**values["control"]),
        on_bundle=values["on_bundle"],
        on_episode=values["on_episode"],
        user_actions=defined,
        captures=tuple(dict.fromkeys((*values["watcher"]["captures"], *newer.captures))),
        unwatched=newer.unwatched,
        warnings=tuple(problems.warnings),
    )


def _one_format(root: Node, problems: Problems) -> Node:
    """``root`` without what AODv2's newer format does not look at."""
    if not isinstance(root, Fields) or "anomalies" not in root.entries:
        return root
    kept = dict(root.entries)
    if "guardian" in kept:
        guardian, anomalies = kept.pop("guardian"), kept["anomalies"]
        message = (
            f"expected one of guardian and anomalies, found both ({line_of(anomalies, guardian)})"
        )
        problems.error(guardian, "guardian", message)
    if "audit" in kept:
        problems.warn(kept.pop("audit"), "audit", "ignored: the format with anomalies has no audit")
    return replace(root, entries=kept)


def _limits(newer: Reader, root: Node, problems: Problems) -> dict[str, int]:
    """What the arguments of captures say of limits that ``collector`` leaves open."""
    kinds = {s.key: s.kind for s in COLLECTOR.settings if isinstance(s.kind, Number)}
    entry = root.entries.get("collector") if isinstance(root, Fields) else None
    given = entry.value.entries if entry and isinstance(entry.value, Fields) else {}
    found: dict[str, int] = {}
    for capture in newer.captures.values():
        found |= limits(capture, kinds, problems)
        capture.report_ignored(problems)
    return {key: value for key, value in found.items() if key not in given}
