# SPDX-License-Identifier: MIT
"""``error``: requests that fail, by command and code; one count for all, or one a rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from aodasync.config.anomalies.anomaly_type import AnomalyType, Given, acceptable_count
from aodasync.config.anomalies.modes import (
    MODE,
    choose,
    distinct,
    report_nothing_left,
    report_overlap,
    without_unused_list,
)
from aodasync.config.anomalies.rules import ErrorRule, Rules, errnos_and_statuses
from aodasync.config.document import Fields, Items, is_nothing, key_path, line_of
from aodasync.config.names import CODE, COMMAND, ERRNO_NAMES
from aodasync.config.problems import Problems
from aodasync.config.section import ListOf, Setting

__all__ = ["ERROR", "ErrorAnomaly", "ErrorRule", "ruled", "without_what_rules_replace"]

_NOT_BESIDE_RULES: Final = (
    "acceptable_count",
    "mode",
    "track_commands",
    "track_codes",
    "track_errors",
    "exclude_codes",
)


@dataclass(frozen=True, slots=True)
class ErrorAnomaly:
    """Responses that carry a tracked code.

    ``codes`` are errno names and ``statuses`` NTSTATUS names; a response counts
    when its NTSTATUS is in ``statuses``, or its errno in ``codes`` and its
    NTSTATUS not in ``excluded_statuses``. Expected noise counts only when its
    errno or NTSTATUS is in ``named_codes`` (those the file itself tracks). Without
    ``commands`` those of every command count; with neither codes nor statuses, every
    failure. Where there are ``rules``, only these count.
    """

    name: str
    codes: tuple[str, ...]
    statuses: tuple[str, ...]
    excluded_statuses: frozenset[str]
    named_codes: frozenset[str]
    acceptable_count: int
    actions: tuple[str, ...]
    cooldown_sec: float
    commands: tuple[str, ...] = ()
    rules: tuple[ErrorRule, ...] = ()
    type: str = "error"

    def counted(self) -> dict[str, ErrorAnomaly]:
        """What has a count of its own: each rule as an anomaly, else this one, named ""."""
        if not self.rules:
            return {"": self}
        return {
            rule.name: replace(
                self,
                codes=rule.codes,
                statuses=rule.statuses,
                named_codes=frozenset((*rule.codes, *rule.statuses)),
                acceptable_count=rule.acceptable_count,
                commands=rule.commands,
                rules=(),
            )
            for rule in self.rules
        }


def _make(given: Given) -> ErrorAnomaly:
    values, problems = given.values, given.problems
    if values["rules"]:
        return ruled(given)
    tracked = distinct(values["track_codes"], problems)
    excluded = distinct(values["exclude_codes"], problems)
    report_overlap(tracked, excluded, problems)
    errnos = choose(values["mode"], ERRNO_NAMES, tracked, excluded)
    _, statuses = errnos_and_statuses(tracked)
    if not errnos and not statuses:
        report_nothing_left(given, "code")
    return ErrorAnomaly(
        codes=errnos,
        statuses=statuses,
        excluded_statuses=frozenset(errnos_and_statuses(excluded)[1]),
        named_codes=frozenset(tracked),
        acceptable_count=given.acceptable_count,
        commands=tuple(sorted(distinct(values["track_commands"], problems))),
        **given.common,
    )


def ruled(given: Given) -> ErrorAnomaly:
    """The anomaly whose rules are all that counts."""
    return ErrorAnomaly(
        codes=(),
        statuses=(),
        excluded_statuses=frozenset(),
        named_codes=frozenset(),
        acceptable_count=1,
        rules=given.values["rules"],
        **given.common,
    )


def without_what_rules_replace(fields: Fields, key: str, problems: Problems) -> Fields:
    """``fields`` without the keys that cannot stand beside ``rules``, each of them an error.

    But those of the files that the last one, which has the rules, is laid over: it replaces them.
    """
    rules = fields.entries.get("rules")
    if rules is None or is_nothing(rules.value):
        return fields
    kept = dict(fields.entries)
    for name in _NOT_BESIDE_RULES:
        if name in kept:
            beside = kept.pop(name)
            if rules.file == fields.file != beside.file:
                continue
            message = f"expected it in a rule, found it beside 'rules' of {line_of(rules, beside)}"
            problems.error(beside, key_path(key, name), message)
    return replace(fields, entries=kept)


def _prepare(fields: Fields, key: str, problems: Problems) -> Fields:
    """AODv2 ignores latency's ``track_commands``, with thresholds, where it stands in an error."""
    fields = without_what_rules_replace(fields, key, problems)
    commands = fields.entries.get("track_commands")
    if commands is not None and isinstance(commands.value, Items):
        items = commands.value.items
        if items and all(isinstance(item, Fields) for item in items):
            message = "ignored: an anomaly of type error has no thresholds; list commands alone"
            problems.warn(commands, key_path(key, "track_commands"), message)
            kept = {name: e for name, e in fields.entries.items() if e is not commands}
            fields = replace(fields, entries=kept)
    return without_unused_list(fields, key, problems, "codes")


ERROR: Final = AnomalyType(
    help="requests that fail",
    make=_make,
    settings=(
        MODE,
        acceptable_count(10),
        Setting(
            "track_codes",
            ListOf(CODE),
            "errno names (EACCES) or NTSTATUS (STATUS_ACCESS_DENIED, 0xC0000022).",
            (),
        ),
        Setting("exclude_codes", ListOf(CODE), "Codes that are no errors here.", ()),
        Setting(
            "track_commands", ListOf(COMMAND), "Only these commands count. Without it: all.", ()
        ),
        Setting(
            "rules",
            Rules(COMMAND, CODE, "track_codes"),
            "In place of the lists, mode and acceptable_count: several, each with its own count.",
        ),
    ),
    prepare=_prepare,
)
