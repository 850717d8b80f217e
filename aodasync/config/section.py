# SPDX-License-Identifier: MIT
"""Lists and mappings of settings: one declaration gives key, kind, default, help and schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final, Protocol

from aodasync.config.document import (
    Entry,
    Fields,
    Items,
    Node,
    Scalar,
    is_nothing,
    key_path,
    quoted,
)
from aodasync.config.kinds import ScalarKind, refuse
from aodasync.config.problems import Problems

__all__ = ["AnyOf", "Kind", "ListOf", "MapOf", "Section", "Setting"]

_MOST_NAMES: Final = 100
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,47}")


class Kind(Protocol):
    """What a value must be."""

    def read(self, node: Node, key: str, problems: Problems) -> Any:
        """The value of ``node``, or None after reporting why not."""

    def schema(self) -> dict[str, Any]:
        """The accepted values."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one kind; the ``first`` may be of another."""

    item: ScalarKind | Section
    at_least: int = 0
    first: ScalarKind | None = None

    def read(self, node: Node, key: str, problems: Problems) -> tuple[Any, ...] | None:
        """What the kind reads, without what it refuses."""
        if not isinstance(node, Items):
            dash = isinstance(node, Scalar) and str(node.value).startswith("-")
            near = "; a dash needs a blank after it" if dash else ""
            refuse(node, key, "a list", problems, near)
            return None
        if len(node.items) < self.at_least:
            message = f"expected a list of {self.at_least} or more, found an empty one"
            problems.error(node, key, message)
        kinds = chain([self.first or self.item], repeat(self.item))
        read = (
            kind.read(item, f"{key}[{i}]", problems)
            for i, (kind, item) in enumerate(zip(kinds, node.items, strict=False))
        )
        return tuple(value for value in read if value is not None)

    def schema(self) -> dict[str, Any]:
        """Array; null is an empty one."""
        first = {"prefixItems": [self.first.schema()]} if self.first else {}
        if self.at_least:
            least = {"minItems": self.at_least}
            return {"type": "array", **first, "items": self.item.schema(), **least}
        return {"type": ["array", "null"], **first, "items": self.item.schema()}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key; a ``required`` one has no default."""

    key: str
    kind: Kind
    help: str
    default: Any = None
    required: bool = False

    def schema(self) -> dict[str, Any]:
        """Its kind's, with description and default."""
        schema = {"description": self.help, **self.kind.schema()}
        if self.default is not None:
            default = self.default
            schema["default"] = list(default) if isinstance(default, tuple) else default
        return schema


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with the keys of ``settings``."""

    settings: tuple[Setting, ...]

    def known_keys(self) -> tuple[str, ...]:
        """The keys, in the order of declaration."""
        return tuple(setting.key for setting in self.settings)

    def defaults(self) -> dict[str, Any]:
        """What an empty mapping means."""
        return {
            s.key: s.kind.defaults() if isinstance(s.kind, Section) else s.default
            for s in self.settings
        }

    def read(self, node: Node, key: str, problems: Problems) -> dict[str, Any] | None:
        """Values by key, defaults for what is missing or refused (None if it is required).

        A list or mapping that is announced and not written (``actions:``) is missing.
        """
        if not isinstance(node, Fields):
            required = [f"'{setting.key}'" for setting in self.settings if setting.required]
            keys = f" with the key {', '.join(required)}" if required else ""
            refuse(node, key, f"a mapping{keys}", problems)
            return None
        known = self.known_keys()
        for name, entry in node.entries.items():
            if name not in known:
                near = problems.suggestion(name, known) or f"; expected one of {', '.join(known)}"
                problems.error(entry, key_path(key, name), f"unknown key{near}")
        values = self.defaults()
        for setting in self.settings:
            given = node.entries.get(setting.key)
            scalar = isinstance(setting.kind, ScalarKind)
            if given is None or (is_nothing(given.value) and not scalar):
                if setting.required:
                    problems.error(node, key, f"the required key '{setting.key}' is missing")
                continue
            value = setting.kind.read(given.value, key_path(key, setting.key), problems)
            values[setting.key] = values[setting.key] if value is None else value
        return values

    def schema(self) -> dict[str, Any]:
        """Object without further keys; null is an empty one."""
        required = [setting.key for setting in self.settings if setting.required]
        return {
            "type": "object" if required else ["object", "null"],
            "properties": {setting.key: setting.schema() for setting in self.settings},
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from names of the user's own to sections; the names become file names."""

    section: Section

    def read(self, node: Node, key: str, problems: Problems) -> Mapping[str, Entry] | None:
        """Names and what stands under them, uninterpreted, without the unsafe names."""
        if not isinstance(node, Fields):
            refuse(node, key, "a mapping", problems)
            return None
        if len(node.entries) > _MOST_NAMES:
            message = f"expected at most {_MOST_NAMES} entries, found {len(node.entries)}"
            problems.error(node, key, message)
            return {}
        entries = {}
        for name, entry in node.entries.items():
            if _SAFE_NAME.fullmatch(name):
                entries[name] = entry
            else:
                message = f"expected up to 48 letters, digits, _ and -, found {quoted(name)}"
                problems.error(entry, key_path(key, name), message)
        return entries

    def schema(self) -> dict[str, Any]:
        """Object whose keys are safe names."""
        return {
            "type": ["object", "null"],
            "maxProperties": _MOST_NAMES,
            "propertyNames": {"pattern": f"^{_SAFE_NAME.pattern}$"},
            "additionalProperties": self.section.schema(),
        }


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A value of one of several kinds."""

    kinds: tuple[Kind, ...]

    def read(self, node: Node, key: str, problems: Problems) -> Any:
        """What the first kind reads that finds no fault, else the first one's problems."""
        for kind in self.kinds:
            trial = Problems()
            value = kind.read(node, key, trial)
            if not trial.errors:
                return value
        return self.kinds[0].read(node, key, problems)

    def schema(self) -> dict[str, Any]:
        """The schemas of all."""
        return {"anyOf": [kind.schema() for kind in self.kinds]}
