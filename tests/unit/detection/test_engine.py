# SPDX-License-Identifier: MIT
"""Windows and episodes: what fires, once, whatever the batching."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.config.model import Collector, Config, LatencyAnomaly
from aodasync.detection.connection import ConnectionDetector
from aodasync.detection.detector import Detector, Firing
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Started
from aodasync.detection.latency import LatencyDetector
from aodasync.detection.status_codes import ErrorDetector
from aodasync.events import EVENT, EventArray, Kind, Outcome
from tests.builders import (
    MS,
    SECOND,
    config,
    connection_anomaly,
    context,
    error_anomaly,
    latency_anomaly,
    request,
    requests,
)


def _server(connection_id: int) -> str:
    return f"server{connection_id}"


def _engine(*anomalies: object, **changes: object) -> Engine:
    return Engine(config(*anomalies, **changes), _server)  # type: ignore[arg-type]


def _slow(released_ns: int, **fields: int) -> EventArray:
    return request(released_ns=released_ns, latency_ns=20 * MS, **fields)


def test_fires_at_the_acceptable_count_and_not_before() -> None:
    """Two slow requests in a window are accepted; the third fires and is the crossing."""
    engine = _engine(latency_anomaly())
    first = requests(_slow(10 * SECOND + 1), _slow(10 * SECOND + 2))
    assert engine.process(first, 10 * SECOND + 3) == []
    (started,) = engine.process(_slow(10 * SECOND + 9), 10 * SECOND + 9)
    finding = started.finding
    assert (finding.count, finding.server, finding.commands) == (3, "server1", ("SMB2_READ",))
    assert finding.crossed_ns == 10 * SECOND + 9
    assert finding.threshold_ms == 10.0
    assert finding.max_latency_ms == 20.0
    assert not finding.emergency
    assert started.suppressed == ""


def test_an_episode_is_told_before_the_rest_is_worked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The detectors after the one that fired have not seen the batch yet; then they do."""
    asked: list[EventArray] = []

    def observe(_detector: Detector, rows: EventArray) -> tuple[()]:
        asked.append(rows)
        return ()

    monkeypatch.setattr(ErrorDetector, "observe", observe)
    engine = _engine(latency_anomaly(acceptable_count=1), error_anomaly())
    told = engine.decide(_slow(10 * SECOND), 10 * SECOND)
    assert next(told).finding.anomaly == "latency"
    assert asked == []
    assert list(told) == []
    assert len(asked) == 1


def test_counts_do_not_cross_windows_or_servers() -> None:
    """Three slow requests fire nothing when a window or a server holds only two of them."""
    engine = _engine(latency_anomaly())
    rows = requests(_slow(11 * SECOND - 2), _slow(11 * SECOND - 1), _slow(11 * SECOND))
    assert engine.process(rows, 12 * SECOND) == []
    rows = requests(
        _slow(12 * SECOND), _slow(12 * SECOND + 1), _slow(12 * SECOND + 2, connection_id=2)
    )
    assert engine.process(rows, 13 * SECOND) == []


def test_connections_of_one_server_count_together() -> None:
    """The channels of a multichannel session are one server."""
    engine = Engine(config(latency_anomaly()), lambda _: "nas")
    rows = requests(*(_slow(SECOND + i, connection_id=i) for i in range(3)))
    (started,) = engine.process(rows, 2 * SECOND)
    assert started.finding.server == "nas"


def test_one_emergency_fires_at_once() -> None:
    """A single request of a second or more needs no company."""
    engine = _engine(latency_anomaly(acceptable_count=100))
    (started,) = engine.process(request(released_ns=9 * SECOND, latency_ns=SECOND), 9 * SECOND)
    assert started.finding.emergency
    assert started.finding.count == 1


def test_an_episode_is_reported_once_and_ends_after_three_quiet_intervals() -> None:
    """Windows that go on firing belong to one episode; its end sums them up."""
    engine = _engine(latency_anomaly(acceptable_count=1))
    started = []
    for second in range(10, 15):
        started += engine.process(requests(_slow(second * SECOND), _slow(second * SECOND + 5)), 0)
        assert engine.tick(second * SECOND + 500 * MS) == []
    assert len(started) == 1
    assert engine.tick(18 * SECOND - 1) == []
    (ended,) = engine.tick(18 * SECOND)
    assert (ended.finding.count, ended.windows, ended.episode) == (10, 5, started[0].episode)
    assert engine.episodes.open_count == 0


