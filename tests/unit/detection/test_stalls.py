# SPDX-License-Identifier: MIT
"""Operations that wait for credits or for a reconnect hang, though no request of theirs does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.detector import Firing
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Started
from aodasync.detection.hang import HangDetector
from aodasync.events import EVENT, OPERATION, Kind, OperationArray, Outcome, WaitsFor
from tests.builders import (
    MS,
    SECOND,
    config,
    context,
    hang_anomaly,
    in_flight,
    request,
    requests,
    trouble,
    view,
)

_NONE = np.zeros(0, EVENT)


def operation(
    waits_for: WaitsFor = WaitsFor.RECONNECT, *, started_ns: int, **fields: Any
) -> OperationArray:
    """One operation inside the client, as an array of one row."""
    row = np.zeros(1, OPERATION)
    row["waits_for"], row["started_ns"] = waits_for, started_ns
    row["xid"], row["pid"], row["tgid"] = 7, 70, 71
    row["comm"], row["function"] = b"ls", b"cifs_readdir"
    for name, value in fields.items():
        row[name] = value
    return row


def _server(connection_id: int) -> str:
    return f"server{connection_id}" if connection_id else "unknown"


def _engine() -> Engine:
    return Engine(config(hang_anomaly()), _server)


def _watch(engine: Engine, rows: OperationArray, seconds: range, *flying: Any) -> list[Started]:
    """Look once a second at the same."""
    started: list[Started] = []
    for second in seconds:
        started += engine.look(view(second * SECOND, requests(*flying), rows))
        engine.tick(second * SECOND)
    return started


@pytest.mark.parametrize("waits_for", [WaitsFor.CREDITS, WaitsFor.RECONNECT])
def test_an_operation_stalls_from_the_age_on(waits_for: WaitsFor) -> None:
    """Five seconds after it was first seen without a request; it is reported with its owner."""
    engine = _engine()
    rows = operation(waits_for, started_ns=SECOND)
    assert _watch(engine, rows, range(2, 7)) == []
    (started,) = _watch(engine, rows, range(7, 30))
    finding = started.finding
    assert (finding.type, finding.server, finding.commands) == ("hang", "unknown", ())
    assert (finding.count, finding.max_latency_ms, finding.first_ns) == (1, 5000.0, 2 * SECOND)
    name = waits_for.name.lower()
    assert finding.figures == {"in_flight": 0, f"waiting_for_{name}": 1}
    (stall,) = finding.stalls
    assert (stall.pid, stall.tgid, stall.comm, stall.function) == (70, 71, "ls", "cifs_readdir")
    assert (stall.waits_for, stall.age_ms, stall.quiet_ms) == (name, 6000.0, 5000.0)


@pytest.mark.parametrize("waits_for", [WaitsFor.UNKNOWN, WaitsFor.RESPONSE])
def test_other_waits_are_no_stall(waits_for: WaitsFor) -> None:
    """Locks that wait for ever, mounts, writeback by another thread, a response."""
    rows = operation(waits_for, started_ns=SECOND)
    assert _watch(_engine(), rows, range(2, 4000, 10)) == []


def test_who_waits_inside_the_client_with_nothing_on_the_wire_stalls() -> None:
    """It is told after the age, of no server."""
    rows = operation(WaitsFor.CLIENT, started_ns=SECOND)
    (started,) = _watch(_engine(), rows, range(2, 30))
    assert started.finding.server == "unknown"
    assert started.finding.figures == {"in_flight": 0, "waiting_for_client": 1}


def test_a_lock_whose_holder_may_wait_for_the_server_is_no_stall_of_the_client() -> None:
    """While any request is old, even one that may wait for ever, or a connection in trouble."""
    rows = operation(WaitsFor.CLIENT, started_ns=SECOND)
    flying = [in_flight("SMB2_LOCK", issued_ns=SECOND, pid=99)]
    assert _watch(_engine(), rows, range(2, 60), *flying) == []
    engine = _engine()
    engine.process(request(released_ns=SECOND), SECOND)
    engine.process(trouble(Kind.RECONNECT, at_ns=2 * SECOND, connection_id=1), 2 * SECOND)
    assert _watch(engine, rows, range(3, 40)) == []


def test_who_has_a_request_in_flight_does_not_stall() -> None:
    """It is on its way; how long it takes is the request's affair."""
    rows = operation(WaitsFor.CREDITS, started_ns=SECOND)
    flying = [in_flight("SMB2_CHANGE_NOTIFY", issued_ns=SECOND, pid=70)]
    assert _watch(_engine(), rows, range(2, 40), *flying) == []


