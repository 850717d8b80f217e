# SPDX-License-Identifier: MIT
"""A YAML document as plain values that know where they are written.

Lines and columns count from 1. A value reached through an alias is the very object
of its anchor, at the place where that is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "WHOLE_FILE",
    "Broken",
    "Entry",
    "Fields",
    "Items",
    "Node",
    "Scalar",
    "ScalarValue",
    "describe",
    "is_nothing",
    "key_path",
    "quoted",
]

WHOLE_FILE: Final = "(file)"
"""The key of a problem that concerns no key."""

_MAX_SHOWN: Final = 60
_PLAIN_KEY: Final = re.compile(r"[\w<-]+", re.ASCII)

ScalarValue: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value; dates and the like stay the text that they are in the file."""

    line: int
    column: int
    value: ScalarValue


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    column: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, where the key is written, and its value."""

    line: int
    column: int
    value: Node


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in file order."""

    line: int
    column: int
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Broken:
    """A value whose fault was already reported; whoever meets it says nothing more."""

    line: int
    column: int


Node: TypeAlias = Scalar | Items | Fields | Broken


def is_nothing(node: Node) -> bool:
    """Whether only a key was written (``track_codes:``), and no value after it."""
    return isinstance(node, Scalar) and node.value is None


def key_path(parent: str, key: str) -> str:
    """The path of ``key`` below ``parent`` (empty at the top); odd keys are quoted."""
    shown = key if _PLAIN_KEY.fullmatch(key) else quoted(key)
    return f"{parent}.{shown}" if parent else shown


def quoted(text: str) -> str:
    """``text`` in quotes on one line: shortened, and with escapes for what cannot be printed."""
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")


def describe(node: Node) -> str:
    """What a person would say stands there: ``the text 'fast'``, ``a list``, ``nothing``."""
    if isinstance(node, Scalar):
        return _describe_value(node.value)
    return "a list" if isinstance(node, Items) else "a mapping"


def _describe_value(value: ScalarValue) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, int) and abs(value) >= 10**_MAX_SHOWN:
        return f"a number of more than {_MAX_SHOWN} digits"
    return f"the number {value!r}"
