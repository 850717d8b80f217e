# SPDX-License-Identifier: MIT
"""Rules of an ``error`` anomaly: failures by command and code, each rule with its own count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from aodasync.config.anomalies.modes import distinct
from aodasync.config.document import Fields, Items, Node, Place, quoted
from aodasync.config.kinds import Number, Text, refuse
from aodasync.config.names import ERRNO_NAMES, Name, Named
from aodasync.config.problems import Problems
from aodasync.config.section import ListOf, Section, Setting

__all__ = ["ErrorRule", "Rules", "errnos_and_statuses"]

_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """Failures that are counted together; ``acceptable_count`` in one interval fire.

    A failure counts when its command is in ``commands``, and its errno in ``codes`` or
    its NTSTATUS in ``statuses``. Without commands, every command counts; with neither
    codes nor statuses, every failure but the expected noise.
    """

    name: str
    acceptable_count: int
    commands: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()


def errnos_and_statuses(names: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The errno names and the others of ``names``, both sorted."""
    errnos = sorted(set(names).intersection(ERRNO_NAMES))
    return tuple(errnos), tuple(sorted(set(names).difference(ERRNO_NAMES)))


@dataclass(frozen=True, slots=True)
class Rules:
    """A list of rules; ``codes_key`` is the key of their codes."""

    command: Named
    code: Named
    codes_key: str

    @property
    def rule(self) -> Section:
        """The settings of a rule."""
        return Section(
            (
                Setting("name", Text(at_least=1), "Names the rule in logs.", required=True),
                Setting(
                    "acceptable_count",
                    Number(1, whole=True),
                    "So many within watch_interval_sec are an anomaly.",
                    1,
                ),
                Setting("track_commands", ListOf(self.command), "Without it: every command.", ()),
                Setting(self.codes_key, ListOf(self.code), "Without it: every error.", ()),
            )
        )

    def read(self, node: Node, key: str, problems: Problems) -> tuple[ErrorRule, ...] | None:
        """The rules, without those that are refused."""
        if not isinstance(node, Items):
            refuse(node, key, "a list", problems)
            return None
        if not 1 <= len(node.items) <= _MOST:
            message = f"expected a list of 1 to {_MOST} rules, found {len(node.items)}"
            problems.error(node, key, message)
            return None
        rules: dict[str, ErrorRule] = {}
        for index, item in enumerate(node.items):
            at = f"{key}[{index}]"
            values = self.rule.read(item, at, problems)
            if values is None or values["name"] is None:
                continue
            if not values["track_commands"] and not values[self.codes_key]:
                if not problems.errors_below(at):
                    message = f"expected track_commands, {self.codes_key} or both, found neither"
                    problems.error(item, at, message)
                continue
            if values["name"] in rules:
                message = f"expected a name of its own, found {quoted(values['name'])} again"
                problems.error(_place_of_name(item), f"{at}.name", message)
            rules[values["name"]] = _rule(values, values[self.codes_key], problems)
        return tuple(rules.values())

    def schema(self) -> dict[str, Any]:
        """Array of objects; null is none."""
        return {
            "type": ["array", "null"],
            "items": self.rule.schema(),
            "minItems": 1,
            "maxItems": _MOST,
        }


def _place_of_name(rule: Node) -> Place:
    named = rule.entries.get("name") if isinstance(rule, Fields) else None
    return named.value if named else rule


def _rule(values: dict[str, Any], codes: tuple[Name, ...], problems: Problems) -> ErrorRule:
    errnos, statuses = errnos_and_statuses(distinct(codes, problems))
    return ErrorRule(
        name=values["name"],
        acceptable_count=values["acceptable_count"],
        commands=tuple(sorted(distinct(values["track_commands"], problems))),
        codes=errnos,
        statuses=statuses,
    )
