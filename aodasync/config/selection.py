# SPDX-License-Identifier: MIT
"""What the modes ``all``, ``trackonly`` and ``excludeonly`` make of the two lists.

The list that a mode does not use is ignored with a warning, as AODv2 does: nothing in
it is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aodasync.config.anomaly_settings import MODE
from aodasync.config.codes import COMMAND_NAMES, ERRNO_NAMES
from aodasync.config.document import Fields, Items, Scalar, key_path
from aodasync.config.findings import Findings
from aodasync.config.names import Name

__all__ = ["Codes", "Commands", "select_codes", "select_commands", "without_unused_list"]

_UNUSED: Final = {"trackonly": "exclude_", "excludeonly": "track_"}


@dataclass(frozen=True, slots=True)
class Commands:
    """Thresholds of the tracked commands in command order, and the commands the file names."""

    thresholds_ms: Mapping[str, float]
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class Codes:
    """Tracked errnos and NTSTATUS, both sorted, and what the file itself tracks or excludes."""

    errnos: tuple[str, ...]
    statuses: tuple[str, ...]
    excluded_statuses: frozenset[str]
    named: frozenset[str]


def without_unused_list(fields: Fields, key: str, findings: Findings) -> Fields:
    """``fields`` of an anomaly without the list that its mode does not use."""
    entry = fields.entries.get(MODE.key)
    mode = entry.value.value if entry and isinstance(entry.value, Scalar) else None
    prefix = _UNUSED.get(mode) if isinstance(mode, str) else None
    kept = {}
    for name, given in fields.entries.items():
        if prefix and name.startswith(prefix) and isinstance(given.value, Items):
            if given.value.items:
                findings.warn(given, key_path(key, name), f"ignored in mode {mode}")
        else:
            kept[name] = given
    return Fields(fields.line, fields.column, kept)


def select_commands(values: Mapping[str, Any], findings: Findings) -> Commands:
    """The commands of a latency anomaly with the settings ``values``."""
    default_ms = values["default_threshold_ms"]
    rows = [row for row in values["track_commands"] if row["command"] is not None]
    tracked = _distinct((row["command"] for row in rows), findings, "the last one counts")
    excluded = _distinct(values["exclude_commands"], findings)
    _report_overlap(tracked, excluded, findings)
    own_ms = {row["command"].text: row["threshold"] for row in rows}
    chosen = _choose(values["mode"], COMMAND_NAMES, tracked, excluded)
    thresholds_ms = {
        name: default_ms if own_ms.get(name) is None else own_ms[name] for name in chosen
    }
    return Commands(thresholds_ms, frozenset(tracked))


def select_codes(values: Mapping[str, Any], findings: Findings) -> Codes:
    """The codes of an error anomaly with the settings ``values``."""
    tracked = _distinct(values["track_codes"], findings)
    excluded = _distinct(values["exclude_codes"], findings)
    _report_overlap(tracked, excluded, findings)
    return Codes(
        errnos=_choose(values["mode"], ERRNO_NAMES, tracked, excluded),
        statuses=tuple(sorted(tracked.keys() - set(ERRNO_NAMES))),
        excluded_statuses=frozenset(excluded.keys() - set(ERRNO_NAMES)),
        named=frozenset(tracked),
    )


def _choose(
    mode: str, universe: Iterable[str], tracked: Collection[str], excluded: Collection[str]
) -> tuple[str, ...]:
    if mode == "trackonly":
        return tuple(name for name in universe if name in tracked)
    return tuple(name for name in universe if name not in excluded)


def _distinct(
    names: Iterable[Name], findings: Findings, remark: str = "once is enough"
) -> dict[str, Name]:
    """The names by their text; AODv2, too, only warns of one that is there twice."""
    distinct: dict[str, Name] = {}
    for name in names:
        first = distinct.setdefault(name.text, name)
        if first is not name:
            message = f"found '{name.text}' again, after line {first.line}; {remark}"
            findings.warn(name, name.key, message)
    return distinct


def _report_overlap(
    tracked: Mapping[str, Name], excluded: Mapping[str, Name], findings: Findings
) -> None:
    for text in excluded.keys() & tracked.keys():
        name, line = excluded[text], tracked[text].line
        message = f"found '{text}', which line {line} tracks; one of the two is right"
        findings.error(name, name.key, message)
