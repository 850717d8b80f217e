# SPDX-License-Identifier: MIT
"""Rules of an error anomaly: each counts for itself, all share one cool-down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aodasync.config import load
from aodasync.config.anomalies.rules import ErrorRule
from aodasync.config.model import ErrorAnomaly
from aodasync.detection.detector import Firing
from aodasync.detection.engine import Engine
from aodasync.detection.status_codes import ErrorDetector
from aodasync.events import EventArray, Outcome
from aodasync.smb.ntstatus import STATUS_CODES
from tests.builders import SECOND, config, context, error_anomaly, request, requests

_SAMPLES = Path(__file__).parents[1] / "config" / "aodv2_newer"
_WINDOWS = [
    (name, number, window)
    for name, expected in json.loads((_SAMPLES / "expected.json").read_text()).items()
    for number, window in enumerate(expected.get("windows", ()))
]


def _failures(*events: tuple[str, str, int], connection_id: int = 1) -> EventArray:
    rows = requests(
        *(
            request(
                command,
                released_ns=10 * SECOND,
                status=STATUS_CODES[code],
                connection_id=connection_id,
            )
            for command, code, _ in events
        )
    )
    return np.repeat(rows, [count for _, _, count in events])


def _fired(anomaly: ErrorAnomaly, rows: EventArray) -> list[str]:
    signals = ErrorDetector(anomaly, context(anomaly)).observe(rows)
    return [signal.finding.rule for signal in signals if isinstance(signal, Firing)]


def _ruled(*rules: ErrorRule) -> ErrorAnomaly:
    return replace(error_anomaly(), codes=(), named_codes=frozenset(), rules=rules)


@pytest.mark.parametrize(("name", "number", "window"), _WINDOWS)
def test_windows_of_aodv2_fire_the_same_rules(
    name: str, number: int, window: dict[str, Any]
) -> None:
    """As its documentation says; "" is the form without rules."""
    del number
    (anomaly,) = (a for a in load(_SAMPLES / name).anomalies if isinstance(a, ErrorAnomaly))
    assert _fired(anomaly, _failures(*map(tuple, window["events"]))) == window["fires"]


def test_there_are_windows_of_three_files() -> None:
    """So that the test above tests something."""
    assert len({name for name, _, _ in _WINDOWS}) == 3
    assert len(_WINDOWS) == 9


def test_a_failure_counts_for_every_rule_that_it_matches() -> None:
    """And for no other; a rule without codes counts those without a response as well."""
    anomaly = _ruled(
        ErrorRule("full", 2, codes=("ENOSPC",)),
        ErrorRule("writes", 2, commands=("SMB2_WRITE",)),
        ErrorRule("reads", 1, commands=("SMB2_READ",)),
    )
    assert _fired(anomaly, _failures(("SMB2_WRITE", "STATUS_DISK_FULL", 2))) == ["full", "writes"]
    lost = request("SMB2_READ", released_ns=10 * SECOND, outcome=Outcome.MALFORMED)
    assert _fired(anomaly, lost) == ["reads"]
    assert _fired(anomaly, request("SMB2_READ", released_ns=10 * SECOND)) == []


def test_a_rule_without_codes_leaves_out_the_expected_noise() -> None:
    """A login takes several steps; a directory ends; naming a status makes it count."""
    noise = _failures(
        ("SMB2_SESSION_SETUP", "STATUS_MORE_PROCESSING_REQUIRED", 5),
        ("SMB2_QUERY_DIRECTORY", "STATUS_NO_MORE_FILES", 5),
    )
    every = ErrorRule("all", 1, commands=("SMB2_SESSION_SETUP", "SMB2_QUERY_DIRECTORY"))
    named = ErrorRule("named", 5, statuses=("STATUS_NO_MORE_FILES",))
    assert _fired(_ruled(every, named), noise) == ["named"]


def test_a_number_without_a_name_can_be_tracked() -> None:
    """It is shown as it is written."""
    anomaly = _ruled(ErrorRule("odd", 1, statuses=("0xC00099FF",)))
    row = request("SMB2_READ", released_ns=10 * SECOND, status=0xC000_99FF)
    assert _fired(anomaly, row) == ["odd"]


def test_commands_limit_an_anomaly_without_rules() -> None:
    """The command axis of our own format."""
    anomaly = error_anomaly(codes=("ENOSPC",), commands=("SMB2_WRITE",), acceptable_count=1)
    full = "STATUS_DISK_FULL"
    assert _fired(anomaly, _failures(("SMB2_CREATE", full, 3))) == []
    assert _fired(anomaly, _failures(("SMB2_WRITE", full, 1))) == [""]


def test_each_rule_is_an_episode_and_all_share_the_cooldown() -> None:
    """Both are detected; the second one gets no bundle."""
    anomaly = _ruled(
        ErrorRule("full", 1, codes=("ENOSPC",)), ErrorRule("denied", 1, codes=("EACCES",))
    )
    engine = Engine(config(anomaly), lambda _id: "server")
    (full,) = engine.process(_failures(("SMB2_WRITE", "STATUS_DISK_FULL", 1)), 10 * SECOND)
    (denied,) = engine.process(_failures(("SMB2_READ", "STATUS_ACCESS_DENIED", 1)), 10 * SECOND)
    assert (full.finding.rule, full.suppressed) == ("full", "")
    assert (denied.finding.rule, denied.suppressed) == ("denied", "cooldown")
    assert engine.process(_failures(("SMB2_READ", "STATUS_ACCESS_DENIED", 1)), 10 * SECOND) == []
    ended = engine.tick(20 * SECOND)
    assert [(e.finding.rule, e.finding.count) for e in ended] == [("full", 1), ("denied", 2)]
