# SPDX-License-Identifier: MIT
"""What a type of anomaly is, and what types have in common.

A type is one module in this package: a frozen dataclass (the configured anomaly), the
settings beyond the common ones, and a function that makes the one of the other. The
table in ``__init__`` names it; its detector is in :mod:`aodasync.detection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Protocol

from aodasync.config.document import Entry, Fields, key_path
from aodasync.config.kinds import Number
from aodasync.config.problems import Problems
from aodasync.config.section import Setting

__all__ = [
    "DAY_MS",
    "Anomaly",
    "AnomalyType",
    "Given",
    "acceptable_count",
    "as_given",
    "without_others",
]

DAY_MS: Final = 86_400_000


class Anomaly(Protocol):
    """A configured anomaly: what every type's dataclass has.

    ``name`` is the key in the file, ``type`` that of the table of types. ``actions``
    are names of actions, ``cooldown_sec`` is counted from a bundle.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def type(self) -> str: ...  # noqa: D102

    @property
    def actions(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def cooldown_sec(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Given:
    """An anomaly as the file gives it: ``values`` by setting, defaults filled in.

    ``entry`` and ``key`` are where it is written; an anomaly that the file does not
    name has no ``entry``.
    """

    name: str
    actions: tuple[str, ...]
    values: Mapping[str, Any]
    problems: Problems
    key: str = ""
    entry: Entry | None = None

    @property
    def common(self) -> dict[str, Any]:
        """The arguments of every type's dataclass."""
        cooldown_sec = self.values["cooldown_sec"]
        return {"name": self.name, "actions": self.actions, "cooldown_sec": cooldown_sec}

    @property
    def acceptable_count(self) -> int:
        """At least 1."""
        return max(1, int(self.values["acceptable_count"]))


def as_given(fields: Fields, key: str, problems: Problems) -> Fields:
    """What most types make of their fields before these are read: nothing."""
    del key, problems
    return fields


@dataclass(frozen=True, slots=True)
class AnomalyType:
    """A row of the table of types.

    ``help`` is one clause for people, ``settings`` are those beyond the common ones.
    ``prepare`` takes out, with a warning, the fields that are to be ignored; ``make``
    may report problems of its own. One that is ``on_by_default`` is configured even in
    a file that does not name it.
    """

    help: str
    make: Callable[[Given], Anomaly]
    settings: tuple[Setting, ...] = ()
    on_by_default: bool = False
    prepare: Callable[[Fields, str, Problems], Fields] = as_given


def without_others(
    fields: Fields, others: AbstractSet[str], type_: str, key: str, problems: Problems
) -> Fields:
    """``fields`` without ``others``, settings of other types: AODv2 does not look at them."""
    for name in fields.entries.keys() & others:
        message = f"ignored: an anomaly of type {type_} has no such setting"
        problems.warn(fields.entries[name], key_path(key, name), message)
    kept = {name: entry for name, entry in fields.entries.items() if name not in others}
    return replace(fields, entries=kept)


def acceptable_count(default: int) -> Setting:
    """The setting of types that count."""
    return Setting(
        "acceptable_count",
        Number(0, whole=True, advised=1, consequence="1 is used"),
        "So many within watch_interval_sec are an anomaly.",
        default,
    )
