# SPDX-License-Identifier: MIT
"""Sessions that end, and negotiations and logins that are refused: trouble of the connection."""

from __future__ import annotations

import pytest

from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Refused
from aodasync.events import EventArray, Kind
from aodasync.smb.ntstatus import STATUS_CODES
from tests.builders import (
    MS,
    SECOND,
    config,
    connection_anomaly,
    error_anomaly,
    request,
    requests,
    trouble,
    view,
)


def _answer(command: str, at_ns: int, status: str = "") -> EventArray:
    return request(command, released_ns=at_ns, status=STATUS_CODES.get(status, 0))


@pytest.mark.parametrize("which", ["NETWORK_SESSION_EXPIRED", "USER_SESSION_DELETED"])
def test_requests_of_a_session_that_is_over_are_one_episode(which: str) -> None:
    """The client logs in again and repeats them: thirty are one trouble, and no failure."""
    engine = Engine(config(connection_anomaly(), error_anomaly()), lambda _: "nas")
    status = f"STATUS_{which}"
    over = [_answer("SMB2_READ", 10 * SECOND + n * MS, status) for n in range(30)]
    started = engine.process(requests(*over), 11 * SECOND)
    assert [(s.finding.anomaly, s.finding.codes) for s in started] == [("connection", (status,))]
    assert started[0].finding.count == 1


def test_a_session_may_end_again() -> None:
    """After a login that was taken, the next end is another one."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    for second in (10, 60):
        over = _answer("SMB2_READ", second * SECOND, "STATUS_USER_SESSION_DELETED")
        login = _answer("SMB2_SESSION_SETUP", second * SECOND + MS)
        started = engine.process(requests(over, login), (second + 1) * SECOND)
        assert [s.finding.codes for s in started] == [("STATUS_USER_SESSION_DELETED",)]
        engine.tick((second + 10) * SECOND)


def test_a_negotiation_that_is_refused_is_named() -> None:
    """No dialect in common: neither a reconnect nor a missing login."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    refused = _answer("SMB2_NEGOTIATE", 10 * SECOND, "STATUS_NOT_SUPPORTED")
    started = engine.process(refused, 10 * SECOND)
    for second in range(11, 40):
        started += engine.look(view(second * SECOND))
        engine.tick(second * SECOND)
    assert [s.finding.codes for s in started] == [("STATUS_NOT_SUPPORTED",)]
    assert started[0].finding.commands == ("SMB2_NEGOTIATE",)


def test_a_dfs_root_on_another_server_is_no_lost_share() -> None:
    """The client follows the referral."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    row = _answer("SMB2_TREE_CONNECT", 10 * SECOND, "STATUS_PATH_NOT_COVERED")
    assert engine.process(row, 10 * SECOND) == []


def test_negotiating_again_and_again_does_not_put_off_that_no_login_is_sent() -> None:
    """The client reconnects every three seconds, and has no ticket each time."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    codes: set[str] = set()
    engine.process(request(released_ns=8 * SECOND), 8 * SECOND)
    engine.process(trouble(Kind.RECONNECT, at_ns=9 * SECOND, connection_id=1), 9 * SECOND)
    for second in range(10, 40):
        if second % 3 == 0:
            engine.process(_answer("SMB2_NEGOTIATE", second * SECOND), second * SECOND)
        engine.look(view(second * SECOND))
        codes |= {code for f in engine.episodes.open_findings() for code in f.codes}
    assert codes == {"RECONNECT", "NO_LOGIN"}


@pytest.mark.parametrize("status", ["STATUS_NO_LOGON_SERVERS", "STATUS_LOGIN_TIME_RESTRICTION"])
def test_whatever_refuses_the_logins_of_a_lost_server_is_worth_a_bundle_more(status: str) -> None:
    """It came back half a minute later: until then nothing could say so."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    engine.process(request(released_ns=8 * SECOND), 8 * SECOND)
    engine.process(trouble(Kind.RECONNECT, at_ns=9 * SECOND, connection_id=1), 9 * SECOND)
    engine.process(_answer("SMB2_SESSION_SETUP", 40 * SECOND, status), 40 * SECOND)
    notes = [note for note in engine.episodes.take_notes() if isinstance(note, Refused)]
    assert [(note.suppressed, note.data_lost) for note in notes] == [("", False)]


def _lived(batches: dict[int, EventArray], until_sec: int) -> tuple[int, list[int]]:
    """How many episodes there were, and for how many seconds those lasted that ended."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    started, lasted = 0, []
    for second in range(5, until_sec):
        rows = batches.get(second, request(released_ns=second * SECOND, connection_id=2))
        started += len(engine.process(rows, second * SECOND))
        started += len(engine.look(view(second * SECOND)))
        lasted += [round(e.duration_ms / 1000) for e in engine.tick(second * SECOND)]
    return started, lasted


@pytest.mark.parametrize("deleted", [True, False])
def test_a_share_that_is_gone_is_one_episode_however_seldom_it_is_tried(deleted: bool) -> None:
    """A program asks every nine seconds, until the share is given back."""
    used = {8: request(released_ns=8 * SECOND)}
    lost = (
        request(released_ns=10 * SECOND, status=0xC00000C9)
        if deleted
        else requests(
            trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1),
            request("SMB2_NEGOTIATE", released_ns=10 * SECOND + 1),
            request("SMB2_SESSION_SETUP", released_ns=10 * SECOND + 2),
        )
    )
    refused = {
        s: _answer("SMB2_TREE_CONNECT", s * SECOND, "STATUS_BAD_NETWORK_NAME")
        for s in range(11, 100, 9)
    }
    back = {105: request("SMB2_TREE_CONNECT", released_ns=105 * SECOND)}
    assert _lived({**used, 10: lost, **refused, **back}, 120) == (1, [95])


def test_a_mount_of_a_share_that_never_was_ends_at_once() -> None:
    """Nothing was lost."""
    mount = requests(
        request("SMB2_NEGOTIATE", released_ns=10 * SECOND),
        request("SMB2_SESSION_SETUP", released_ns=10 * SECOND + 1),
        _answer("SMB2_TREE_CONNECT", 10 * SECOND + 2, "STATUS_BAD_NETWORK_NAME"),
    )
    assert _lived({10: mount}, 30) == (1, [1])


def test_a_share_that_is_asked_for_again_and_again_is_one_episode_more() -> None:
    """Whether it was ever used is not known: the agent was started later, or it is a typo."""
    asked = {
        s: _answer("SMB2_TREE_CONNECT", s * SECOND, "STATUS_BAD_NETWORK_NAME")
        for s in range(10, 100, 9)
    }
    at_once = requests(*(asked[10] for _ in range(3)))
    assert _lived({**asked, 10: at_once}, 110) == (2, [1])


def test_a_share_that_nobody_asks_for_any_more_is_given_up() -> None:
    """After a minute: it was unmounted."""
    lost = requests(
        request(released_ns=9 * SECOND), request(released_ns=10 * SECOND, status=0xC00000C9)
    )
    started, (lasted,) = _lived({10: lost}, 90)
    assert (started, 59 <= lasted <= 61) == (1, True)
