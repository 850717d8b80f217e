# SPDX-License-Identifier: MIT
"""Reconnects and other trouble of a connection count; mounting and unmounting does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.detection.connections import Connections, Troubles
from aodasync.detection.engine import Engine
from aodasync.events import EventArray, Kind, Outcome
from aodasync.smb.ntstatus import STATUS_CODES
from tests.builders import (
    MS,
    SECOND,
    config,
    connection_anomaly,
    request,
    requests,
    trouble,
    view,
)

_IO_TIMEOUT = STATUS_CODES["STATUS_IO_TIMEOUT"]


def _troubles(connections: Connections, rows: EventArray) -> Troubles:
    connections.observe(rows)
    return connections.troubles


def _codes(*rows: EventArray) -> tuple[str, ...]:
    return _troubles(Connections(str), requests(*rows)).codes


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
    """Connections come and go, whatever the batching; what their end cuts off is no loss."""
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
    connections = Connections(str)
    codes: list[str] = []
    for batch in np.split(rows, sorted(min(cut, len(rows)) for cut in cuts)):
        codes += _troubles(connections, batch).codes
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
    connections = Connections(str)
    codes: list[str] = []
    for batch in np.split(rows, sorted(cuts)):
        codes += _troubles(connections, batch).codes
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
def test_what_is_reported_elsewhere_does_not_count_twice(kind: Kind) -> None:
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
    """By the session; by the thread, where only an inode is given; else it is unknown."""
    connections = Connections(str)
    connections.observe(
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
    assert _troubles(connections, rows).rows["connection_id"].tolist() == [4, 5, 0]


@pytest.mark.parametrize("together", [True, False])
def test_lost_data_is_that_of_the_last_write_that_failed(together: bool) -> None:
    """The kernel does not name the connection, and a kworker writes back for the process."""
    connections = Connections(str)
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
        assert len(_troubles(connections, requests(*written)).rows) == 0
        written = []
    assert _troubles(connections, requests(*written, *lost)).rows["connection_id"].tolist() == [4]


@pytest.mark.parametrize(("troubled", "found"), [([4], 4), ([4, 5], 0)])
def test_data_is_lost_where_there_is_trouble(troubled: list[int], found: int) -> None:
    """Without a write that failed: the client gave it up before it was sent."""
    connections = Connections(str)
    connections.observe(
        requests(*(request(released_ns=SECOND, connection_id=number) for number in (4, 5)))
    )
    for number in troubled:
        connections.observe(
            requests(trouble(Kind.RECONNECT, at_ns=2 * SECOND, connection_id=number, pid=1))
        )
    lost = requests(trouble(Kind.FLUSH_ERROR, at_ns=9 * SECOND, connection_id=0, pid=7))
    assert _troubles(connections, lost).rows["connection_id"].tolist() == [found]


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

    An attempt without an answer takes 5 s, and the next one follows 3 s later
    (generic_ip_connect, __cifs_reconnect).
    """
    cut = request(released_ns=10 * SECOND, latency_ns=SECOND, outcome=Outcome.RETRY)
    began = requests(trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1), cut)
    errors = [
        trouble(Kind.CONNECT_ERROR, at_ns=round(at * SECOND), connection_id=1, status=111)
        for at in _ATTEMPTS_SEC
    ]
    login = request("SMB2_SESSION_SETUP", released_ns=46 * SECOND + 5)
    up = requests(request("SMB2_NEGOTIATE", released_ns=46 * SECOND), login)
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
        engine.look(view(now_ns))
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
    assert [engine.look(view(second * SECOND)) for second in range(2, 9)] == [[]] * 7
    assert engine.episodes.open_count == 0


def test_attempts_to_mount_are_no_reconnect() -> None:
    """A server that is down when it is to be mounted: an episode, and its end 3 s later."""
    attempt = trouble(Kind.CONNECT_ERROR, at_ns=10 * SECOND, connection_id=7, status=111)
    assert _lived([(10 * SECOND, attempt)], 20) == (["CONNECT_ERROR"], [1.0])


def _login(at_ns: int, status: str) -> EventArray:
    return request("SMB2_SESSION_SETUP", released_ns=at_ns, status=STATUS_CODES.get(status, 0))


def _rotated_password() -> list[tuple[int, EventArray]]:
    """Smbd restarts; from then on each login is refused, every 5 s for a minute."""
    restart = requests(*_reconnect(10 * SECOND)[:-1])
    logins = [
        requests(
            _login(at * SECOND, "STATUS_MORE_PROCESSING_REQUIRED"),
            _login(at * SECOND + 5, "STATUS_LOGON_FAILURE"),
        )
        for at in range(11, 70, 5)
    ]
    works = requests(
        _login(72 * SECOND, ""), request("SMB2_READ", released_ns=72 * SECOND + 9, latency_ns=5)
    )
    return [(int(rows["released_ns"][0]), rows) for rows in (restart, *logins, works)]


