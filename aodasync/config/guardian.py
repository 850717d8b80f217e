# SPDX-License-Identifier: MIT
"""``guardian.anomalies``: our format and AODv2's older one.

All of it is derived from :data:`~aodasync.config.anomalies.ANOMALY_TYPES` when used.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from aodasync.config.actions import action_name, runnable
from aodasync.config.anomalies import ANOMALY_TYPES
from aodasync.config.anomalies.anomaly_type import Anomaly, Given, without_others
from aodasync.config.document import Entry, Fields, is_nothing, key_path, line_of
from aodasync.config.kinds import Choice, Flag, Number, Text, refuse
from aodasync.config.problems import Problems
from aodasync.config.section import AnyOf, ListOf, MapOf, Section, Setting

__all__ = ["AnomalyReader", "NamedAnomalies", "any_anomaly", "on_by_default", "settings_of"]

_PATH: Final = "guardian.anomalies"


def on_by_default() -> tuple[str, ...]:
    """The types that are on in a file that does not name them."""
    return tuple(name for name, type_ in ANOMALY_TYPES.items() if type_.on_by_default)


def settings_of(type_: str) -> Section:
    """The settings of an anomaly of this type."""
    return Section((*_common(), *ANOMALY_TYPES[type_].settings))


def any_anomaly(type_: str | None = None) -> Section:
    """The settings that any type has; of those that differ the ones of ``type_``, if given.

    Settings of other types are only ignored, so they may stand in an anomaly of any type.
    """
    own = {s.key: s for s in ANOMALY_TYPES[type_].settings} if type_ else {}
    by_key: dict[str, Setting] = dict(own)
    for setting in (*_common(), *(s for t in ANOMALY_TYPES.values() for s in t.settings)):
        known = by_key.setdefault(setting.key, setting)
        if setting.key not in own and known.kind != setting.kind:
            kind = AnyOf((known.kind, setting.kind))
            default = known.default if known.default == setting.default else None
            text = f"{known.help} {setting.help}"
            by_key[setting.key] = Setting(setting.key, kind, text, default)
    return Section(tuple(by_key.values()))


class NamedAnomalies(MapOf):
    """The mapping of anomalies by name, which may say the type."""

    __slots__ = ()

    def schema(self) -> dict[str, Any]:
        """By name the settings of its type, unless ``type`` says another one."""
        written = {"required": ["type"]}
        named = {
            name: {
                "description": f"{type_.help.capitalize()}.",
                "if": written,
                "then": self.section.schema(),
                "else": any_anomaly(name).schema(),
            }
            for name, type_ in ANOMALY_TYPES.items()
        }
        return {**super().schema(), "properties": named}


def _common() -> tuple[Setting, ...]:
    types = ", ".join(f"{name} ({type_.help})" for name, type_ in ANOMALY_TYPES.items())
    return (
        Setting(
            "type",
            _type_name(),
            f"{types}. May be left out where the anomaly's name says it.",
        ),
        Setting("tool", Text(), "AODv2's tracing program. Accepted, and ignored."),
        Setting("enabled", Flag(), "false turns the anomaly off.", default=True),
        Setting(
            "actions", ListOf(action_name()), "What is collected. Without it: watcher.actions."
        ),
        Setting(
            "cooldown_sec",
            Number(0, 86_400),
            "After a bundle, time during which this anomaly gives no other one.",
            60.0,
        ),
    )


def _type_name() -> Choice:
    return Choice(tuple(ANOMALY_TYPES), any_case=True)


@dataclass(frozen=True, slots=True)
class AnomalyReader:
    """Reads anomalies; those without actions run ``watcher_actions``.

    ``user_actions`` are the names of actions that the file defines.
    """

    user_actions: AbstractSet[str]
    watcher_actions: tuple[str, ...]
    problems: Problems

    def read(self, entries: Mapping[str, Entry]) -> tuple[Anomaly, ...]:
        """The anomalies that are on: those of the file in its order, then the unnamed ones."""
        anomalies: list[Anomaly] = []
        types: set[str] = set()
        seen: dict[str, Entry] = {}
        for name, entry in entries.items():
            key = key_path(_PATH, name)
            first = seen.setdefault(name.lower(), entry)
            if first is not entry:  # in a drop-in it was meant to be the same
                message = f"one more than that of {line_of(first, entry)}: case counts in names"
                self.problems.warn(entry, key, message)
            fields = self._fields(entry, key)
            type_ = self._type(name, fields, key)
            if type_ is None:
                any_anomaly().read(fields, key, self.problems)
                continue
            types.add(type_)
            if name in on_by_default() and name != type_:
                message = f"expected the type {name} under this name, found {type_}"
                self.problems.error(entry, key, message)
            given = self._given(name, type_, fields, entry, key)
            anomaly = ANOMALY_TYPES[type_].make(given)
            if given.values["enabled"]:
                anomalies.append(anomaly)
        return (*anomalies, *self.unnamed(types))

    def unnamed(self, types: AbstractSet[str]) -> tuple[Anomaly, ...]:
        """The anomalies that are on although the file has none of their types."""
        return tuple(self._default(type_) for type_ in on_by_default() if type_ not in types)

    def _fields(self, entry: Entry, key: str) -> Fields:
        """What stands under a name; nothing is all defaults."""
        if isinstance(entry.value, Fields):
            return entry.value
        if not is_nothing(entry.value):
            refuse(entry.value, key, "a mapping", self.problems)
        return Fields(entry.file, entry.line, entry.column, {})

    def _type(self, name: str, fields: Fields, key: str) -> str | None:
        """The type that is written, else the one that the name says."""
        given = fields.entries.get("type")
        if given is not None:
            type_: str | None = _type_name().read(given.value, key, Problems())
            return type_  # the faults of a refused one are reported when the settings are read
        if name.lower() in ANOMALY_TYPES:
            return name.lower()
        message = f"the required key 'type' is missing; expected one of {', '.join(ANOMALY_TYPES)}"
        self.problems.error(fields, key, message)
        return None

    def _given(self, name: str, type_: str, fields: Fields, entry: Entry, key: str) -> Given:
        """The settings that count for the type."""
        section, prepare = settings_of(type_), ANOMALY_TYPES[type_].prepare
        others = set(any_anomaly().known_keys()).difference(section.known_keys())
        own = without_others(fields, others, type_, key, self.problems)
        relevant = prepare(own, key, self.problems)
        values = section.read(relevant, key, self.problems) or section.defaults()
        return Given(name, self._actions(values), values, self.problems, key, entry)

    def _actions(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        given = values["actions"]
        if given is None:
            return self.watcher_actions
        return runnable(given, self.user_actions, self.problems)

    def _default(self, type_: str) -> Anomaly:
        values = settings_of(type_).defaults()
        given = Given(type_, self.watcher_actions, values, self.problems)
        return ANOMALY_TYPES[type_].make(given)
