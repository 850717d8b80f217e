# SPDX-License-Identifier: MIT
"""The modes ``all``, ``trackonly`` and ``excludeonly`` over two lists, as AODv2 has them.

The list that a mode does not use is ignored with a warning, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from aodasync.config.anomalies.anomaly_type import Given
from aodasync.config.document import Fields, Items, Node, Scalar, key_path, line_of
from aodasync.config.kinds import Choice
from aodasync.config.names import Name
from aodasync.config.problems import Problems
from aodasync.config.section import Setting

__all__ = [
    "MODE",
    "choose",
    "distinct",
    "report_nothing_left",
    "report_overlap",
    "without_unused_list",
]

MODE: Final = Setting(
    "mode",
    Choice(("all", "trackonly", "excludeonly")),
    "all: everything but what is excluded. trackonly: only what is tracked. "
    "excludeonly: as all, but the list of what is tracked is ignored.",
    "all",
)

_UNUSED: Final = {"trackonly": "exclude_", "excludeonly": "track_"}


def without_unused_list(fields: Fields, key: str, problems: Problems, noun: str) -> Fields:
    """``fields`` of an anomaly without the list of ``noun`` that its mode does not use."""
    entry = fields.entries.get(MODE.key)
    mode = entry.value.value if entry and isinstance(entry.value, Scalar) else None
    unused = f"{_UNUSED[mode]}{noun}" if isinstance(mode, str) and mode in _UNUSED else ""
    given = fields.entries.get(unused)
    if given is None:
        return fields
    if not _is_empty(given.value):
        problems.warn(given, key_path(key, unused), f"ignored in mode {mode}")
    kept = {name: entry for name, entry in fields.entries.items() if name != unused}
    return replace(fields, entries=kept)


def _is_empty(node: Node) -> bool:
    """As AODv2 sees it: nothing, an empty text, list or mapping, 0, false."""
    if isinstance(node, Scalar):
        return not node.value
    if isinstance(node, Fields):
        return not node.entries
    return isinstance(node, Items) and not node.items


def choose(
    mode: str, universe: Iterable[str], tracked: Collection[str], excluded: Collection[str]
) -> tuple[str, ...]:
    """The names of ``universe`` that count in ``mode``, in its order."""
    if mode == "trackonly":
        return tuple(name for name in universe if name in tracked)
    return tuple(name for name in universe if name not in excluded)


def distinct(
    names: Iterable[Name], problems: Problems, remark: str = "once is enough"
) -> dict[str, Name]:
    """The names by their text; AODv2, too, only warns of one that is listed twice."""
    first_of: dict[str, Name] = {}
    for name in names:
        first = first_of.setdefault(name.text, name)
        if first is not name:
            message = f"found '{name.text}' again, after line {first.line}; {remark}"
            problems.warn(name, name.key, message)
    return first_of


def report_overlap(
    tracked: Mapping[str, Name], excluded: Mapping[str, Name], problems: Problems
) -> None:
    """A name in both lists is an error."""
    for text in excluded.keys() & tracked.keys():
        name = excluded[text]
        where = line_of(tracked[text], name)
        message = f"expected '{text}' in one of the two lists, found it tracked in {where} too"
        problems.error(name, name.key, message)


def report_nothing_left(given: Given, noun: str) -> None:
    """AODv2, too, refuses an anomaly that nothing can set off; errors in it explain it better."""
    if given.entry is None or given.problems.errors_below(given.key):
        return
    mode = given.values[MODE.key]
    at = f"{'track' if mode == 'trackonly' else 'exclude'}_{noun}s"
    fields = given.entry.value
    entry = fields.entries.get(at) if isinstance(fields, Fields) else None
    message = f"expected at least one {noun} to watch in mode {mode}, found none"
    given.problems.error(entry or given.entry, key_path(given.key, at), message)
