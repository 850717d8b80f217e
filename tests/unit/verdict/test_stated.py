# SPDX-License-Identifier: MIT
"""What servers and this host state themselves decides: NTSTATUS of logins, errno of connects."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray, Kind
from aodasync.evidence.model import Connection, Symptom
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.verdict.figures import figures_of
from aodasync.verdict.judge import Verdict, decide
from tests.builders import MS, SECOND, finding, request, requests, trouble

_AT = 100 * SECOND
_NAS = {1: Connection(1, "nas", "10.0.0.1", 445)}


def _judged(*rows: EventArray, codes: tuple[str, ...] = ("RECONNECT",), **changes: Any) -> Verdict:
    figures = figures_of(
        finding("connection", first_ns=_AT, last_ns=_AT, codes=codes, **changes),
        rows=requests(*rows),
        in_flight=np.zeros(0, EVENT),
        connections=_NAS,
        samples=(),
        later=None,
        now_ns=_AT + SECOND,
    )
    return decide(figures)


def _answer(command: str, status: str, at_ns: int = _AT) -> EventArray:
    return request(command, released_ns=at_ns, status=STATUS_CODES[status])


@pytest.mark.parametrize(
    ("status", "cause", "rule"),
    [
        ("STATUS_ACCOUNT_LOCKED_OUT", "credentials", "credentials refused"),
        ("STATUS_PASSWORD_MUST_CHANGE", "credentials", "credentials refused"),
        ("STATUS_ACCOUNT_DISABLED", "credentials", "credentials refused"),
        ("STATUS_LOGON_TYPE_NOT_GRANTED", "credentials", "credentials refused"),
        ("STATUS_LOGIN_WKSTA_RESTRICTION", "credentials", "credentials refused"),
        ("STATUS_NTLM_BLOCKED", "credentials", "credentials refused"),
        ("STATUS_TIME_DIFFERENCE_AT_DC", "credentials", "clocks differ"),
        ("STATUS_NO_LOGON_SERVERS", "server", "login not checked"),
        ("STATUS_TRUSTED_RELATIONSHIP_FAILURE", "server", "login not checked"),
        ("STATUS_NETLOGON_NOT_STARTED", "server", "login not checked"),
        ("STATUS_IO_TIMEOUT", "server", "login not checked"),
        ("STATUS_HOST_UNREACHABLE", "server", "login not checked"),
        ("STATUS_REQUEST_NOT_ACCEPTED", "server", "login failed"),
        ("STATUS_INVALID_PARAMETER", "server", "login failed"),
    ],
)
def test_a_login_that_fails_after_a_reconnect_is_named(status: str, cause: str, rule: str) -> None:
    """Account, clock, domain or server: never a connection that the server closed."""
    lost = trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1)
    judged = _judged(lost, _answer("SMB2_SESSION_SETUP", status, _AT + MS))
    assert (judged.cause, judged.rule) == (cause, rule)
    assert status in judged.sentence


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        (("STATUS_LOGON_FAILURE",), "user name or the password of the mount is wrong"),
        (("STATUS_LOGON_FAILURE", "STATUS_NO_SUCH_USER"), "user name or the password of the mount"),
        (("STATUS_PASSWORD_EXPIRED",), "has expired and must be changed"),
        (("STATUS_ACCOUNT_LOCKED_OUT",), "is locked out"),
        (("STATUS_ACCOUNT_DISABLED",), "is disabled, or has expired"),
        (("STATUS_LOGON_TYPE_NOT_GRANTED",), "may not log in to this server over the network"),
        (("STATUS_INVALID_LOGON_HOURS",), "at this time, or not from this host"),
        (("STATUS_NTLM_BLOCKED",), "this kind of login (mount option sec="),
        (("STATUS_NETWORK_SESSION_EXPIRED",), "the Kerberos ticket of the mount's user has run"),
        (("STATUS_ACCESS_DENIED",), "wrong, expired, locked or not allowed to log in"),
        (
            ("STATUS_LOGON_FAILURE", "STATUS_ACCOUNT_LOCKED_OUT"),
            "wrong, expired, locked or not allowed to log in",
        ),
    ],
)
def test_a_refused_login_says_what_is_wrong_with_it(
    statuses: tuple[str, ...], meaning: str
) -> None:
    """An expired password is no wrong one; where the answers differ, it says all that may be."""
    logins = (_answer("SMB2_SESSION_SETUP", status, _AT + MS) for status in statuses)
    judged = _judged(trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1), *logins)
    assert judged.rule == "credentials refused"
    assert meaning in judged.sentence


@pytest.mark.parametrize(
    ("codes", "cause", "rule", "says"),
    [
        ("OBJECT_NAME_NOT_FOUND", "unknown", "asked in vain", "is not there, or cannot be"),
        ("DIRECTORY_NOT_EMPTY OBJECT_NAME_COLLISION", "unknown", "asked in vain", "itself is well"),
        ("NOT_SUPPORTED", "unknown", "asked in vain", "itself is well"),
        ("NOT_SUPPORTED SHARING_VIOLATION", "unknown", "asked in vain", "itself is well"),
        ("SHARING_VIOLATION NOT_SUPPORTED", "unknown", "held by another", "itself is well"),
        ("USER_MAPPED_FILE", "unknown", "held by another", "itself is well"),
        ("OBJECT_NAME_NOT_FOUND DISK_FULL", "server", "stated by the server", "has no room"),
        ("FILE_CLOSED", "server", "stated by the server", "not know the open files any more"),
        ("FILE_IS_OFFLINE", "server", "stated by the server", "are not on its own disks"),
        ("MEDIA_WRITE_PROTECTED", "server", "stated by the server", "is read-only"),
        ("VIRUS_INFECTED", "server", "stated by the server", "virus scanner"),
    ],
)
def test_errors_are_the_servers_only_where_they_say_something_of_it(
    codes: str, cause: str, rule: str, says: str
) -> None:
    """A file that is not there, or a directory that is not empty, accuses no server."""
    names = tuple(f"STATUS_{name}" for name in codes.split())
    failures = (_answer("SMB2_CREATE", name) for name in names)
    judged = _judged(*failures, codes=names, symptom=Symptom.STATUS)
    assert (judged.cause, judged.rule) == (cause, rule)
    assert says in judged.sentence


@pytest.mark.parametrize(
    ("status", "cause", "rule", "says"),
    [
        ("FILE_LOCK_CONFLICT", "unknown", "writes refused by a lock", "had the files locked"),
        ("IO_DEVICE_ERROR", "server", "writes refused with their reason", "The storage of the"),
        ("FILE_CLOSED", "server", "writes refused with their reason", "not know the open files"),
        ("ACCESS_DENIED", "server", "writes refused with their reason", "has no right to"),
    ],
)
def test_data_that_was_lost_says_why_the_server_did_not_take_it(
    status: str, cause: str, rule: str, says: str
) -> None:
    """Another client's lock is no fault of the server's; the other statuses say what it lacks."""
    lost = trouble(Kind.FLUSH_ERROR, at_ns=_AT + MS, connection_id=1)
    judged = _judged(_answer("SMB2_WRITE", f"STATUS_{status}"), lost, codes=("FLUSH_ERROR",))
    assert (judged.cause, judged.rule) == (cause, rule)
    assert says in judged.sentence
    assert judged.sentence.count("was lost") == 1


def test_a_login_that_fails_says_nothing_of_files() -> None:
    """What a status means for a file, it does not mean for a login."""
    judged = _judged(_answer("SMB2_SESSION_SETUP", "STATUS_INVALID_HANDLE", _AT + MS))
    assert judged.rule == "login failed"
    assert "files" not in judged.sentence


def test_an_expired_key_names_its_session_alone() -> None:
    """The kernel does not say on which connection: the session's own requests do."""
    rows = (
        request(released_ns=_AT - SECOND, session_id=77),
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
        trouble(Kind.KEY_EXPIRED, at_ns=_AT + MS, connection_id=0, session_id=77),
    )
    assert _judged(*rows).rule == "session expired"
    rows[2]["session_id"] = 78
    assert _judged(*rows).rule == "ended, TCP unknown"


