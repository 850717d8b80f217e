# SPDX-License-Identifier: MIT
"""Two troubles at once: each is judged by its own evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray, Kind, Outcome
from aodasync.evidence.model import Connection, Sample, Stall, Symptom
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.verdict.figures import figures_of
from aodasync.verdict.judge import Verdict, decide
from tests.builders import MS, SECOND, finding, in_flight, request, requests, tcp_socket, trouble

_AT = 100 * SECOND
_NONE = np.zeros(0, EVENT)
_NAS = {1: Connection(1, "nas", "10.0.0.1", 445)}


def _judged(
    type_: str, rows: EventArray = _NONE, waiting: EventArray = _NONE, **given: Any
) -> Verdict:
    lossy = given.pop("socket", {})
    ends: list[tuple[int, dict[str, Any]]] = [(_AT - SECOND, {}), (_AT + SECOND, lossy)]
    samples = [Sample(at_ns, (tcp_socket(**changes),), {}) for at_ns, changes in ends]
    figures = figures_of(
        finding(type_, **{"first_ns": _AT, "last_ns": _AT + SECOND, **given}),
        rows=rows,
        in_flight=waiting,
        connections=_NAS,
        samples=samples,
        later=None,
        now_ns=_AT + SECOND,
    )
    return decide(figures)


def _answer(command: str, status: str, at_ns: int, **fields: Any) -> EventArray:
    return request(command, released_ns=at_ns, status=STATUS_CODES.get(status, 0), **fields)


def _refused(at_ns: int) -> EventArray:
    return _answer("SMB2_SESSION_SETUP", "STATUS_LOGON_FAILURE", at_ns)


@pytest.mark.parametrize(
    "story",
    [
        _refused(_AT),
        _answer("SMB2_TREE_CONNECT", "STATUS_BAD_NETWORK_NAME", _AT),
        _answer("SMB2_READ", "STATUS_USER_SESSION_DELETED", _AT),
    ],
)
def test_what_waits_for_an_answer_has_a_session(story: EventArray) -> None:
    """The network is dead for it; that another user, or share, is refused explains nothing."""
    dead = {"retransmits": 9, "backoff": 4, "unacked": 3}
    waiting = requests(*(in_flight(issued_ns=_AT - n * MS) for n in range(3)))
    judged = _judged("hang", story, waiting, socket=dead)
    assert (judged.cause, judged.rule) == ("network", "nothing gets through")


def test_what_waits_for_a_session_is_told_why_there_is_none() -> None:
    """Threads that wait for a reconnect, though the next login is on its way just now."""
    stall = Stall(7, 7, "ls", "cifs_readdir", "reconnect", 6000.0, 6000.0)
    login = in_flight("SMB2_SESSION_SETUP", issued_ns=_AT)
    judged = _judged("hang", _refused(_AT), login, commands=(), stalls=(stall,))
    assert judged.rule == "credentials refused"


@pytest.mark.parametrize(
    ("before", "codes", "rule"),
    [
        (True, ("RECONNECT",), "closed by the server"),
        (True, ("RECONNECT", "STATUS_LOGON_FAILURE"), "credentials refused"),
        (False, ("RECONNECT",), "credentials refused"),
    ],
)
def test_a_user_who_is_refused_all_day_lost_no_connection(
    before: bool, codes: tuple[str, ...], rule: str
) -> None:
    """One of several on it; whoever is refused only after the reconnect is its story."""
    rows = requests(
        *([_refused(_AT - 9 * SECOND)] if before else []),
        request(released_ns=_AT - 5 * SECOND),
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
        request(released_ns=_AT, latency_ns=9 * MS, outcome=Outcome.RETRY),
        _refused(_AT + 9 * MS),
    )
    assert _judged("connection", rows, codes=codes, commands=()).rule == rule


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ("answered", "Other servers answered 3 in the last second: the network of this host"),
        ("wait", "Requests to other servers wait as well: it may be the network of this host"),
        ("idle", "A server host that is down looks the same, and so does a firewall of this host."),
    ],
)
def test_other_servers_say_whether_it_is_the_network_of_this_host(others: str, says: str) -> None:
    """A mount that cannot be reached, beside one that works, or one that waits as well."""
    waiting = [in_flight(issued_ns=_AT)]
    if others == "wait":
        waiting.append(in_flight(issued_ns=_AT, connection_id=2))
    rows = [
        request(released_ns=at_ns, received_ns=at_ns, connection_id=2)
        for at_ns in range(_AT + SECOND - 3 * MS, _AT + SECOND, MS)
        if others == "answered"
    ]
    dead = {"retransmits": 9, "backoff": 4, "unacked": 3}
    judged = _judged("hang", requests(*rows), requests(*waiting), socket=dead)
    assert judged.rule == "nothing gets through"
    assert says in judged.sentence
    assert ("ther servers" in judged.sentence) is (others != "idle")


@pytest.mark.parametrize(
    ("outcome", "socket", "rule"),
    [
        (Outcome.CANCELLED, {}, "given up before an answer"),
        (Outcome.SHUTDOWN, {}, "given up before an answer"),
        (Outcome.CANCELLED, {"retransmits": 9}, "segments lost"),
        (Outcome.CANCELLED, {"established": False}, "nothing decides"),
        (Outcome.SEND_FAILED, {}, "nothing decides"),
    ],
)
def test_what_its_caller_gave_up_was_not_answered(
    outcome: Outcome, socket: dict[str, Any], rule: str
) -> None:
    """``timeout 2 ls`` on a server that is silent for a while: all slow ones end so."""
    rows = request(released_ns=_AT, latency_ns=2 * SECOND, outcome=outcome)
    judged = _judged("latency", rows, socket=socket)
    assert judged.rule == rule
    if rule.startswith("given"):
        assert (judged.cause, judged.confidence) == ("server", "medium")
        assert "had not answered 1 request for up to 2.0 s" in judged.sentence


def test_a_full_disk_is_not_told_as_a_session_that_ended() -> None:
    """The server ended a session a moment before, and the client has another one."""
    ended = _answer("SMB2_READ", "STATUS_USER_SESSION_DELETED", _AT)
    full = ("STATUS_DISK_FULL",)
    judged = _judged("error", ended, codes=full, symptom=Symptom.STATUS)
    assert judged.rule == "stated by the server"
