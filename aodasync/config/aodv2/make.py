# SPDX-License-Identifier: MIT
"""Makes anomalies out of the settings of AODv2's newer format, or shows what is not watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aodasync.config.anomalies.anomaly_type import Anomaly, Given
from aodasync.config.anomalies.connection import CONNECTION
from aodasync.config.anomalies.error import ErrorAnomaly, ruled
from aodasync.config.anomalies.latency import make as make_latency
from aodasync.config.anomalies.latency import thresholds_ms
from aodasync.config.anomalies.modes import distinct
from aodasync.config.anomalies.rules import errnos_and_statuses
from aodasync.config.aodv2.protocols import PROTOCOLS
from aodasync.config.document import Fields

__all__ = ["MAKERS", "plain"]


def _make_error(given: Given) -> ErrorAnomaly:
    if given.values["rules"]:
        return ruled(given)
    commands = distinct(given.values["track_commands"], given.problems)
    codes = distinct(given.values["track_errors"], given.problems)
    _report_neither(given)
    errnos, statuses = errnos_and_statuses(codes)
    return ErrorAnomaly(
        codes=errnos,
        statuses=statuses,
        excluded_statuses=frozenset(),
        named_codes=frozenset(codes),
        acceptable_count=given.acceptable_count,
        commands=tuple(sorted(commands)),
        **given.common,
    )


def _report_neither(given: Given) -> None:
    values = given.values
    if values["track_commands"] or values["track_errors"]:
        return
    if given.entry is None or given.problems.errors_below(given.key):
        return
    fields = given.entry.value.entries if isinstance(given.entry.value, Fields) else {}
    place = fields.get("track_errors") or fields.get("track_commands") or given.entry
    message = "expected track_commands, track_errors or both to name something, found neither"
    given.problems.error(place, given.key, message)


MAKERS: Final[Mapping[str, Callable[[Given], Anomaly]]] = {
    "latency": make_latency,
    "error": _make_error,
    "sockconn": CONNECTION.make,
}


def plain(protocol: str, type_: str, given: Given) -> dict[str, Any]:
    """What a type has of its own, in plain values."""
    count = {"acceptable_count": given.acceptable_count}
    if type_ == "latency":
        return count | {"thresholds_ms": thresholds_ms(given, PROTOCOLS[protocol].command)[0]}
    if type_ != "error":
        return count
    anomaly = _make_error(given)
    if not anomaly.rules:
        codes = [*anomaly.codes, *anomaly.statuses]
        return count | {"commands": list(anomaly.commands), "codes": codes}
    return {
        "rules": [
            {
                "name": rule.name,
                "acceptable_count": rule.acceptable_count,
                "commands": list(rule.commands),
                "codes": [*rule.codes, *rule.statuses],
            }
            for rule in anomaly.rules
        ]
    }
