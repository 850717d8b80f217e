# SPDX-License-Identifier: MIT
"""Connections: their trouble ends or is given up, channels are one server, all is bounded."""

from __future__ import annotations

import errno
import time

import numpy as np

from aodasync.detection.connections import Connections
from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Started
from aodasync.detection.status_codes import ErrorDetector
from aodasync.events import OPERATION, EventArray, Kind, OperationArray, Outcome, WaitsFor
from tests.builders import (
    MS,
    SECOND,
    config,
    error_anomaly,
    hang_anomaly,
    in_flight,
    latency_anomaly,
    request,
    requests,
    trouble,
    view,
)


def _server(connection_id: int) -> str:
    return f"server{connection_id}" if connection_id else "unknown"


def _waiting(started_ns: int) -> OperationArray:
    """One thread that waits for a reconnect, and does not say whose."""
    row = np.zeros(1, OPERATION)
    row["waits_for"], row["started_ns"] = WaitsFor.RECONNECT, started_ns
    row["pid"], row["xid"] = 70, 7
    return row


def test_a_server_that_never_came_back_is_no_suspect_for_ever() -> None:
    """It died and was unmounted; an hour later an operation waits for another one."""
    engine = Engine(config(hang_anomaly()), _server)
    engine.process(
        requests(
            request(released_ns=SECOND, connection_id=9, outcome=Outcome.RETRY),
            trouble(Kind.RECONNECT, at_ns=SECOND, connection_id=9),
        ),
        SECOND,
    )
    for second in range(2, 64):
        engine.look(view(second * SECOND))
    assert engine._connections.in_trouble() == frozenset()
    started: list[Started] = []
    for second in range(3600, 3610):
        started += engine.look(view(second * SECOND, operations=_waiting(3600 * SECOND)))
    assert [s.finding.server for s in started] == ["unknown"]


def test_attempts_to_mount_in_a_loop_are_given_up_and_cheap() -> None:
    """Each has a new connection; after a minute none is in trouble, and no batch took long."""
    connections = Connections(_server)
    for number in range(1, 5001):
        at_ns = number * 12 * MS
        failed = trouble(
            Kind.CONNECT_ERROR, at_ns=at_ns, connection_id=number, status=errno.ECONNREFUSED
        )
        connections.observe(failed)
        if number % 100 == 0:
            connections.look(at_ns)
    assert len(connections.in_trouble()) <= 4096
    busy = np.repeat(request(released_ns=61 * SECOND, connection_id=9999), 100)
    begun = time.process_time()
    for _ in range(100):
        connections.observe(busy)
    assert time.process_time() - begun < 0.5
    connections.look(121 * SECOND)
    assert connections.in_trouble() == frozenset()


def test_two_hundred_thousand_different_statuses() -> None:
    """A hostile server: no table grows with them, and a finding names sixteen."""
    anomaly = error_anomaly(codes=("EIO",), named_codes=frozenset({"EIO"}))
    engine = Engine(config(anomaly), _server)
    rows = np.repeat(request("SMB2_CREATE", released_ns=10 * SECOND), 200_000)
    rows["status"] = 0xC1000000 + np.arange(200_000)
    started = []
    for batch in np.split(rows, 20):
        started += engine.process(batch, 10 * SECOND)
    (ended,) = engine.tick(20 * SECOND)
    assert len(started) == 1
    assert ended.finding.count == 200_000
    assert len(ended.finding.codes) == 16
    detector = engine._slots[0].detector
    assert isinstance(detector, ErrorDetector)
    ((failures, counter),) = detector._counted
    assert failures._decide.cache_info().currsize <= 4096
    assert all(len(window.codes) < 20_000 for window in counter._windows.values())


_CHANNELS = {1: "nas", 2: "10.9.9.1", 3: "10.9.9.2", 4: "fd00::4"}


def _channels() -> EventArray:
    """A multichannel mount by name: one session on four connections."""
    commands = ("SMB2_NEGOTIATE", "SMB2_SESSION_SETUP", "SMB2_READ")
    return requests(
        *(
            request(c, released_ns=SECOND + n, connection_id=n, session_id=0xAB)
            for n in _CHANNELS
            for c in commands
        )
    )


def test_channels_of_one_session_are_one_server() -> None:
    """The extra ones are known by address alone: one hang, with all of them, on the name."""
    engine = Engine(config(hang_anomaly()), lambda n: _CHANNELS.get(n, "unknown"))
    engine.process(_channels(), 2 * SECOND)
    hung = requests(*(in_flight(issued_ns=2 * SECOND, connection_id=n) for n in (2, 4)))
    (started,) = engine.look(view(9 * SECOND, hung))
    assert started.finding.server == "nas"
    assert started.finding.count == 2
    assert started.finding.connections == (1, 2, 3, 4)


def test_a_second_server_with_the_same_session_id_is_another_one() -> None:
    """Session ids are each server's own; it has a name, or connects to shares itself."""
    connections = Connections({1: "10.0.0.1", 2: "10.0.0.2", 3: "nas3"}.__getitem__)
    first = request("SMB2_READ", released_ns=SECOND, connection_id=1, session_id=7)
    mounts = [
        request(command, released_ns=SECOND, connection_id=2, session_id=7)
        for command in ("SMB2_NEGOTIATE", "SMB2_SESSION_SETUP", "SMB2_TREE_CONNECT")
    ]
    named = request("SMB2_READ", released_ns=SECOND, connection_id=3, session_id=7)
    connections.observe(requests(first, *mounts, named))
    assert [connections.server(n) for n in (1, 2, 3)] == ["10.0.0.1", "10.0.0.2", "nas3"]
    assert connections.of_same_server([1]) == (1,)


def test_connections_that_bear_one_name_are_one_server() -> None:
    """Mounts that do not share a connection (nosharesock): the finding has both."""
    engine = Engine(config(latency_anomaly(acceptable_count=1)), lambda _: "nas")
    engine.process(request(released_ns=SECOND, connection_id=5), SECOND)
    slow = request(released_ns=2 * SECOND, latency_ns=20 * MS, connection_id=6)
    (started,) = engine.process(slow, 2 * SECOND)
    assert started.finding.connections == (5, 6)


def test_a_new_session_after_a_reconnect_replaces_the_old_one() -> None:
    """All channels reconnect: they are still one server, and nothing of the old stays."""
    connections = Connections(lambda n: _CHANNELS.get(n, "unknown"))
    connections.observe(_channels())
    later = _channels()
    later["session_id"] = 0xCD
    later["issued_ns"] += 10 * SECOND
    later["released_ns"] += 10 * SECOND
    connections.observe(later)
    assert [connections.server(n) for n in _CHANNELS] == ["nas"] * 4
    assert connections._known.channels._first == {0xCD: 1}


def test_a_negotiate_after_a_failed_attempt_is_no_reconnect() -> None:
    """The first address refused, the second one answered: a mount, and nothing was lost."""
    connections = Connections(_server)
    codes: list[str] = []
    for rows in (
        trouble(Kind.CONNECT_ERROR, at_ns=SECOND, connection_id=1, status=errno.EHOSTUNREACH),
        request("SMB2_NEGOTIATE", released_ns=2 * SECOND),
    ):
        connections.observe(rows)
        codes += connections.troubles.codes
    assert codes == ["CONNECT_ERROR"]
