# SPDX-License-Identifier: MIT
"""What comes of a lost connection is known when the next login was answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aodasync.events import EventArray, Kind, Outcome
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.verdict.reconnects import is_undecided
from tests.builders import SECOND, finding, request, requests, trouble

_FINDING = finding("connection", codes=("RECONNECT",))


def _login(status: str = "", *, connection_id: int = 1) -> EventArray:
    return request(
        "SMB2_SESSION_SETUP",
        released_ns=12 * SECOND,
        status=STATUS_CODES.get(status, 0),
        connection_id=connection_id,
    )


def _lost(*then: EventArray) -> EventArray:
    """A request that was answered, then the reconnect and what it cut off."""
    cut = request(released_ns=10 * SECOND + 5, latency_ns=SECOND, outcome=Outcome.RETRY)
    return requests(
        request(released_ns=9 * SECOND),
        trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1),
        cut,
        *then,
    )


@pytest.mark.parametrize(
    ("then", "undecided"),
    [
        ([], True),
        ([_login("STATUS_MORE_PROCESSING_REQUIRED")], True),
        ([_login(connection_id=2)], True),
        ([request("SMB2_NEGOTIATE", released_ns=12 * SECOND)], True),
        ([trouble(Kind.CONNECT_ERROR, at_ns=12 * SECOND, connection_id=1, status=111)], True),
        ([request("SMB2_ECHO", released_ns=12 * SECOND)], True),
        ([_login()], False),
        ([_login("STATUS_LOGON_FAILURE")], False),
        ([request("SMB2_READ", released_ns=12 * SECOND)], False),
        ([_login(), trouble(Kind.RECONNECT, at_ns=13 * SECOND, connection_id=1)], True),
    ],
)
def test_a_login_that_was_answered_decides(then: list[EventArray], undecided: bool) -> None:
    """Taken or refused; a server that cannot be reached, or a step of a login, does not."""
    assert is_undecided(_FINDING, _lost(*then)) == undecided


def test_one_of_several_connections_is_enough() -> None:
    """The others of a server follow."""
    both: Finding = replace(_FINDING, connections=(1, 2))
    other = trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=2)
    assert is_undecided(both, _lost(other))
    assert not is_undecided(both, _lost(other, _login(connection_id=2)))


def test_nothing_else_waits() -> None:
    """Neither another anomaly, nor trouble of a connection that was not lost."""
    assert not is_undecided(replace(_FINDING, symptom=Symptom.WAITING), _lost())
    assert not is_undecided(replace(_FINDING, codes=("STATUS_LOGON_FAILURE",)), _lost())
