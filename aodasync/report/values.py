# SPDX-License-Identifier: MIT
"""Values out of a manifest, which may hold anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aodasync.report.html import number

__all__ = ["brief", "flat", "items", "part"]


def part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object of this key, or an empty one."""
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """The list that the value is, or an empty one."""
    return value if isinstance(value, list) else []


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