def test_cooldown_holds_back_the_bundle_not_the_news() -> None:
    """A second episode within the cool-down starts, suppressed; after it, with a bundle again."""
    engine = _engine(latency_anomaly(acceptable_count=1, cooldown_sec=60.0))
    reasons = []
    for second in (10, 30, 71):
        (started,) = engine.process(_slow(second * SECOND), second * SECOND)
        reasons.append(started.suppressed)
        engine.tick((second + 10) * SECOND)
    assert reasons == ["", "cooldown", ""]
    assert engine.episodes.suppressed == 1


def test_an_anomaly_on_one_server_never_hides_one_on_another() -> None:
    """Cool-down and episodes are per server."""
    engine = _engine(latency_anomaly(acceptable_count=1))
    rows = requests(_slow(SECOND), _slow(SECOND + 1, connection_id=2))
    assert [s.suppressed for s in engine.process(rows, SECOND)] == ["", ""]


def test_hourly_budget_is_global() -> None:
    """Beyond max_bundles_per_hour no server gets a bundle, until an hour has passed."""
    anomaly = latency_anomaly(acceptable_count=1, cooldown_sec=0.0)
    engine = _engine(anomaly, collector=Collector(max_bundles_per_hour=2))
    reasons = []
    for server in range(1, 4):
        (started,) = engine.process(_slow(SECOND, connection_id=server), SECOND)
        reasons.append(started.suppressed)
    assert reasons == ["", "", "hourly budget"]
    engine.tick(100 * SECOND)
    (started,) = engine.process(_slow(3602 * SECOND), 3602 * SECOND)
    assert started.suppressed == ""


def test_latency_and_error_are_separate_anomalies() -> None:
    """A slow failing request counts for both, under both names."""
    engine = _engine(latency_anomaly(acceptable_count=1), error_anomaly(acceptable_count=1))
    row = request("SMB2_CREATE", released_ns=SECOND, latency_ns=20 * MS, status=0xC0000022)
    started = engine.process(row, SECOND)
    assert {s.finding.anomaly: s.finding.codes for s in started} == {
        "latency": (),
        "error": ("STATUS_ACCESS_DENIED",),
    }


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 6 * SECOND // MS - 1),  # release time, ms
        st.sampled_from([1, 9, 10, 11, 999, 1000, 2500]),  # latency, ms
        st.integers(1, 2),  # connection
        st.sampled_from(["SMB2_READ", "SMB2_WRITE", "SMB2_LOCK"]),
    ),
    max_size=60,
)


def _stream(drawn: list[tuple[int, int, int, str]]) -> EventArray:
    rows = [
        request(
            command,
            released_ns=100 * SECOND + at * MS,
            latency_ns=latency * MS,
            connection_id=connection,
        )
        for at, latency, connection, command in sorted(drawn)
    ]
    return requests(*rows)


