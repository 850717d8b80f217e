# SPDX-License-Identifier: MIT
"""A JSON value with other names in it, and the names that it shows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aodasync.privacy.aliases import Aliases

__all__ = ["file_names", "items", "renamed", "strings"]


def items(value: object) -> list[Any]:
    """The list that it is, or none."""
    return value if isinstance(value, list) else []


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return items(value)


def strings(value: Any) -> Iterator[str]:
    """All of its strings, but for keys."""
    if isinstance(value, str):
        yield value
    else:
        for item in _inner(value):
            yield from strings(item)


def file_names(value: Any) -> Iterator[str]:
    """The files that a table of ours names."""
    if isinstance(value, dict) and isinstance(name := value.get("file_name"), str):
        yield name
    for item in _inner(value):
        yield from file_names(item)


# Values that are names of the program's own; a host may be called like one of them.
_OWN_KEYS: Final = frozenset(["file", "name", "type", "cause", "command", "commands", "codes"])
_OWN_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_OWN_PARTS: Final = frozenset(["events", "probe", "agent", "configured"])
_KEPT: Final = _OWN_KEYS | _OWN_PARTS


def renamed(value: Any, aliases: Aliases, kept: frozenset[str] = _KEPT) -> Any:
    """JSON with its strings replaced; the program's own names and keys stay.

    Of ``who``, a name is that of a share or file, too.
    """
    if isinstance(value, str):
        return aliases.replace(value)
    if isinstance(value, list):
        return [renamed(item, aliases, kept) for item in value]
    if isinstance(value, dict):
        return {
            k if _OWN_NAME.fullmatch(k) else aliases.replace(k): _value_of(k, v, aliases, kept)
            for k, v in value.items()
        }
    return value


def _value_of(key: str, value: Any, aliases: Aliases, kept: frozenset[str]) -> Any:
    if key == "file_name" and isinstance(value, str):
        return aliases.file_path(value)
    if key == "files" and "name" not in kept:
        return [
            {**file, "name": aliases.file_path(str(file.get("name")))}
            for file in items(value)
            if isinstance(file, dict)
        ]
    if key in kept:
        return value
    return renamed(value, aliases, kept - {"name"} if key == "who" else kept)
