# SPDX-License-Identifier: MIT
"""Whether a mount is usable: from the first sign of trouble to the first answer after the last."""

from __future__ import annotations

import numpy as np

from aodasync.detection.usability import MountState, Usability, server_and_share
from aodasync.events import EVENT, EventArray, Kind, Outcome
from aodasync.evidence.model import Connection
from aodasync.host.mountinfo import Mount
from tests.builders import SECOND, in_flight, request, requests, trouble

_NONE = np.zeros(0, EVENT)
_LOGON_FAILURE = 0xC000006D
_MORE_PROCESSING = 0xC0000016
_SESSION_EXPIRED = 0xC000035C
_NAME_DELETED = 0xC00000C9
_CONNECTIONS = {
    1: Connection(1, "nas", "192.0.2.1", 445),
    2: Connection(2, "other", "192.0.2.2", 445),
}
_MOUNTS = (
    Mount("0:50", "/mnt/a", "cifs", "//NAS/data"),
    Mount("0:51", "/mnt/b", "cifs", "//other/x"),
)


def _world(rows: EventArray = _NONE) -> Usability:
    return Usability(5000, lambda since: rows[rows["released_ns"] >= np.uint64(since)])


def _look(usability: Usability, at_sec: float, waiting: EventArray = _NONE) -> MountState:
    states = usability.look(waiting, _CONNECTIONS, _MOUNTS, round(at_sec * SECOND))
    assert states[1].usable, "the other server's mount is never concerned"
    return states[0]


def test_a_reconnect_that_takes_long_makes_a_mount_unusable() -> None:
    """Since its first sign, and until a request that was issued after the last one is answered."""
    usability = _world()
    usability.observe(trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1))
    assert _look(usability, 11).usable
    state = _look(usability, 14)
    assert (state.usable, state.since_ns, state.why) == (False, 10 * SECOND, "reconnecting")
    usability.observe(request("SMB2_READ", released_ns=15 * SECOND, latency_ns=6 * SECOND))
    assert not _look(usability, 15).usable
    usability.observe(request("SMB2_READ", released_ns=16 * SECOND))
    assert _look(usability, 16).usable


def test_refused_logins_are_named_and_outlive_the_reconnects_between_them() -> None:
    """A login that is refused is no recovery, and neither is one that goes on."""
    usability = _world()
    for second in range(10, 40, 2):
        usability.observe(trouble(Kind.RECONNECT, at_ns=second * SECOND, connection_id=1))
        usability.observe(
            requests(
                request("SMB2_NEGOTIATE", released_ns=second * SECOND + 1),
                request(
                    "SMB2_SESSION_SETUP", released_ns=second * SECOND + 2, status=_MORE_PROCESSING
                ),
                request(
                    "SMB2_SESSION_SETUP", released_ns=second * SECOND + 3, status=_LOGON_FAILURE
                ),
            )
        )
    state = _look(usability, 40)
    assert (state.usable, state.since_ns) == (False, 10 * SECOND)
    assert state.why == "login refused: STATUS_LOGON_FAILURE"
    usability.observe(request("SMB2_TREE_CONNECT", released_ns=41 * SECOND, status=0xC00000CC))
    assert not _look(usability, 41).usable
    usability.observe(request("SMB2_TREE_CONNECT", released_ns=42 * SECOND))
    assert _look(usability, 42).usable


def test_a_share_that_is_refused_after_a_reconnect_is_named() -> None:
    """The login was taken: it is the share that is missing. A DFS link is no refusal."""
    usability = _world()
    usability.observe(trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1))
    usability.observe(
        requests(
            request("SMB2_NEGOTIATE", released_ns=11 * SECOND),
            request("SMB2_SESSION_SETUP", released_ns=11 * SECOND + 1),
            request("SMB2_TREE_CONNECT", released_ns=12 * SECOND, status=0xC00000CC),
            request("SMB2_TREE_CONNECT", released_ns=13 * SECOND, status=0xC0000257),
        )
    )
    assert _look(usability, 15).why == "share refused: STATUS_BAD_NETWORK_NAME"
    usability.observe(request("SMB2_TREE_CONNECT", released_ns=16 * SECOND))
    assert _look(usability, 16).usable


def test_an_echo_is_no_sign_of_a_session() -> None:
    """The server answers it to whoever is connected, login or not."""
    usability = _world()
    login = request("SMB2_SESSION_SETUP", released_ns=10 * SECOND, status=_LOGON_FAILURE)
    usability.observe(login)
    usability.observe(request("SMB2_ECHO", released_ns=12 * SECOND))
    assert not _look(usability, 20).usable
    usability.observe(request("SMB2_CREATE", released_ns=21 * SECOND))
    assert _look(usability, 22).usable


