# SPDX-License-Identifier: MIT
"""A process that waits long for each request is an anomaly, though it makes too few to count."""

from __future__ import annotations

import pytest

from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Started
from aodasync.smb.commands import COMMAND_CODES
from tests.builders import MS, SECOND, config, latency_anomaly, request, requests


def _lived(
    latency_ms: float, *, seconds: int = 60, every_ms: int = 700, others: int = 0
) -> list[Started]:
    """One request after the other on nas, from second 100 on; ``others`` are quick ones on it."""
    engine = Engine(
        config(latency_anomaly(acceptable_count=10)), lambda n: "nas" if n < 3 else "other"
    )
    started = []
    at_ms = 100_000
    while at_ms < (100 + seconds) * 1000:
        at_ns = at_ms * MS
        rows = request(released_ns=at_ns, latency_ns=round(latency_ms * MS), connection_id=1)
        started += engine.process(rows, at_ns)
        if others:
            quick = request(released_ns=at_ns + MS, latency_ns=MS, connection_id=others)
            started += engine.process(quick, at_ns)
        engine.tick(at_ns)
        at_ms += every_ms
    return started


def test_ten_windows_of_nothing_but_slow_requests_are_an_anomaly() -> None:
    """0.7 s each, one after the other: one episode, ten seconds after it began."""
    (started,) = _lived(700)
    finding = started.finding
    assert (finding.type, finding.server, finding.emergency) == ("latency", "nas", False)
    assert finding.figures == {"windows_in_a_row": 10}
    assert finding.count == 14
    assert finding.first_ns == 100 * SECOND
    assert finding.max_latency_ms == 700.0
    assert finding.threshold_ms == 100.0


def test_requests_that_are_a_little_slow_are_none() -> None:
    """30 ms where 10 are allowed: a distant server is no anomaly."""
    assert _lived(30) == []


def test_ten_seconds_are_needed() -> None:
    """Nine windows are too few."""
    assert _lived(700, seconds=9) == []


@pytest.mark.parametrize(("connection", "episodes"), [(2, 0), (3, 1)])
def test_one_quick_request_on_the_server_ends_it(connection: int, episodes: int) -> None:
    """On another connection to it, too; one on another server does not."""
    assert len(_lived(700, others=connection)) == episodes


@pytest.mark.parametrize("other", [{"tgid": 7}, {"command": COMMAND_CODES["SMB2_CLOSE"]}])
def test_a_slow_process_among_quick_ones_is_told(other: dict[str, int]) -> None:
    """Others on the server are quick, or its own requests of another command are."""
    engine = Engine(config(latency_anomaly(acceptable_count=10)), lambda _: "nas")
    started = []
    for n in range(60):
        at_ns = 100 * SECOND + n * 700 * MS
        slow = request(released_ns=at_ns, latency_ns=700 * MS, tgid=4)
        quick = request(released_ns=at_ns + MS, latency_ns=MS, **{"tgid": 4, **other})
        started += engine.process(requests(slow, quick), at_ns + MS)
    assert [s.finding.commands for s in started] == [("SMB2_READ",)]


def test_a_pause_ends_it() -> None:
    """One request in four seconds is no process that is slowed all the time."""
    assert _lived(700, every_ms=4000, seconds=200) == []


def test_what_reaches_the_count_is_counted_once() -> None:
    """Twenty a second are the windows' business; the episode's count is that of the requests."""
    engine = Engine(config(latency_anomaly(acceptable_count=10)), str)
    total = 0
    for n in range(600):
        at_ns = 100 * SECOND + n * 50 * MS
        engine.process(request(released_ns=at_ns, latency_ns=700 * MS), at_ns)
        total += 1
    (finding,) = engine.episodes.open_findings()
    assert finding.count <= total
    assert finding.count >= total - 10