def test_who_gets_credits_now_and_then_does_not_stall() -> None:
    """A long operation that waits for credits at each look, with requests in between."""
    engine = _engine()
    rows = operation(WaitsFor.CREDITS, started_ns=SECOND)
    for second in range(2, 60):
        engine.process(request(released_ns=second * SECOND - 500 * MS, pid=70), second * SECOND)
        assert engine.look(view(second * SECOND, _NONE, rows)) == []
    assert len(_watch(engine, rows, range(60, 70))) == 1


def test_it_lasts_as_long_as_the_stall() -> None:
    """One episode, which ends when the operation goes on."""
    engine = _engine()
    rows = operation(started_ns=SECOND)
    assert len(_watch(engine, rows, range(2, 60))) == 1
    engine.look(view(60 * SECOND, _NONE))
    (ended,) = engine.tick(64 * SECOND)
    assert (ended.finding.count, ended.windows) == (1, 53)


def test_it_counts_with_the_requests_that_hang() -> None:
    """One anomaly a server, whatever the processes wait for."""
    engine = _engine()
    flying = [in_flight(issued_ns=SECOND, pid=1)]
    rows = operation(WaitsFor.CREDITS, started_ns=2 * SECOND)
    (started,) = _watch(engine, rows, range(2, 20), *flying)
    assert (started.finding.server, started.finding.count) == ("server1", 1)
    (ended,) = engine.tick(40 * SECOND)
    assert ended.finding.figures == {"in_flight": 1, "waiting_for_credits": 1}
    assert ended.finding.count == 2


def test_the_server_is_that_of_the_operations_own_request() -> None:
    """One that was in flight before, in the same operation; another's trouble is not its."""
    engine = _engine()
    rows = operation(started_ns=SECOND)
    engine.look(view(2 * SECOND, in_flight(issued_ns=SECOND, pid=70, connection_id=2), rows))
    engine.process(trouble(Kind.RECONNECT, at_ns=2 * SECOND, connection_id=3), 2 * SECOND)
    (started,) = _watch(engine, rows, range(3, 20))
    assert started.finding.server == "server2"


def test_a_request_of_an_earlier_operation_proves_nothing() -> None:
    """The thread may be on another server's mount by now."""
    engine = _engine()
    before = operation(started_ns=SECOND, xid=6)
    engine.look(view(2 * SECOND, in_flight(issued_ns=SECOND, pid=70, connection_id=2), before))
    (started,) = _watch(engine, operation(started_ns=3 * SECOND), range(3, 20))
    assert started.finding.server == "unknown"


def test_the_server_is_the_one_in_trouble() -> None:
    """If only one is: reconnecting, or with requests that hang; until it answers again."""
    engine = _engine()
    engine.process(trouble(Kind.RECONNECT, at_ns=SECOND, connection_id=2), SECOND)
    rows = operation(started_ns=2 * SECOND)
    assert [s.finding.server for s in _watch(engine, rows, range(3, 20))] == ["server2"]
    engine.process(request(released_ns=21 * SECOND, connection_id=2), 21 * SECOND)
    assert [s.finding.server for s in _watch(engine, rows, range(21, 30))] == ["unknown"]