def test_a_session_that_the_server_deleted_is_no_expired_ticket() -> None:
    """It was restarted, or somebody closed the session there."""
    deleted = _answer("SMB2_READ", "STATUS_USER_SESSION_DELETED")
    judged = _judged(deleted, codes=("STATUS_USER_SESSION_DELETED",))
    assert (judged.cause, judged.rule) == ("server", "session ended")


@pytest.mark.parametrize(
    ("number", "cause", "rule"),
    [
        (errno.ECONNREFUSED, "server", "connection refused"),
        (errno.ENETUNREACH, "network", "no route to the server"),
        (errno.ECONNRESET, "unknown", "connecting is reset"),
        (errno.EPERM, "client", "connecting fails on this host"),
        (errno.EADDRNOTAVAIL, "client", "connecting fails on this host"),
        (errno.EINVAL, "unknown", "connecting fails"),
    ],
)
def test_an_attempt_to_connect_says_why_it_failed(number: int, cause: str, rule: str) -> None:
    """A host that refuses, one that is not there, one that resets, and this one's own firewall."""
    attempt = trouble(Kind.CONNECT_ERROR, at_ns=_AT, connection_id=1, status=number)
    judged = _judged(attempt, codes=("CONNECT_ERROR",))
    assert (judged.cause, judged.rule) == (cause, rule)
    if rule != "connection refused":
        assert errno.errorcode[number] in judged.sentence
    assert "10.0.0.1" in judged.refuted_by or ":445" in judged.refuted_by


