# SPDX-License-Identifier: MIT
"""Values out of a manifest, which may hold anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aodasync.report.html import number

__all__ = ["brief", "flat", "items", "objects", "part", "real_number", "whole_number"]


def part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object of this key, or an empty one."""
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """The list that the value is, or an empty one."""
    return value if isinstance(value, list) else []


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects in the list that the value is."""
    return [item for item in items(value) if isinstance(item, Mapping)]


def whole_number(holder: object, key: str) -> int:
    """The positive 63-bit number of this key, or 0."""
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0


def real_number(holder: Mapping[str, Any], key: str) -> float:
    """The number of this key, or 0."""
    value = holder.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Labels and values of objects within objects."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}".replace("_", " "), value


def brief(value: object) -> str:
    """A value for people: four digits of a number, nothing for null."""
    if isinstance(value, list):
        return ", ".join(map(brief, value))
    return number(value, 4) if isinstance(value, float) else "" if value is None else str(value)