def test_refused_logins_are_one_episode_until_a_session_works() -> None:
    """It began as a reconnect; the NTSTATUS is named, and the steps of a login are no errors."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    engine.process(request(released_ns=SECOND), SECOND)
    started, ended, codes = [], [], set()
    for second in range(2, 90):
        now_ns = second * SECOND
        for at_ns, rows in _rotated_password():
            if now_ns - SECOND < at_ns <= now_ns:
                started += engine.process(rows, now_ns)
        engine.look(view(now_ns))
        codes |= {code for f in engine.episodes.open_findings() for code in f.codes}
        ended += engine.tick(now_ns)
    assert len(started) == 1
    assert [round(e.duration_ms / 1000) for e in ended] == [62]
    assert codes == {"RECONNECT", "STATUS_LOGON_FAILURE"}


def test_an_echo_does_not_end_refused_logins() -> None:
    """Few logins, with ECHOs answered in between: one episode."""
    batches = _rotated_password()[:2]
    for at in (20, 40, 60):
        batches.append((at * SECOND, request("SMB2_ECHO", released_ns=at * SECOND)))
    batches.append((65 * SECOND, _login(65 * SECOND, "STATUS_LOGON_FAILURE")))
    started, lasted_sec = _lived(batches, 68)
    assert started == ["RECONNECT"]
    assert lasted_sec == []


def test_logins_refused_after_a_session_expired_are_one_episode() -> None:
    """The client logs in again on the same connection, in vain and every five seconds."""
    expired = request(
        released_ns=10 * SECOND, status=STATUS_CODES["STATUS_NETWORK_SESSION_EXPIRED"]
    )
    logins = [(at * SECOND, _login(at * SECOND, "STATUS_LOGON_FAILURE")) for at in range(11, 42, 5)]
    started, lasted_sec = _lived([(10 * SECOND, expired), *logins], 44)
    assert started == ["STATUS_NETWORK_SESSION_EXPIRED"]
    assert lasted_sec == []


@pytest.mark.parametrize(("refused_at_sec", "more"), [(12, 0), (17, 1)])
def test_logins_that_are_refused_after_the_first_bundle_are_one_more(
    refused_at_sec: int, more: int
) -> None:
    """A server that restarts within seconds, too: its bundle says that it refused connections."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    engine.process(request(released_ns=9 * SECOND), 9 * SECOND)
    engine.process(trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1), 10 * SECOND)
    refused_ns = refused_at_sec * SECOND
    engine.process(_login(refused_ns, "STATUS_LOGON_FAILURE"), refused_ns)
    assert len(engine.episodes.take_notes()) == more


def test_a_mount_with_a_wrong_password_is_named_and_over_at_once() -> None:
    """Nobody lost a session: the episode ends after three quiet intervals."""
    mount = requests(
        request("SMB2_NEGOTIATE", released_ns=10 * SECOND, connection_id=7),
        _login(10 * SECOND + 5, "STATUS_MORE_PROCESSING_REQUIRED"),
        _login(10 * SECOND + 9, "STATUS_LOGON_FAILURE"),
    )
    mount["connection_id"] = 7
    started, lasted_sec = _lived([(10 * SECOND, mount)], 20)
    assert started == ["STATUS_LOGON_FAILURE"]
    assert lasted_sec == [pytest.approx(1.0)]


def _drops(at_sec: int, *, request_cut_off: bool = False) -> list[EventArray]:
    """The server ends the connection; an ECHO is cut off, and perhaps a READ, a moment later."""
    at_ns = at_sec * SECOND
    echo = request("SMB2_ECHO", released_ns=at_ns + 1, latency_ns=1000, outcome=Outcome.RETRY)
    read = request("SMB2_READ", released_ns=at_ns + 9, latency_ns=1000, outcome=Outcome.RETRY)
    return [
        trouble(Kind.RECONNECT, at_ns=at_ns, connection_id=1),
        requests(echo, read) if request_cut_off else echo,
        requests(
            request("SMB2_NEGOTIATE", released_ns=at_ns + 900, latency_ns=100),
            request("SMB2_SESSION_SETUP", released_ns=at_ns + 999, latency_ns=50),
            request("SMB2_ECHO", released_ns=at_ns + 1999, latency_ns=50),
        ),
    ]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("cut_off", "episodes"), [(False, 1), (True, 2)])
def test_a_server_that_drops_idle_connections(together: bool, cut_off: bool, episodes: int) -> None:
    """The second time is no episode, unless it cost a request, whatever the batching."""
    engine = Engine(config(connection_anomaly(cooldown_sec=0.0)), lambda _: "nas")
    engine.process(request(released_ns=SECOND), SECOND)
    started = []
    for second in (10, 75):
        rows = _drops(second, request_cut_off=cut_off and second == 75)
        for batch in [requests(*rows)] if together else rows:
            started += engine.process(batch, second * SECOND)
        engine.tick((second + 20) * SECOND)
    assert len(started) == episodes
    assert started[0].finding.idle
    assert not any(s.finding.idle for s in started[1:])


def test_a_reconnect_after_storage_that_timed_out_is_not_idle() -> None:
    """It cuts nothing off, but the client makes it since its requests fail; the next one is."""
    engine = Engine(config(connection_anomaly(cooldown_sec=0.0)), lambda _: "nas")
    started = engine.process(requests(*_drops(10, request_cut_off=False)), 10 * SECOND)
    engine.tick(30 * SECOND)
    timeouts = [
        request("SMB2_READ", released_ns=75 * SECOND - n * MS, status=_IO_TIMEOUT)
        for n in range(6, 0, -1)
    ]
    for second, before in ((75, timeouts), (140, [])):
        rows = requests(*before, *_drops(second, request_cut_off=False))
        started += engine.process(rows, second * SECOND)
        engine.tick((second + 20) * SECOND)
    assert [each.finding.first_ns // SECOND for each in started] == [10, 75]
    assert [each.finding.idle for each in started] == [True, False]
