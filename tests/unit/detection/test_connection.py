# SPDX-License-Identifier: MIT
"""Reconnects and other trouble of a connection count; mounting and unmounting does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.connection import ConnectionTrouble
from aodasync.detection.engine import Engine
from aodasync.events import EventArray, Kind, Outcome
from aodasync.smb.ntstatus import STATUS_CODES
from tests.unit.builders import (
    SECOND,
    config,
    connection_anomaly,
    request,
    requests,
    trouble,
)


def _codes(*rows: EventArray) -> tuple[str, ...]:
    return ConnectionTrouble().select(requests(*rows)).codes


def _mount(begin_ns: int, connection_id: int) -> EventArray:
    """What mount and umount do on a connection of their own."""
    login = STATUS_CODES["STATUS_MORE_PROCESSING_REQUIRED"]
    life = [
        ("SMB2_NEGOTIATE", 0, Outcome.ANSWERED),
        ("SMB2_SESSION_SETUP", login, Outcome.ANSWERED),
        ("SMB2_SESSION_SETUP", 0, Outcome.ANSWERED),
        ("SMB2_TREE_CONNECT", 0, Outcome.ANSWERED),
        ("SMB2_CREATE", 0, Outcome.ANSWERED),
        ("SMB2_ECHO", 0, Outcome.ANSWERED),
        ("SMB2_TREE_DISCONNECT", 0, Outcome.ANSWERED),
        ("SMB2_LOGOFF", 0, Outcome.ANSWERED),
        ("SMB2_ECHO", 0, Outcome.SHUTDOWN),
        ("SMB2_CLOSE", 0, Outcome.SHUTDOWN),
    ]
    return requests(
        *(
            request(
                command,
                released_ns=begin_ns + (n + 1) * 1000,
                latency_ns=500,
                message_id=n,
                connection_id=connection_id,
                status=status,
                outcome=outcome,
            )
            for n, (command, status, outcome) in enumerate(life)
        )
    )


def _reconnect(at_ns: int) -> list[EventArray]:
    """All the traces of one: the tracepoint, three requests cut off, the new NEGOTIATE."""
    cut = [
        request(released_ns=at_ns + n, latency_ns=1000, outcome=Outcome.RETRY) for n in range(1, 4)
    ]
    return [
        trouble(Kind.RECONNECT, at_ns=at_ns, connection_id=1),
        *cut,
        request("SMB2_NEGOTIATE", released_ns=at_ns + 900, latency_ns=100),
        request("SMB2_SESSION_SETUP", released_ns=at_ns + 999, latency_ns=50),
    ]


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 500), max_size=10), loops=st.integers(1, 50))
def test_mounting_and_unmounting_in_a_loop_is_no_trouble(cuts: list[int], loops: int) -> None:
    """Connections come and go, whatever the batching; what their end cuts off is nobody's."""
    rows = requests(*(_mount(SECOND * (n + 1), n + 1) for n in range(loops)))
    engine = Engine(config(connection_anomaly()), str)
    for batch in np.split(rows, sorted(min(cut, len(rows)) for cut in cuts)):
        assert engine.process(batch, SECOND) == []


def test_one_reconnect_counts_once() -> None:
    """Its many traces are one reconnect, and so are those of the second one."""
    rows = [request(released_ns=SECOND), *_reconnect(2 * SECOND), *_reconnect(3 * SECOND)]
    assert _codes(*rows) == ("RECONNECT", "RECONNECT")


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 7), max_size=4), left_out=st.sets(st.integers(1, 4)))
def test_any_trace_of_a_reconnect_is_enough(cuts: list[int], left_out: set[int]) -> None:
    """Whichever traces a kernel leaves, in whatever batches: one reconnect, on one server."""
    traces = [request(released_ns=SECOND), *_reconnect(2 * SECOND)]
    rows = requests(*(row for n, row in enumerate(traces) if n not in left_out))
    selector = ConnectionTrouble()
    codes: list[str] = []
    for batch in np.split(rows, sorted(min(cut, len(rows)) for cut in cuts)):
        codes += selector.select(batch).codes
    assert codes == ["RECONNECT"]


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 4), max_size=4))
def test_a_reconnect_is_over_when_requests_are_answered_again(cuts: list[int]) -> None:
    """Though its NEGOTIATE was never seen, the next reconnect is another one."""
    rows = requests(
        request(released_ns=SECOND),
        trouble(Kind.RECONNECT, at_ns=2 * SECOND, connection_id=1),
        request(released_ns=3 * SECOND, latency_ns=1000),
        trouble(Kind.RECONNECT, at_ns=4 * SECOND, connection_id=1),
    )
    selector = ConnectionTrouble()
    codes: list[str] = []
    for batch in np.split(rows, sorted(cuts)):
        codes += selector.select(batch).codes
    assert codes == ["RECONNECT", "RECONNECT"]


