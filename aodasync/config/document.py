# SPDX-License-Identifier: MIT
"""A YAML document as plain values that know where they are written.

Lines and columns count from 1. A value reached through an alias is the very object
of its anchor, at the place where that is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

__all__ = [
    "WHOLE_FILE",
    "Broken",
    "Entry",
    "Fields",
    "Items",
    "Node",
    "Place",
    "Scalar",
    "ScalarValue",
    "describe",
    "describe_value",
    "is_nothing",
    "key_path",
    "line_of",
    "overlay",
    "places",
    "quoted",
]

WHOLE_FILE: Final = "(file)"
"""The key of a problem that concerns no key."""

_MAX_SHOWN: Final = 60
_PLAIN_KEY: Final = re.compile(rf"[\w<-]{{1,{_MAX_SHOWN}}}", re.ASCII)

ScalarValue: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar(Place):
    """A single value; dates and the like stay the text that they are in the file.

    A text without quotes that is written in several lines ends in ``last_line``.
    """

    value: ScalarValue
    last_line: int = 0


@dataclass(frozen=True, slots=True)
class Items(Place):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry(Place):
    """A key of a mapping, where the key is written, and its value."""

    value: Node


@dataclass(frozen=True, slots=True)
class Fields(Place):
    """A mapping, in file order."""

    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Broken(Place):
    """A value whose fault was already reported; nothing more is reported of it."""


Node: TypeAlias = Scalar | Items | Fields | Broken


def is_nothing(node: Node) -> bool:
    """Whether only a key was written (``track_codes:``), and no value after it."""
    return isinstance(node, Scalar) and node.value is None


def key_path(parent: str, key: str) -> str:
    """The path of ``key`` below ``parent`` (empty at the top); odd keys are quoted."""
    shown = key if _PLAIN_KEY.fullmatch(key) else quoted(key)
    return f"{parent}.{shown}" if parent else shown


def line_of(place: Place, seen_from: Place) -> str:
    """``line 7``, with the file if it is another one than that of ``seen_from``."""
    other = f" of {place.file}" if place.file != seen_from.file else ""
    return f"line {place.line}{other}"


def overlay(base: Node, over: Node) -> Node:
    """``over`` on ``base``: mappings key by key, all else as a whole.

    A list or mapping that is announced and not written changes nothing. A mapping does
    not replace what is none: that is a mistake, which would go unreported, and take with
    it the mapping that it has replaced itself.
    """
    if not isinstance(over, Fields):
        return over
    if not isinstance(base, Fields):
        return over if is_nothing(base) else base
    entries = dict(base.entries)
    for name, entry in over.entries.items():
        below = entries.get(name)
        if below is None:
            entries[name] = entry
        elif not (is_nothing(entry.value) and isinstance(below.value, Fields | Items)):
            entries[name] = replace(entry, value=overlay(below.value, entry.value))
    return replace(over, entries=entries)


def places(node: Node, key: str = "") -> Iterator[tuple[str, Place]]:
    """The paths of the lists and single values in ``node``, and where each is written."""
    if isinstance(node, Fields):
        for name, entry in node.entries.items():
            yield from places(entry.value, key_path(key, name))
    else:
        yield key, node


def quoted(text: str) -> str:
    """``text`` in quotes on one line: shortened, and with escapes for what cannot be printed."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")


def describe(node: Node) -> str:
    """What stands there, for a message: ``'fast'``, ``5``, ``a list``, ``nothing``."""
    if isinstance(node, Scalar):
        ends = f" (it ends in line {node.last_line})" if node.last_line > node.line else ""
        return f"{describe_value(node.value)}{ends}"
    return "a list" if isinstance(node, Items) else "a mapping"


def describe_value(value: ScalarValue) -> str:
    """A single value, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int) and abs(value) >= 10**_MAX_SHOWN:
        return f"a number of more than {_MAX_SHOWN} digits"
    return repr(value)