def _naive(settings_: Config, rows: EventArray) -> dict[tuple[str, int], tuple[int, bool]]:
    """Per (server, window): how many counted and whether it fires, one event at a time."""
    (anomaly,) = settings_.anomalies
    assert isinstance(anomaly, LatencyAnomaly)
    counts: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        latency_ms = int(row["released_ns"] - row["issued_ns"]) / MS
        name = {8: "SMB2_READ", 9: "SMB2_WRITE", 10: "SMB2_LOCK"}[int(row["command"])]
        if name == "SMB2_LOCK":
            continue
        if latency_ms >= min(anomaly.thresholds_ms[name], anomaly.emergency_threshold_ms):
            key = (_server(int(row["connection_id"])), int(row["released_ns"]) // SECOND)
            counts[key].append(latency_ms)
    return {
        key: (len(slow), len(slow) >= anomaly.acceptable_count or max(slow) >= 1000)
        for key, slow in counts.items()
    }


@settings(deadline=None)
@given(drawn=_ROWS, cuts=st.lists(st.integers(0, 60), max_size=8), accept=st.integers(1, 4))
def test_any_batching_agrees_with_a_naive_oracle(
    drawn: list[tuple[int, int, int, str]], cuts: list[int], accept: int
) -> None:
    """However the stream is cut, the windows fire as counting one by one says."""
    rows = _stream(drawn)
    settings_ = config(latency_anomaly(acceptable_count=accept))
    detector = LatencyDetector(latency_anomaly(acceptable_count=accept), context(server_of=_server))
    fired: dict[tuple[str, int], int] = {}
    for batch in np.split(rows, sorted(min(cut, len(rows)) for cut in cuts)):
        for firing in detector.observe(batch):
            assert isinstance(firing, Firing)
            fired[firing.finding.server, firing.window] = firing.finding.count
    expected = {key: count for key, (count, fires) in _naive(settings_, rows).items() if fires}
    assert fired == expected


@settings(deadline=None)
@given(
    drawn=_ROWS,
    cooldown_sec=st.integers(0, 5),
    budget=st.integers(1, 5),
    accept=st.integers(1, 3),
)
def test_bundles_obey_cooldown_and_budget_for_any_stream(
    drawn: list[tuple[int, int, int, str]], cooldown_sec: int, budget: int, accept: int
) -> None:
    """No server gets two bundles within a cool-down, nor all together more than the budget."""
    anomaly = latency_anomaly(acceptable_count=accept, cooldown_sec=float(cooldown_sec))
    engine = _engine(anomaly, collector=Collector(max_bundles_per_hour=budget))
    bundles: list[tuple[int, Started]] = []
    for row in _stream(drawn):
        now_ns = int(row["released_ns"])
        engine.tick(now_ns)
        batch = np.array([row], EVENT)
        bundles += [(now_ns, s) for s in engine.process(batch, now_ns) if not s.suppressed]
    assert len(bundles) <= budget
    for server in ("server1", "server2"):
        times = [t for t, s in bundles if s.finding.server == server]
        assert all(b - a >= cooldown_sec * SECOND for a, b in pairwise(times))


_MIXED = st.lists(
    st.tuples(
        st.integers(0, 4000),  # release time, ms
        st.sampled_from([1, 20, 1500]),  # latency, ms
        st.integers(1, 2),  # connection
        st.sampled_from(["SMB2_NEGOTIATE", "SMB2_CREATE", "SMB2_READ", "SMB2_ECHO"]),
        st.sampled_from([0, 0, 0xC0000022, 0xC00000C9]),
        st.sampled_from([Outcome.ANSWERED, Outcome.ANSWERED, Outcome.RETRY, Outcome.SHUTDOWN]),
        st.sampled_from([Kind.REQUEST, Kind.REQUEST, Kind.RECONNECT, Kind.CREDIT_TIMEOUT]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(drawn=_MIXED, cuts=st.lists(st.integers(0, 40), max_size=8))
def test_no_split_of_a_stream_loses_an_anomaly(
    drawn: list[tuple[int, int, int, str, int, Outcome, Kind]], cuts: list[int]
) -> None:
    """Latency, error and connection: cut anywhere, the same windows fire with the same counts."""
    rows = requests(
        *(
            request(
                command,
                released_ns=100 * SECOND + at * MS,
                latency_ns=latency * MS,
                connection_id=connection,
                status=status,
                outcome=outcome,
                kind=kind,
            )
            for at, latency, connection, command, status, outcome, kind in sorted(drawn)
        )
    )
    assert _fired([rows]) == _fired(np.split(rows, sorted(min(cut, len(rows)) for cut in cuts)))


def _fired(batches: list[EventArray]) -> dict[tuple[str, str, int], int]:
    """Counts by anomaly, server and window, as last fired."""
    shared = context(server_of=_server)
    detectors: tuple[Detector, ...] = (
        LatencyDetector(latency_anomaly(), shared),
        ErrorDetector(error_anomaly(), shared),
        ConnectionDetector(connection_anomaly(), shared),
    )
    fired = {}
    for batch in batches:
        for detector in detectors:
            for firing in detector.observe(batch):
                assert isinstance(firing, Firing)
                finding = firing.finding
                fired[finding.anomaly, finding.server, firing.window] = finding.count
    return fired
