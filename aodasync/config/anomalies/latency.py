# SPDX-License-Identifier: MIT
"""``latency``: requests that take too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from aodasync.config.anomalies.anomaly_type import DAY_MS, AnomalyType, Given, acceptable_count
from aodasync.config.anomalies.modes import (
    MODE,
    choose,
    distinct,
    report_nothing_left,
    report_overlap,
    without_unused_list,
)
from aodasync.config.kinds import Number
from aodasync.config.names import COMMAND, Named
from aodasync.config.section import ListOf, Section, Setting

__all__ = ["LATENCY", "LatencyAnomaly", "make", "settings", "thresholds_ms"]


@dataclass(frozen=True, slots=True)
class LatencyAnomaly:
    """Requests slower than their command's threshold.

    ``thresholds_ms`` holds the tracked commands alone, in command order, after
    ``mode`` was applied; ``named_commands`` those that the file itself names in
    ``track_commands`` (only these count when they may wait for ever).
    """

    name: str
    thresholds_ms: Mapping[str, float]
    named_commands: frozenset[str]
    acceptable_count: int
    emergency_threshold_ms: float
    actions: tuple[str, ...]
    cooldown_sec: float
    type: str = "latency"


def thresholds_ms(given: Given, command: Named) -> tuple[dict[str, float], frozenset[str]]:
    """What ``mode`` makes of the lists: thresholds by command, and the commands named."""
    values, problems = given.values, given.problems
    rows = [row for row in values["track_commands"] if row["command"] is not None]
    tracked = distinct((row["command"] for row in rows), problems, "the last one counts")
    excluded = distinct(values["exclude_commands"], problems)
    report_overlap(tracked, excluded, problems)
    chosen = choose(values["mode"], command.known, tracked, excluded)
    if not chosen:
        report_nothing_left(given, "command")
    own_ms = {row["command"].text: row["threshold"] for row in rows}
    default_ms = values["default_threshold_ms"]
    thresholds = {name: default_ms if own_ms.get(name) is None else own_ms[name] for name in chosen}
    return thresholds, frozenset(tracked)


def make(given: Given) -> LatencyAnomaly:
    """The anomaly with the settings of :data:`LATENCY`."""
    thresholds, named = thresholds_ms(given, COMMAND)
    return LatencyAnomaly(
        thresholds_ms=thresholds,
        named_commands=named,
        acceptable_count=given.acceptable_count,
        emergency_threshold_ms=given.values["emergency_threshold_ms"],
        **given.common,
    )


def settings(command: Named) -> tuple[Setting, ...]:
    """The settings, without ``acceptable_count``, over commands of this kind."""
    return (
        MODE,
        Setting(
            "default_threshold_ms",
            Number(0),
            "A request that takes so long or longer is slow, unless its command has its own "
            "threshold.",
            10.0,
        ),
        Setting(
            "track_commands",
            ListOf(
                Section(
                    (
                        Setting("command", command, "Its name.", required=True),
                        Setting("threshold", Number(0), "In ms; else the default one."),
                    )
                )
            ),
            "Commands, each with its own threshold.",
            (),
        ),
        Setting("exclude_commands", ListOf(command), "Commands that may be slow.", ()),
        Setting(
            "emergency_threshold_ms",
            Number(1, DAY_MS),
            "One request that takes so long is an anomaly, whatever acceptable_count says.",
            1000.0,
        ),
    )


LATENCY: Final = AnomalyType(
    help="requests that take too long",
    make=make,
    settings=(acceptable_count(10), *settings(COMMAND)),
    prepare=partial(without_unused_list, noun="commands"),
)