def test_a_straggler_of_a_reconnect_belongs_to_it() -> None:
    """A request cut off, released only after the new NEGOTIATE, is no second reconnect."""
    straggler = request(
        released_ns=2 * SECOND + 5000, latency_ns=6000, outcome=Outcome.RETRY, message_id=9
    )
    rows = [request(released_ns=SECOND), *_reconnect(2 * SECOND), straggler]
    assert _codes(*rows) == ("RECONNECT",)


def test_a_request_torn_down_under_its_caller_counts() -> None:
    """A READ that ends with the connection is trouble; an ECHO that does is an umount."""
    rows = [
        request("SMB2_READ", released_ns=SECOND, outcome=Outcome.SHUTDOWN),
        request("SMB2_ECHO", released_ns=SECOND, outcome=Outcome.SHUTDOWN),
    ]
    assert _codes(*rows) == ("SHUTDOWN",)


@pytest.mark.parametrize(
    "kind",
    [
        Kind.CREDIT_TIMEOUT,
        Kind.INSUFFICIENT_CREDITS,
        Kind.SESSION_EXPIRED,
        Kind.KEY_EXPIRED,
        Kind.CONNECT_ERROR,
        Kind.FSYNC_ERROR,
        Kind.FLUSH_ERROR,
    ],
)
def test_troubles_count_under_their_names(kind: Kind) -> None:
    """Credit starvation, expired sessions, a host that is down, lost writeback."""
    assert _codes(trouble(kind, at_ns=SECOND, connection_id=1)) == (kind.name,)


def test_the_echo_of_a_reconnect_is_no_second_one() -> None:
    """A starved caller gives back credits of the old connection long after the new one stands."""
    rows = [
        request(released_ns=SECOND),
        *_reconnect(2 * SECOND),
        trouble(Kind.RECONNECT_DETECTED, at_ns=9 * SECOND, connection_id=1),
    ]
    assert _codes(*rows) == ("RECONNECT",)


@pytest.mark.parametrize("kind", [Kind.LEASE_NOT_FOUND, Kind.EIO, Kind.TREE_CONNECT_FAILED])
def test_what_is_told_elsewhere_does_not_count_twice(kind: Kind) -> None:
    """A lease break that crossed a close is nothing; a failed tree connect has its response."""
    assert _codes(trouble(kind, at_ns=SECOND, connection_id=1)) == ()


def test_a_share_that_is_gone_is_named_by_its_status() -> None:
    """Removed under a mount, and refused when the client connects to it again."""
    rows = [
        request(released_ns=SECOND, status=STATUS_CODES["STATUS_NETWORK_NAME_DELETED"]),
        request(
            "SMB2_TREE_CONNECT", released_ns=SECOND, status=STATUS_CODES["STATUS_BAD_NETWORK_NAME"]
        ),
    ]
    assert _codes(*rows) == ("STATUS_NETWORK_NAME_DELETED", "STATUS_BAD_NETWORK_NAME")


def test_trouble_is_traced_to_its_server() -> None:
    """By the session; by the thread, where only an inode is told; else it is unknown."""
    selector = ConnectionTrouble()
    selector.select(
        requests(
            request(released_ns=SECOND, connection_id=4, session_id=40),
            request(released_ns=SECOND, connection_id=5, session_id=50),
        )
    )
    rows = requests(
        request(released_ns=SECOND, connection_id=4, pid=77, session_id=40),
        trouble(Kind.FSYNC_ERROR, at_ns=SECOND, connection_id=0, pid=77),
        trouble(Kind.SESSION_EXPIRED, at_ns=SECOND, connection_id=0, session_id=50),
        trouble(Kind.FLUSH_ERROR, at_ns=SECOND, connection_id=0, pid=99),
    )
    assert selector.select(rows).rows["connection_id"].tolist() == [4, 5, 0]


