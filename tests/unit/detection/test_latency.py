# SPDX-License-Identifier: MIT
"""Which requests count as slow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.config.model import LatencyAnomaly
from aodasync.detection.engine import Engine
from aodasync.detection.latency import LatencyDetector
from aodasync.detection.windows import Hit
from aodasync.events import EventArray, Flag, Kind
from aodasync.smb.commands import COMMAND_CODES
from tests.builders import (
    MS,
    SECOND,
    config,
    context,
    error_anomaly,
    hang_anomaly,
    latency_anomaly,
    request,
    requests,
)


def _slow(rows: EventArray, anomaly: LatencyAnomaly) -> list[Hit]:
    return [*LatencyDetector(anomaly, context(anomaly)).select(rows)]


_WAITS = int(Flag.ASYNC_RESPONSE)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 25),  # command
            st.sampled_from([0, 9 * MS, 10 * MS, 49 * MS, 50 * MS, SECOND]),  # latency
            st.sampled_from([0, _WAITS]),
            st.sampled_from([Kind.REQUEST, Kind.RECONNECT]),
            st.sampled_from(["", "issued_ns", "released_ns"]),  # what is missing
        ),
        min_size=1,
        max_size=12,
    )
)
def test_a_few_are_judged_as_many_are(asked: list[tuple[int, int, int, Kind, str]]) -> None:
    """Which of some requests count, and as what, does not depend on how many come with them."""
    rows = requests(*(request(released_ns=9 * SECOND, latency_ns=each[1]) for each in asked))
    rows["connection_id"] = range(len(rows))
    for row, (command, _, flags, kind, missing) in zip(rows, asked, strict=True):
        row["command"], row["flags"], row["kind"] = command, flags, kind
        if missing:
            row[missing] = 0
    anomaly = latency_anomaly(
        thresholds_ms={"SMB2_READ": 50.0, "SMB2_LOCK": 10.0, "SMB2_CREATE": 10.0},
        named_commands=frozenset({"SMB2_LOCK"}),
    )
    few, many = _slow(rows, anomaly), _slow(np.concatenate([rows] * 100), anomaly)
    assert many == few * 100


def test_threshold_is_inclusive() -> None:
    """A request exactly at its threshold counts; one nanosecond less does not."""
    rows = requests(
        request(released_ns=SECOND, latency_ns=10 * MS),
        request(released_ns=SECOND, latency_ns=10 * MS - 1),
    )
    hits = _slow(rows, latency_anomaly())
    assert [(took_ns, emergency) for *_, took_ns, _, emergency, _ in hits] == [(10 * MS, False)]


def test_each_command_has_its_own_threshold() -> None:
    """A tracked command uses its threshold; an untracked one never counts, however slow."""
    anomaly = latency_anomaly(thresholds_ms={"SMB2_READ": 50.0, "SMB2_WRITE": 0.0})
    rows = requests(
        request("SMB2_READ", released_ns=SECOND, latency_ns=49 * MS),
        request("SMB2_WRITE", released_ns=SECOND, latency_ns=1),
        request("SMB2_CREATE", released_ns=60 * SECOND, latency_ns=30 * SECOND),
    )
    hits = _slow(rows, anomaly)
    assert [command for _, _, command, *_ in hits] == [COMMAND_CODES["SMB2_WRITE"]]


def test_a_threshold_beyond_all_bounds_is_never_reached() -> None:
    """Nanoseconds since ever would not hold it; an emergency still fires."""
    anomaly = latency_anomaly(thresholds_ms={"SMB2_READ": 1e308, "SMB2_WRITE": 1e13})
    slow = request(released_ns=9 * SECOND, latency_ns=SECOND // 2)
    assert len(_slow(slow, anomaly)) == 0
    worse = request(released_ns=9 * SECOND, latency_ns=2 * SECOND)
    assert [emergency for *_, emergency, _ in _slow(worse, anomaly)] == [True]


def test_emergency_fires_alone_even_under_a_higher_threshold() -> None:
    """A request at the emergency threshold is an emergency though its own threshold is higher."""
    anomaly = latency_anomaly(thresholds_ms={"SMB2_READ": 5000.0})
    hits = _slow(request(released_ns=9 * SECOND, latency_ns=SECOND), anomaly)
    assert [emergency for *_, emergency, _ in hits] == [True]


@pytest.mark.parametrize(
    ("command", "flags"),
    [("SMB2_CHANGE_NOTIFY", 0), ("SMB2_LOCK", 0), ("SMB2_CREATE", Flag.ASYNC_RESPONSE)],
)
def test_requests_that_may_wait_for_ever_count_only_when_named(command: str, flags: int) -> None:
    """CHANGE_NOTIFY, LOCK and requests with an interim response are slow only if named."""
    row = request(command, released_ns=9000 * SECOND, latency_ns=3600 * SECOND, flags=flags)
    assert len(_slow(row, latency_anomaly())) == 0
    named = latency_anomaly(named_commands=frozenset({command}))
    assert len(_slow(row, named)) == 1


@pytest.mark.parametrize("command", ["SMB2_READ", "SMB2_WRITE", "SMB2_FLUSH"])
def test_an_interim_response_does_not_excuse_data(command: str) -> None:
    """READ, WRITE and FLUSH are slow though announced as pending, and an emergency as well."""
    row = request(
        command, released_ns=9 * SECOND, latency_ns=SECOND, flags=int(Flag.ASYNC_RESPONSE)
    )
    hits = _slow(row, latency_anomaly())
    assert [emergency for *_, emergency, _ in hits] == [True]


def test_rows_that_are_no_complete_request_never_count() -> None:
    """Trouble events, unknown starts and unknown commands have no latency."""
    rows = requests(
        request(released_ns=5 * SECOND, latency_ns=SECOND, kind=Kind.RECONNECT),
        request(released_ns=5 * SECOND, latency_ns=SECOND, issued_ns=0),
        request(0x7777, released_ns=5 * SECOND, latency_ns=SECOND),
    )
    assert len(_slow(rows, latency_anomaly())) == 0


def test_urgent_is_the_lowest_emergency_threshold_but_not_of_what_may_wait() -> None:
    """Of all latency anomalies; nothing for LOCK, which is not named, nor for WRITE."""
    engine = Engine(
        config(
            latency_anomaly(thresholds_ms={"SMB2_READ": 1.0, "SMB2_LOCK": 1.0}),
            latency_anomaly(
                name="strict", thresholds_ms={"SMB2_READ": 1.0}, emergency_threshold_ms=200.0
            ),
        ),
        str,
    )
    assert engine.urgency().latency_ns == {COMMAND_CODES["SMB2_READ"]: 200 * MS}


def test_announced_requests_are_urgent_if_named_or_data() -> None:
    """The kernel wakes for READ, WRITE, FLUSH and what any latency anomaly names."""
    other = latency_anomaly(name="other", named_commands=frozenset({"SMB2_CREATE"}))
    engine = Engine(config(latency_anomaly(), other), str)
    names = ("SMB2_CREATE", "SMB2_FLUSH", "SMB2_READ", "SMB2_WRITE")
    assert engine.urgency().announced_too == {COMMAND_CODES[name] for name in names}


def test_without_a_latency_anomaly_nothing_is_urgent() -> None:
    """The kernel is left to its batches."""
    urgency = Engine(config(hang_anomaly(), error_anomaly()), str).urgency()
    assert (urgency.latency_ns, urgency.announced_too) == ({}, frozenset())
