# SPDX-License-Identifier: MIT
"""Reads ``anomalies``: AODv2's newer format, by protocol and type.

What is of smb becomes the anomalies ``latency``, ``error`` and ``connection``. The other
protocols are checked as AODv2 does, and shown as they are, but nothing watches them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from aodasync.actions import BUILTIN
from aodasync.config.anomalies.anomaly_type import Anomaly, Given, as_given, without_others
from aodasync.config.anomalies.error import without_what_rules_replace
from aodasync.config.anomalies.modes import without_unused_list
from aodasync.config.aodv2.captures import TOOLS, Capture
from aodasync.config.aodv2.make import MAKERS, plain
from aodasync.config.aodv2.protocols import PROTOCOLS, any_key, section
from aodasync.config.document import (
    Entry,
    Fields,
    Items,
    Node,
    is_nothing,
    key_path,
    line_of,
    quoted,
)
from aodasync.config.kinds import refuse
from aodasync.config.problems import Problems

__all__ = ["Reader"]

_WATCHED: Final = "smb"

_PREPARE: Final[Mapping[str, Callable[[Fields, str, Problems], Fields]]] = {
    "latency": partial(without_unused_list, noun="commands"),
    "error": without_what_rules_replace,
}


@dataclass(slots=True)
class Reader:
    """Reads the anomalies of a file.

    After :meth:`read`, ``types`` are those of smb's anomalies, on or off, ``captures`` the
    tools that they name, and ``unwatched`` the other protocols' anomalies, by protocol and
    type, in plain values.
    """

    user_actions: AbstractSet[str]
    problems: Problems
    types: set[str] = field(default_factory=set)
    unwatched: dict[str, dict[str, Any]] = field(default_factory=dict)
    captures: dict[str, Capture] = field(default_factory=dict)
    _tools: dict[str, Capture] = field(default_factory=dict)

    def read(self, anomalies: Fields) -> tuple[Anomaly, ...]:
        """The anomalies of smb that are on, in file order."""
        made: list[Anomaly] = []
        for protocol, at, entry in self._words(anomalies, "anomalies", tuple(PROTOCOLS)):
            types = tuple(PROTOCOLS[protocol].tools)
            for type_, key, typed in self._words(self._fields(entry, at), at, types):
                given, tools = self._given(protocol, type_, typed, key)
                if protocol == _WATCHED:
                    anomaly = MAKERS[type_](given)
                    self.types.add(anomaly.type)
                    if given.values["enabled"]:
                        made.append(anomaly)
                        self.captures |= {tool: self._tools[tool] for tool in tools}
                else:
                    shown: dict[str, Any] = {"type": type_, "actions": list(given.actions)}
                    shown["captures"] = {t: list(c.arguments) for t, c in tools.items()}
                    shown |= plain(protocol, type_, given)
                    self.unwatched.setdefault(protocol, {})[type_] = shown
                    self.problems.warn(typed, key, "not watched: aodasync watches smb alone")
        return tuple(made)

    def _words(
        self, fields: Fields, at: str, known: tuple[str, ...]
    ) -> Iterable[tuple[str, str, Entry]]:
        """The keys of a mapping that are of ``known``, with their paths.

        Like AODv2, in any capitalisation, and whatever blanks are around them.
        """
        seen: dict[str, Entry] = {}
        for name, entry in fields.entries.items():
            word, key = name.strip().lower(), key_path(at, name)
            if word not in known:
                near = self.problems.suggestion(name, known)
                message = f"expected one of {', '.join(known)}, found {quoted(name)}{near}"
                self.problems.error(entry, key, message)
            elif word in seen:
                message = f"expected {word} once, found it in {line_of(seen[word], entry)} as well"
                self.problems.error(entry, key, message)
            else:
                seen[word] = entry
                yield word, key, entry

    def _fields(self, entry: Entry, key: str) -> Fields:
        if isinstance(entry.value, Fields):
            return entry.value
        if not is_nothing(entry.value):
            refuse(entry.value, key, "a mapping", self.problems)
        return Fields(entry.file, entry.line, entry.column, {})

    def _given(
        self, protocol: str, type_: str, entry: Entry, key: str
    ) -> tuple[Given, dict[str, Capture]]:
        """The settings, and the captures among the actions."""
        settings = section(protocol, type_)
        others = any_key().difference(settings.known_keys())
        fields = without_others(self._fields(entry, key), others, type_, key, self.problems)
        fields = _PREPARE.get(type_, as_given)(fields, key, self.problems)
        values = settings.read(fields, key, self.problems) or settings.defaults()
        actions, tools = self._actions(values["actions"], protocol, key_path(key, "actions"))
        name = "connection" if type_ == "sockconn" else type_
        return Given(name, actions, values, self.problems, key, entry), tools

    def _actions(
        self, entries: Mapping[str, Entry], protocol: str, at: str
    ) -> tuple[tuple[str, ...], dict[str, Capture]]:
        known = BUILTIN.keys() | self.user_actions
        actions: list[str] = []
        tools: dict[str, Capture] = {}
        for name, entry in entries.items():
            key = key_path(at, name)
            if name in TOOLS:
                capture = Capture.read(name, protocol, entry, key, self.problems)
                if capture is not None and self._is_consistent(capture):
                    tools[name] = self._tools[name]
            elif name not in known:
                names = known | TOOLS.keys()
                near = self.problems.suggestion(name, names)
                near = near or f"; expected one of {', '.join(sorted(names))}"
                message = f"expected the name of an action, found {quoted(name)}{near}"
                self.problems.error(entry, key, message)
            else:
                if not _is_empty(entry.value):
                    refuse(entry.value, key, "nothing", self.problems)
                actions.append(name)
        return tuple(actions), tools

    def _is_consistent(self, capture: Capture) -> bool:
        """A tool serves one protocol in the whole file, with the same arguments everywhere."""
        first = self._tools.setdefault(capture.tool, capture)
        if first.protocol != capture.protocol:
            where = f"in {line_of(first.place, capture.place)}"
            message = f"expected one protocol for {capture.tool}, found {first.protocol} {where}"
            self.problems.error(capture.place, capture.key, message)
        elif first.arguments != capture.arguments:
            capture.report_others(first, self.problems)
        else:
            return True
        return False


def _is_empty(node: Node) -> bool:
    if isinstance(node, Items):
        return not node.items
    return is_nothing(node) or (isinstance(node, Fields) and not node.entries)