@pytest.mark.parametrize("together", [True, False])
def test_lost_data_is_that_of_the_last_write_that_failed(together: bool) -> None:
    """The kernel does not name the connection, and a kworker writes back for the process."""
    selector = ConnectionTrouble()
    full = STATUS_CODES["STATUS_DISK_FULL"]
    written = [
        request("SMB2_WRITE", released_ns=SECOND, connection_id=4, pid=1, status=full),
        request("SMB2_WRITE", released_ns=SECOND + 1, connection_id=5, pid=2),
    ]
    lost = [
        request("SMB2_CLOSE", released_ns=SECOND + 2, connection_id=5, pid=3),
        trouble(Kind.FLUSH_ERROR, at_ns=SECOND + 3, connection_id=0, pid=3),
    ]
    if not together:
        assert len(selector.select(requests(*written)).rows) == 0
        written = []
    assert selector.select(requests(*written, *lost)).rows["connection_id"].tolist() == [4]


def test_the_finding_names_what_happened() -> None:
    """Codes are the troubles, commands those of requests; the crossing is the first of them."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    rows = [request(released_ns=SECOND), *_reconnect(2 * SECOND)]
    (started,) = engine.process(requests(*rows), 3 * SECOND)
    finding = started.finding
    assert (finding.type, finding.server, finding.codes) == ("connection", "nas", ("RECONNECT",))
    assert (finding.count, finding.commands, finding.crossed_ns) == (1, (), 2 * SECOND)


def test_more_than_one_can_be_accepted() -> None:
    """With an acceptable count of two, one reconnect with all its traces fires nothing."""
    engine = Engine(config(connection_anomaly(acceptable_count=2)), str)
    first = requests(request(released_ns=SECOND), *_reconnect(2 * SECOND))
    assert engine.process(first, 3 * SECOND) == []
    assert len(engine.process(requests(*_reconnect(2 * SECOND + 5000)), 3 * SECOND)) == 1


_ATTEMPTS_SEC = [10.2, 13.3, 21.5, 29.6, 37.8]


def _killed_server() -> list[tuple[int, EventArray]]:
    """What its client sees, as (time in ns, rows): refused every 3 s, then out of reach, then up.

    An attempt that nobody answers takes 5 s, and the next one follows 3 s later
    (generic_ip_connect, __cifs_reconnect).
    """
    cut = request(released_ns=10 * SECOND, latency_ns=SECOND, outcome=Outcome.RETRY)
    began = requests(trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1), cut)
    errors = [
        trouble(Kind.CONNECT_ERROR, at_ns=round(at * SECOND), connection_id=1, status=111)
        for at in _ATTEMPTS_SEC
    ]
    up = request("SMB2_NEGOTIATE", released_ns=46 * SECOND)
    return [(int(rows["released_ns"][0]), rows) for rows in (began, *errors, up)]


def _lived(batches: list[tuple[int, EventArray]], until_sec: int) -> tuple[list[str], list[float]]:
    """Second by second: the episodes that started, and how long those lasted that ended."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    engine.process(request(released_ns=SECOND), SECOND)
    started, lasted_sec = [], []
    for second in range(2, until_sec):
        now_ns = second * SECOND
        for at_ns, rows in batches:
            if now_ns - SECOND < at_ns <= now_ns:
                started += [s.finding.codes[0] for s in engine.process(rows, now_ns)]
        engine.look(requests(), now_ns)
        lasted_sec += [ended.duration_ms / 1e3 for ended in engine.tick(now_ns)]
    return started, lasted_sec


def test_a_reconnect_that_is_retried_is_one_episode() -> None:
    """However far apart its attempts are; it ends three intervals after one succeeded."""
    started, lasted_sec = _lived(_killed_server(), 60)
    assert started == ["RECONNECT"]
    assert lasted_sec == [36.0]


def test_a_reconnect_that_gives_no_sign_for_a_minute_is_over() -> None:
    """Its mount is gone, and nothing tells so."""
    started, lasted_sec = _lived(_killed_server()[:-1], 200)
    assert started == ["RECONNECT"]
    assert len(lasted_sec) == 1
    assert lasted_sec[0] == pytest.approx(87.0, abs=2.0)


def test_waiting_for_a_reconnect_starts_no_episode() -> None:
    """Where two are needed, one reconnect and its waiting make none."""
    engine = Engine(config(connection_anomaly(acceptable_count=2)), str)
    engine.process(trouble(Kind.RECONNECT, at_ns=SECOND, connection_id=1), SECOND)
    assert [engine.look(requests(), second * SECOND) for second in range(2, 9)] == [[]] * 7
    assert engine.episodes.open_count == 0


def test_attempts_to_mount_are_no_reconnect() -> None:
    """A server that is down when it is to be mounted: an episode, and its end 3 s later."""
    attempt = trouble(Kind.CONNECT_ERROR, at_ns=10 * SECOND, connection_id=7, status=111)
    assert _lived([(10 * SECOND, attempt)], 20) == (["CONNECT_ERROR"], [1.0])