@pytest.mark.parametrize(
    ("status", "command", "rule"),
    [
        ("STATUS_NOT_SUPPORTED", "SMB2_NEGOTIATE", "negotiation refused"),
        ("STATUS_BAD_NETWORK_NAME", "SMB2_TREE_CONNECT", "no such share"),
        ("STATUS_ACCESS_DENIED", "SMB2_TREE_CONNECT", "no access to the share"),
        ("STATUS_ACCOUNT_RESTRICTION", "SMB2_TREE_CONNECT", "no access to the share"),
    ],
)
def test_a_first_mount_that_fails_says_why(status: str, command: str, rule: str) -> None:
    """Dialect, share name, rights and encryption."""
    judged = _judged(_answer(command, status), codes=(status,), commands=(command,))
    assert judged.rule == rule
    assert status in judged.sentence


def test_time_outs_of_the_storage_count_over_the_whole_connection() -> None:
    """The client adds them up, however far apart, and reconnects by itself at the sixth."""
    late = [_answer("SMB2_READ", "STATUS_IO_TIMEOUT", _AT - n * 15 * SECOND) for n in range(6)]
    judged = _judged(*late, trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1))
    assert (judged.cause, judged.rule) == ("server", "storage timed out")


@pytest.mark.parametrize(
    ("status", "then", "rule"),
    [
        ("STATUS_BAD_NETWORK_NAME", False, "no such share"),
        ("STATUS_ACCESS_DENIED", False, "no access to the share"),
        ("STATUS_BAD_NETWORK_NAME", True, "ended, TCP unknown"),
        ("STATUS_PATH_NOT_COVERED", False, "ended, TCP unknown"),
    ],
)
def test_a_share_that_is_refused_after_a_reconnect_is_named(
    status: str, then: bool, rule: str
) -> None:
    """It is not the connection that keeps the mount from working, unless the share came back."""
    lost = trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1)
    asked = [_answer("SMB2_TREE_CONNECT", status, _AT + n * SECOND) for n in range(3)]
    if then:
        asked.append(request("SMB2_TREE_CONNECT", released_ns=_AT + 4 * SECOND))
    judged = _judged(lost, request("SMB2_SESSION_SETUP", released_ns=_AT + MS), *asked)
    assert judged.rule == rule
    assert (status in judged.sentence) is (not rule.startswith("ended"))


@pytest.mark.parametrize("status", ["STATUS_LOGON_FAILURE", "STATUS_NO_LOGON_SERVERS"])
def test_a_login_that_is_refused_later_made_no_request_slow(status: str) -> None:
    """What a reconnect cut off after 20 s had a session; what came of the next one is no cause."""
    cut = request(released_ns=_AT, latency_ns=20 * SECOND, outcome=1)
    slow = finding("latency", first_ns=_AT, last_ns=_AT, threshold_ms=1000.0)
    figures = figures_of(
        slow,
        rows=requests(cut, _answer("SMB2_SESSION_SETUP", status, _AT + SECOND)),
        in_flight=np.zeros(0, EVENT),
        connections=_NAS,
        samples=(),
        later=None,
        now_ns=_AT + SECOND,
    )
    assert decide(figures).rule not in ("credentials refused", "login not checked")
