# SPDX-License-Identifier: MIT
"""Totals of requests: equal to a plain count, and bounded whatever servers say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aodasync.events import Kind
from aodasync.live.counters import BOUNDS_SEC, OTHER, RequestCounters
from aodasync.smb.commands import COMMANDS
from tests.builders import MS, SECOND, request, requests, trouble

_ROW = st.tuples(
    st.integers(1, 3),
    st.integers(0, len(COMMANDS)),
    st.integers(1, 70_000),
    st.sampled_from([0, 0xC0000022, 0xC0000034]),
)


@given(st.lists(st.lists(_ROW, max_size=12), max_size=6))
def test_totals_are_those_of_a_plain_count(batches: list[list[tuple[Any, ...]]]) -> None:
    """By server and command, bucket by bucket, however the rows were cut into batches."""
    counters = RequestCounters(lambda number: f"server{number}")
    expected: Counter[tuple[str, str, int]] = Counter()
    errors: Counter[str] = Counter()
    for batch in batches:
        rows = [
            request(
                command,
                released_ns=100 * SECOND,
                latency_ns=ms * MS,
                connection_id=c,
                status=status,
            )
            for c, command, ms, status in batch
        ]
        counters.add(requests(trouble(Kind.RECONNECT, at_ns=5), *rows))
        for c, command, ms, status in batch:
            bucket = sum(ms * MS > bound * 1e9 for bound in BOUNDS_SEC)
            name = COMMANDS[command] if command < len(COMMANDS) else OTHER
            expected[f"server{c}", name, bucket] += 1
            errors[f"server{c}"] += status != 0
    totals = counters.totals()
    found = Counter(
        {
            (entry.server, entry.command, bucket): int(count)
            for entry in totals.durations
            for bucket, count in enumerate(entry.buckets)
            if count
        }
    )
    assert found == expected
    for server, count in errors.items():
        assert sum(n for (s, _), n in totals.errors.items() if s == server) == count


def test_servers_and_statuses_are_bounded() -> None:
    """What is beyond is counted as other, none is lost."""
    counters = RequestCounters(lambda number: f"server{number}")
    rows = np.repeat(request(released_ns=SECOND), 5000)
    rows["connection_id"] = np.arange(5000)
    rows["status"] = np.arange(5000) + 0xC0000001
    counters.add(rows)
    totals = counters.totals()
    assert len({entry.server for entry in totals.durations}) <= 65
    assert sum(int(entry.buckets.sum()) for entry in totals.durations) == 5000
    assert len(totals.errors) <= 65
    assert sum(totals.errors.values()) == 5000