@pytest.mark.parametrize(
    ("waits_for", "ages_ns", "server"),
    [
        (WaitsFor.CREDITS, {2: SECOND, 3: SECOND - 1}, "server2"),
        (WaitsFor.CREDITS, {2: SECOND - 1}, "server2"),
        (WaitsFor.CREDITS, {2: SECOND - 1, 3: SECOND - 1}, "unknown"),
        (WaitsFor.RECONNECT, {2: SECOND}, "server2"),
        (WaitsFor.RECONNECT, {2: SECOND - 1}, "unknown"),
    ],
)
def test_whose_requests_are_in_flight_may_be_the_server(
    waits_for: WaitsFor, ages_ns: dict[int, int], server: str
) -> None:
    """Requests that wait for a second tell it; any, if they are all that holds credits."""
    engine = _engine()
    rows = operation(waits_for, started_ns=SECOND)
    started = []
    for second in range(2, 9):
        flying = [
            in_flight(issued_ns=second * SECOND - age_ns, pid=1, connection_id=connection)
            for connection, age_ns in ages_ns.items()
        ]
        started += engine.look(view(second * SECOND, requests(*flying), rows))
    assert [each.finding.server for each in started] == [server]


def test_of_two_servers_in_trouble_it_is_not_known() -> None:
    """No guess."""
    engine = _engine()
    cut = request(released_ns=SECOND, connection_id=1, outcome=Outcome.RETRY)
    refused = trouble(Kind.CONNECT_ERROR, at_ns=SECOND, connection_id=2)
    engine.process(requests(cut, refused), SECOND)
    rows = operation(started_ns=2 * SECOND)
    assert [s.finding.server for s in _watch(engine, rows, range(3, 20))] == ["unknown"]


def _naive(history: list[list[tuple[int, int, int, bool]]], age: int) -> set[int]:
    """Threads that wait at the last look, and did without a request at each of the last ones."""
    stalled = set()
    last = len(history) - 1
    for thread, started, waits_for, busy in history[-1]:
        since = last
        if waits_for < 2 or busy:
            continue
        while since > 0 and any(
            t == thread and w >= 2 and not b for t, _, w, b in history[since - 1]
        ):
            since -= 1
        if last - max(since, started) >= age:
            stalled.add(thread)
    return stalled


@settings(deadline=None, max_examples=60)
@given(
    looks=st.lists(
        st.lists(
            st.tuples(
                st.integers(1, 4),
                st.integers(0, 10),
                st.sampled_from([0, 1, 2, 3, 2, 3]),
                st.sampled_from([False, False, False, True]),
            ),
            unique_by=lambda drawn: drawn[0],
            max_size=4,
        ),
        min_size=1,
        max_size=30,
    )
)
def test_agrees_with_looking_thread_by_thread(
    looks: list[list[tuple[int, int, int, bool]]],
) -> None:
    """Whatever is inside the client at each look, and whatever threads have in flight."""
    detector = HangDetector(hang_anomaly(), context(server_of=_server))
    history: list[list[tuple[int, int, int, bool]]] = []
    for second, drawn in enumerate(looks):
        inside = [(t, min(started, second), w, b) for t, started, w, b in drawn]
        history.append(inside)
        rows = np.zeros(len(inside), OPERATION)
        for row, (thread, started, waits_for, _) in zip(rows, inside, strict=True):
            row["pid"], row["xid"], row["waits_for"] = thread, thread, waits_for
            row["started_ns"] = (started + 100) * SECOND
        flying = [in_flight(issued_ns=(second + 100) * SECOND, pid=t) for t, _, _, b in inside if b]
        now = view((second + 100) * SECOND, requests(*flying), rows)
        firings = [each for each in detector.look(now) if isinstance(each, Firing)]
        found = {stall.pid for firing in firings for stall in firing.finding.stalls}
        assert found == _naive(history, 5)
