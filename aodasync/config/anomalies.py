# SPDX-License-Identifier: MIT
"""The rules of ``guardian.anomalies``: types, and what is on without being named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from aodasync.config.actions import runnable
from aodasync.config.anomaly_settings import ANOMALIES, ANOMALY, ANOMALY_TYPE
from aodasync.config.document import Entry, Fields, is_nothing, key_path
from aodasync.config.findings import Findings
from aodasync.config.kinds import refuse
from aodasync.config.model import (
    Anomaly,
    ConnectionAnomaly,
    DriftAnomaly,
    ErrorAnomaly,
    HangAnomaly,
    LatencyAnomaly,
)
from aodasync.config.selection import select_codes, select_commands, without_unused_list

__all__ = ["AnomalyReader"]

_ALWAYS_ON: Final = ("hang", "connection", "drift")
_PATH: Final = "guardian.anomalies"


@dataclass(frozen=True, slots=True)
class AnomalyReader:
    """Reads anomalies; those without actions run ``watcher_actions``.

    ``user_actions`` are the names of actions that the file defines.
    """

    user_actions: AbstractSet[str]
    watcher_actions: tuple[str, ...]
    findings: Findings

    def read(self, entries: Mapping[str, Entry]) -> tuple[Anomaly, ...]:
        """The anomalies that are on: those of the file in its order, then the unnamed ones."""
        anomalies: list[Anomaly] = []
        types: set[str] = set()
        for name, entry in entries.items():
            key = key_path(_PATH, name)
            fields = self._fields(entry, key)
            kind = self._type(name, fields, key)
            if kind is None:
                ANOMALY.read(fields, key, self.findings)
                continue
            types.add(kind)
            if name in _ALWAYS_ON and name != kind:
                message = f"found an anomaly of type {kind}; for that, another name is right"
                self.findings.error(entry, key, message)
            errors_before = len(self.findings.errors)
            values = self._values(kind, fields, key)
            anomaly = self._anomaly(name, kind, values)
            if len(self.findings.errors) == errors_before:
                self._report_empty(anomaly, values.get("mode", ""), entry, key)
            if values["enabled"]:
                anomalies.append(anomaly)
        unnamed = (kind for kind in _ALWAYS_ON if kind not in types)
        anomalies += [self._anomaly(kind, kind, ANOMALIES[kind].defaults()) for kind in unnamed]
        return tuple(anomalies)

    def _fields(self, entry: Entry, key: str) -> Fields:
        """What stands under a name; nothing is all defaults."""
        if isinstance(entry.value, Fields):
            return entry.value
        if not is_nothing(entry.value):
            refuse(entry.value, key, "a mapping", self.findings)
        return Fields(entry.line, entry.column, {})

    def _type(self, name: str, fields: Fields, key: str) -> str | None:
        """The type that is written, else the one that the name says."""
        given = fields.entries.get("type")
        if given is not None:
            kind: str | None = ANOMALY_TYPE.read(given.value, key, Findings())
            return kind  # the faults of a refused one are told when the settings are read
        if name.lower() in ANOMALIES:
            return name.lower()
        message = f"found no 'type'; one of {', '.join(ANOMALIES)} is right"
        self.findings.error(fields, key, message)
        return None

    def _values(self, kind: str, fields: Fields, key: str) -> dict[str, Any]:
        """The settings that count for the type and the mode."""
        section = ANOMALIES[kind]
        kept = {}
        for name, entry in fields.entries.items():
            if name in ANOMALY.known_keys() and name not in section.known_keys():
                message = f"ignored: an anomaly of type {kind} has no such setting"
                self.findings.warn(entry, key_path(key, name), message)
            else:
                kept[name] = entry
        relevant = without_unused_list(Fields(fields.line, fields.column, kept), key, self.findings)
        return section.read(relevant, key, self.findings) or section.defaults()

    def _anomaly(self, name: str, kind: str, values: Mapping[str, Any]) -> Anomaly:
        given = values["actions"]
        actions = (
            self.watcher_actions
            if given is None
            else runnable(given, self.user_actions, self.findings)
        )
        common = {"name": name, "actions": actions, "cooldown_sec": values["cooldown_sec"]}
        return _MAKERS[kind](values, common, self.findings)

    def _report_empty(self, anomaly: Anomaly, mode: str, entry: Entry, key: str) -> None:
        """AODv2, too, refuses an anomaly that nothing can set off."""
        if isinstance(anomaly, LatencyAnomaly) and not anomaly.thresholds_ms:
            noun = "command"
        elif isinstance(anomaly, ErrorAnomaly) and not (anomaly.codes or anomaly.statuses):
            noun = "code"
        else:
            return
        at = f"{'track' if mode == 'trackonly' else 'exclude'}_{noun}s"
        given = entry.value.entries.get(at) if isinstance(entry.value, Fields) else None
        message = f"found no {noun} left to watch in mode {mode}; at least one is right"
        self.findings.error(given or entry, key_path(key, at), message)


def _latency(values: Mapping[str, Any], common: Mapping[str, Any], findings: Findings) -> Anomaly:
    commands = select_commands(values, findings)
    return LatencyAnomaly(
        thresholds_ms=commands.thresholds_ms,
        named_commands=commands.named,
        acceptable_count=_count(values),
        emergency_threshold_ms=values["emergency_threshold_ms"],
        **common,
    )


def _error(values: Mapping[str, Any], common: Mapping[str, Any], findings: Findings) -> Anomaly:
    codes = select_codes(values, findings)
    return ErrorAnomaly(
        codes=codes.errnos,
        statuses=codes.statuses,
        excluded_statuses=codes.excluded_statuses,
        named_codes=codes.named,
        acceptable_count=_count(values),
        **common,
    )


def _count(values: Mapping[str, Any]) -> int:
    return max(1, int(values["acceptable_count"]))


_MAKERS: Final[dict[str, Callable[..., Anomaly]]] = {
    "latency": _latency,
    "error": _error,
    "hang": lambda values, common, _: HangAnomaly(age_ms=values["age_ms"], **common),
    "connection": lambda values, common, _: ConnectionAnomaly(
        acceptable_count=_count(values), **common
    ),
    "drift": lambda _values, common, _: DriftAnomaly(**common),
}
