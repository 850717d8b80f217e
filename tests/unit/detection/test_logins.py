# SPDX-License-Identifier: MIT
"""A connection that was negotiated and then sees no login is told: there is no ticket."""

from __future__ import annotations

import pytest

from aodasync.detection.engine import Engine
from aodasync.detection.episodes import Ended, Refused, Started
from aodasync.events import EventArray, Kind
from tests.builders import (
    MS,
    SECOND,
    config,
    connection_anomaly,
    in_flight,
    request,
    requests,
    trouble,
    view,
)

_NEGOTIATED = request("SMB2_NEGOTIATE", released_ns=10 * SECOND)


def _lived(
    batches: dict[int, EventArray], until_sec: int, *flying: EventArray
) -> tuple[list[Started], list[Ended]]:
    """Second by second."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    started: list[Started] = []
    ended: list[Ended] = []
    for second in range(9, until_sec):
        if second in batches:
            started += engine.process(batches[second], second * SECOND)
        started += engine.look(view(second * SECOND, requests(*flying)))
        ended += engine.tick(second * SECOND)
    return started, ended


def test_a_negotiated_connection_without_a_login_is_told() -> None:
    """Ten seconds later, once; it lasts until there is one, and ECHOs are none."""
    login = request("SMB2_SESSION_SETUP", released_ns=60 * SECOND)
    echo = request("SMB2_ECHO", released_ns=30 * SECOND)
    started, ended = _lived({10: _NEGOTIATED, 30: echo, 60: login}, 80)
    assert [each.finding.codes for each in started] == [("NO_LOGIN",)]
    assert started[0].finding.server == "nas"
    assert [each.finding.first_ns for each in started] == [20 * SECOND]
    assert [round(each.duration_ms / 1000) for each in ended] == [40]


def test_an_expired_ticket_is_the_episode_of_its_reconnect() -> None:
    """It stays open, and a bundle more is due: until then nothing could say so."""
    engine = Engine(config(connection_anomaly()), lambda _: "nas")
    engine.process(request(released_ns=8 * SECOND), 8 * SECOND)
    reconnect = trouble(Kind.RECONNECT, at_ns=9 * SECOND, connection_id=1)
    started = engine.process(requests(reconnect, _NEGOTIATED), 10 * SECOND)
    ended: list[Ended] = []
    for second in range(11, 60):
        started += engine.look(view(second * SECOND))
        ended += engine.tick(second * SECOND)
    assert [each.finding.codes for each in started] == [("RECONNECT",)]
    assert ended == []
    (note,) = engine.episodes.take_notes()
    assert isinstance(note, Refused)
    assert (note.finding.codes, note.suppressed) == (("NO_LOGIN",), "")


@pytest.mark.parametrize(
    "then",
    [
        request("SMB2_SESSION_SETUP", released_ns=10 * SECOND + MS, status=0xC000006D),
        request("SMB2_SESSION_SETUP", released_ns=10 * SECOND + MS),
        request("SMB2_READ", released_ns=10 * SECOND + MS),
    ],
)
def test_a_login_whatever_its_answer_is_one(then: EventArray) -> None:
    """One that is refused has its own name."""
    started, _ = _lived({10: requests(_NEGOTIATED, then)}, 100)
    assert not any("NO_LOGIN" in each.finding.codes for each in started)


def test_a_login_that_is_not_answered_hangs() -> None:
    """It was sent."""
    flying = in_flight("SMB2_SESSION_SETUP", issued_ns=10 * SECOND)
    assert _lived({10: _NEGOTIATED}, 100, flying) == ([], [])


def test_a_mount_that_was_given_up_is_over() -> None:
    """A minute later nobody waits any more."""
    started, ended = _lived({10: _NEGOTIATED}, 80)
    assert (len(started), len(ended)) == (1, 1)
