# SPDX-License-Identifier: MIT
"""What JSON Schemas are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

__all__ = [
    "ANY",
    "COUNT",
    "COUNTS",
    "FLAG",
    "MONOTONIC",
    "NUMBER",
    "REALTIME",
    "TEXT",
    "TEXTS",
    "VERSION_1",
    "Schema",
    "by_name",
    "of",
    "or_null",
    "record",
    "several",
]

Schema: TypeAlias = Mapping[str, Any]


def of(types: str, said: str = "") -> Schema:
    """One of these types, ``a|b``."""
    named = types.split("|")
    kind: dict[str, Any] = {"type": named[0] if len(named) == 1 else named}
    return {**kind, "description": said} if said else kind


def record(said: str = "", optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object with these properties, all of them required but the optional ones."""
    kind: dict[str, Any] = {"type": "object", "properties": properties}
    kind["required"] = [name for name in properties if name not in optional]
    return {**kind, "description": said} if said else kind


def several(each: Schema, said: str = "") -> Schema:
    """A list of these."""
    return {"type": "array", "items": each, **({"description": said} if said else {})}


def by_name(each: Schema, said: str = "") -> Schema:
    """An object whose values are all of this kind."""
    kind = {"type": "object", "additionalProperties": each}
    return {**kind, "description": said} if said else kind


def or_null(kind: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [kind, {"type": "null"}]}


TEXT: Final = of("string")
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final = of("number")
FLAG: Final = of("boolean")
TEXTS: Final = several(TEXT)
COUNTS: Final = by_name(COUNT)
ANY: Final = of("object")
MONOTONIC: Final = of("integer", "CLOCK_MONOTONIC in ns")
REALTIME: Final = of("integer", "CLOCK_REALTIME in ns since 1970")
VERSION_1: Final[Schema] = {"const": 1, "description": "Raised when a key changes its meaning."}
