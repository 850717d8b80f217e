# SPDX-License-Identifier: MIT
"""Requests in flight for too long are an anomaly while they hang."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.engine import Engine
from aodasync.events import EVENT, EventArray, Flag
from aodasync.smb.commands import COMMANDS, MAY_WAIT_FOREVER
from tests.builders import (
    MS,
    SECOND,
    config,
    hang_anomaly,
    in_flight,
    latency_anomaly,
    requests,
    view,
)

_NONE = np.zeros(0, EVENT)


def _server(connection_id: int) -> str:
    return f"server{connection_id}"


def _engine(*anomalies: object, **changes: object) -> Engine:
    return Engine(config(*anomalies, **changes), _server)  # type: ignore[arg-type]


def test_a_request_hangs_from_the_age_on() -> None:
    """Nothing a nanosecond before; then the age of the oldest, and when it crossed."""
    engine = _engine(hang_anomaly())
    rows = requests(in_flight(issued_ns=SECOND), in_flight("SMB2_ECHO", issued_ns=3 * SECOND))
    assert engine.look(view(6 * SECOND - 1, rows)) == []
    (started,) = engine.look(view(6 * SECOND + 200 * MS, rows))
    finding = started.finding
    assert (finding.type, finding.server, finding.commands) == ("hang", "server1", ("SMB2_READ",))
    assert (finding.count, finding.threshold_ms, finding.max_latency_ms) == (1, 5000.0, 5200.0)
    assert (finding.first_ns, finding.crossed_ns) == (SECOND, 6 * SECOND)
    assert finding.figures == {"in_flight": 2}


@pytest.mark.parametrize("command", sorted(MAY_WAIT_FOREVER))
def test_what_may_wait_for_ever_does_not_hang(command: str) -> None:
    """CHANGE_NOTIFY and LOCK pend for hours, unless a latency anomaly names them."""
    rows = in_flight(command, issued_ns=SECOND)
    assert _engine(hang_anomaly(), latency_anomaly()).look(view(4000 * SECOND, rows)) == []
    named = latency_anomaly(named_commands=frozenset({command}))
    assert len(_engine(hang_anomaly(), named).look(view(4000 * SECOND, rows))) == 1


@pytest.mark.parametrize("command", ["SMB2_CREATE", "SMB2_SET_INFO"])
def test_an_open_that_the_server_announced_is_reported_as_waiting_for_another_client(
    command: str,
) -> None:
    """From ``age_ms`` on, as such and not grave; one that is named is a hang like any other."""
    rows = in_flight(command, issued_ns=SECOND, flags=int(Flag.ASYNC_RESPONSE))
    engine = _engine(hang_anomaly())
    assert engine.look(view(6 * SECOND - 1, rows)) == []
    (pending,) = engine.look(view(6 * SECOND, rows))
    assert pending.finding.figures == {"in_flight": 1, "announced_opens": 1}
    assert (pending.finding.count, pending.finding.grave) == (1, False)
    named = latency_anomaly(named_commands=frozenset({command}))
    (hang,) = _engine(hang_anomaly(), named).look(view(4000 * SECOND, rows))
    assert hang.finding.figures == {"in_flight": 1}
    assert hang.finding.grave


def test_an_interim_response_grants_patience_to_other_commands() -> None:
    """A server-side copy may take its time."""
    rows = in_flight("SMB2_IOCTL", issued_ns=SECOND, flags=int(Flag.ASYNC_RESPONSE))
    assert _engine(hang_anomaly()).look(view(4000 * SECOND, rows)) == []


@pytest.mark.parametrize("command", ["SMB2_READ", "SMB2_WRITE", "SMB2_FLUSH"])
def test_an_interim_response_does_not_excuse_data(command: str) -> None:
    """Samba announces each that takes over half a millisecond: a dead disk is a hang."""
    rows = in_flight(command, issued_ns=SECOND, flags=int(Flag.ASYNC_RESPONSE))
    assert len(_engine(hang_anomaly()).look(view(6 * SECOND, rows))) == 1


def test_each_server_hangs_for_itself() -> None:
    """A hang on one server does not hide one that begins on another."""
    engine = _engine(hang_anomaly())
    first = in_flight(issued_ns=SECOND)
    assert [s.finding.server for s in engine.look(view(7 * SECOND, first))] == ["server1"]
    both = requests(first, in_flight(issued_ns=4 * SECOND, connection_id=2))
    assert engine.look(view(8 * SECOND, both)) == []
    assert [s.finding.server for s in engine.look(view(9 * SECOND, both))] == ["server2"]


def test_the_episode_lasts_while_requests_hang() -> None:
    """It goes on however long they hang, counts each once, and ends when they no longer do."""
    engine = _engine(hang_anomaly())
    rows = requests(in_flight(issued_ns=SECOND), in_flight(issued_ns=2 * SECOND, message_id=1))
    started = []
    for second in range(6, 100):
        started += engine.look(view(second * SECOND, rows))
        assert engine.tick(second * SECOND) == []
    assert len(started) == 1
    engine.look(view(100 * SECOND, _NONE))
    (ended,) = engine.tick(104 * SECOND)
    assert (ended.finding.count, ended.windows, ended.finding.max_latency_ms) == (2, 94, 98_000.0)


def test_a_request_that_was_answered_does_not_hang() -> None:
    """However old: its caller has not taken the response, or its release was not seen."""
    engine = _engine(hang_anomaly())
    answered = in_flight(issued_ns=SECOND, received_ns=2 * SECOND)
    assert engine.look(view(4000 * SECOND, answered)) == []
    both = requests(answered, in_flight(issued_ns=4000 * SECOND, message_id=1))
    (started,) = engine.look(view(4005 * SECOND, both))
    assert (started.finding.count, started.finding.figures["in_flight"]) == (1, 2)


def _one_by_one(rows: EventArray, now_ns: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        command = COMMANDS[int(row["command"])]
        announced = int(row["flags"]) & 1 and command == "SMB2_IOCTL"  # others count all the same
        waits = command in {"SMB2_LOCK", "SMB2_CHANGE_NOTIFY"} or announced
        old = now_ns - int(row["issued_ns"]) >= 5 * SECOND
        if old and not waits and not row["received_ns"]:
            server = _server(int(row["connection_id"]))
            counts[server] = counts.get(server, 0) + 1
    return counts


@settings(deadline=None)
@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("SMB2_READ", "SMB2_WRITE", "SMB2_LOCK", "SMB2_CHANGE_NOTIFY"),
                    *("SMB2_CREATE", "SMB2_IOCTL"),
                ]
            ),
            st.integers(1, 20_000),
            st.integers(1, 3),
            st.sampled_from([0, 1, 2, 3]),
            st.sampled_from([0, 1]),
        ),
        max_size=30,
    ),
    now_ms=st.integers(1, 30_000),
)
def test_agrees_with_counting_one_by_one(
    drawn: list[tuple[str, int, int, int, int]], now_ms: int
) -> None:
    """Whatever is in flight, each server's count is that of a loop over the requests."""
    rows = requests(
        *(
            in_flight(
                c, issued_ns=at * MS, connection_id=n, flags=f, message_id=i, received_ns=received
            )
            for i, (c, at, n, f, received) in enumerate(drawn)
        )
    )
    started = _engine(hang_anomaly()).look(view(now_ms * MS, rows))
    assert {s.finding.server: s.finding.count for s in started} == _one_by_one(rows, now_ms * MS)