def test_one_more_user_who_is_refused_does_not_concern_a_mount_that_works() -> None:
    """Another mount is tried over the same connection; until that is lost, nothing is wrong."""
    used = request(released_ns=9 * SECOND)
    login = request("SMB2_SESSION_SETUP", released_ns=10 * SECOND, status=_LOGON_FAILURE)
    usability = _world(requests(used, login))
    usability.observe(login)
    assert _look(usability, 60).usable
    usability.observe(trouble(Kind.RECONNECT, at_ns=70 * SECOND, connection_id=1))
    usability.observe(request("SMB2_SESSION_SETUP", released_ns=71 * SECOND, status=_LOGON_FAILURE))
    assert _look(usability, 80).why == "login refused: STATUS_LOGON_FAILURE"


def test_an_ordinary_login_is_no_trouble() -> None:
    """STATUS_MORE_PROCESSING_REQUIRED is how every login begins."""
    usability = _world()
    usability.observe(
        request("SMB2_SESSION_SETUP", released_ns=10 * SECOND, status=_MORE_PROCESSING)
    )
    assert _look(usability, 60).usable


def test_a_server_that_answers_nothing_is_found_by_its_oldest_request() -> None:
    """Usable again with the first answer, even to a request from before."""
    usability = _world()
    waiting = in_flight(issued_ns=10 * SECOND)
    assert _look(usability, 14, waiting).usable
    state = _look(usability, 16, waiting)
    assert (state.usable, state.since_ns, state.why) == (False, 10 * SECOND, "no response")
    answered = request(released_ns=17 * SECOND, latency_ns=7 * SECOND, received_ns=17 * SECOND)
    usability.observe(answered)
    assert _look(usability, 17).usable


def test_one_request_that_waits_while_others_are_answered_is_no_hang_of_the_mount() -> None:
    """A mount with a slow file is usable."""
    rows = request(released_ns=15 * SECOND, received_ns=15 * SECOND)
    assert _look(_world(rows), 16, in_flight(issued_ns=10 * SECOND)).usable


def test_a_cut_off_request_is_a_sign_like_a_reconnect() -> None:
    """Where the kernel has no tracepoint for it."""
    usability = _world()
    usability.observe(request(released_ns=10 * SECOND, outcome=int(Outcome.RETRY)))
    assert not _look(usability, 14).usable


def test_one_connection_of_several_that_works_is_enough() -> None:
    """Multichannel goes on over the others."""
    usability = _world()
    usability.observe(trouble(Kind.RECONNECT, at_ns=10 * SECOND, connection_id=1))
    connections = {**_CONNECTIONS, 3: Connection(3, "nas", "192.0.2.3", 445)}
    assert usability.look(_NONE, connections, _MOUNTS, 20 * SECOND)[0].usable


def test_a_share_that_is_gone_makes_its_mount_unusable_and_no_other() -> None:
    """Until a tree of that name is answered again: one that is given back has another id."""
    shares = {(7, 1): "//nas/data", (7, 2): "//nas/more", (7, 3): "//NAS/data"}
    usability = Usability(5000, lambda _since: _NONE, lambda: shares)
    mounts = (_MOUNTS[0], Mount("0:52", "/mnt/c", "cifs", "//nas/more"))

    def usable(at_sec: int) -> list[bool]:
        states = usability.look(_NONE, _CONNECTIONS, mounts, at_sec * SECOND)
        return [state.usable for state in states]

    gone = {"session_id": 7, "tree_id": 1, "status": _NAME_DELETED, "received_ns": 10 * SECOND}
    usability.observe(request(released_ns=10 * SECOND, **gone))
    usability.observe(request(released_ns=12 * SECOND, session_id=7, tree_id=2))
    assert usable(14) == [False, True]
    (state, _) = usability.look(_NONE, _CONNECTIONS, mounts, 15 * SECOND)
    assert state.why == "the share is gone: STATUS_NETWORK_NAME_DELETED"
    usability.observe(request(released_ns=16 * SECOND, session_id=7, tree_id=3))
    assert usable(16) == [True, True]
    assert usable(60) == [True, True]


def test_sources_are_cut_at_slashes_of_either_kind() -> None:
    """As mount(8) and the kernel write them."""
    assert server_and_share("//nas/data/below") == ("nas", "data")
    assert server_and_share(r"\\nas\data") == ("nas", "data")
    assert server_and_share("odd") == ("odd", "")


def test_an_answer_that_says_that_the_session_is_over_is_no_recovery() -> None:
    """It is a sign of trouble itself; so is a connection that stands again without a login."""
    usability = _world()
    usability.observe(request(released_ns=10 * SECOND, status=_SESSION_EXPIRED))
    usability.observe(request(released_ns=12 * SECOND, status=_SESSION_EXPIRED))
    assert _look(usability, 14).why == "the session is over: STATUS_NETWORK_SESSION_EXPIRED"
    usability.observe(request("SMB2_NEGOTIATE", released_ns=15 * SECOND))
    assert _look(usability, 16).why == "reconnected, but not logged in"
    usability.observe(request(released_ns=17 * SECOND))
    assert _look(usability, 17).usable
