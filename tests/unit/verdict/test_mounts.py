# SPDX-License-Identifier: MIT
"""A verdict about credentials or a share names the mount and its user, in its commands too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray, Kind
from aodasync.evidence.model import Connection, Trigger
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.verdict.judge import Verdict, judge
from aodasync.verdict.mounts import mounts_of
from tests.builders import SECOND, finding, request, requests, trouble

_NAS = {1: Connection(1, "nas", "10.0.0.1", 445)}


def _mount(n: int = 1, **changes: Any) -> dict[str, Any]:
    mount = {
        "source": f"//NAS/data{n}",
        "mount_point": f"/mnt/{n}",
        "server": "NAS",
        "username": "svc",
    }
    return mount | changes


def _judged(mounts: Any, status: str = "STATUS_LOGON_FAILURE") -> Verdict:
    login = request("SMB2_SESSION_SETUP", released_ns=100 * SECOND, status=STATUS_CODES[status])
    found = finding("connection", codes=(status,), first_ns=100 * SECOND)
    trigger = Trigger("connection", found, (), 101 * SECOND, 0, 1)
    return judge(
        trigger,
        rows=login,
        in_flight=np.zeros(0, EVENT),
        connections=_NAS,
        shares={},
        later=None,
        mounts=mounts,
    )


def test_refused_credentials_name_the_mount_and_its_user() -> None:
    """And the commands hold its user name instead of a placeholder."""
    judged = _judged([_mount(), _mount(2, server="other")])
    assert judged.sentence.endswith("It is about //NAS/data1 on /mnt/1 (username=svc).")
    assert judged.refuted_by.startswith("smbclient -L //10.0.0.1 -U svc succeeds:")
    assert any("-U svc" in step for step in judged.next)


def _login(status: str) -> EventArray:
    at_ns, code = 100 * SECOND, STATUS_CODES[status]
    return request("SMB2_SESSION_SETUP", released_ns=at_ns, latency_ns=SECOND, status=code)


@pytest.mark.parametrize(("lost", "named"), [(False, False), (True, True)])
def test_a_mount_that_works_is_not_named_for_one_that_is_tried(lost: bool, named: bool) -> None:
    """Over the same connection, as another user; unless it was lost before that login."""
    refused = "STATUS_LOGON_FAILURE"
    rows = [
        request(released_ns=90 * SECOND),
        *([trouble(Kind.RECONNECT, at_ns=95 * SECOND, connection_id=1)] if lost else []),
        _login(refused),
        request(released_ns=101 * SECOND),
    ]
    found = finding("connection", codes=(refused,), first_ns=100 * SECOND)
    judged = judge(
        Trigger("connection", found, (), 101 * SECOND, 0, 1),
        rows=requests(*rows),
        in_flight=np.zeros(0, EVENT),
        connections=_NAS,
        shares={},
        later=None,
        mounts=[_mount()],
    )
    assert judged.rule == "credentials refused"
    assert ("//NAS/data1" in judged.sentence) is named
    assert ("-U svc" in judged.refuted_by) is named
    assert bool(judged.who.shares) is named


def test_users_that_differ_are_not_guessed() -> None:
    """Two mounts of one server as two users: the command keeps its placeholder."""
    judged = _judged([_mount(), _mount(2, username="jane")])
    assert "-U USER" in judged.refuted_by
    assert "//NAS/data1 on /mnt/1 (username=svc), //NAS/data2 on /mnt/2" in judged.sentence


@pytest.mark.parametrize(
    ("tree", "sentence", "command"),
    [
        (6, "It is about //NAS/data2 on /mnt/2 (username=jane).", "-U jane"),
        (7, "It may be about //NAS/data1 on /mnt/1 (username=svc), //NAS/data2 on", "-U USER"),
    ],
)
def test_a_share_that_is_gone_is_the_one_that_is_named(
    tree: int, sentence: str, command: str
) -> None:
    """The requests that said so tell which; where none does, others may work."""
    gone = "STATUS_NETWORK_NAME_DELETED"
    row = request(released_ns=100 * SECOND, session_id=9, tree_id=tree, status=STATUS_CODES[gone])
    found = finding("connection", codes=(gone,), first_ns=100 * SECOND)
    judged = judge(
        Trigger("connection", found, (), 101 * SECOND, 0, 1),
        rows=row,
        in_flight=np.zeros(0, EVENT),
        connections=_NAS,
        shares={(9, 5): "//nas/data1", (9, 6): "//nas/data2"},
        later=None,
        mounts=[_mount(), _mount(2, username="jane")],
    )
    assert sentence in judged.sentence
    assert command in judged.refuted_by


def test_many_mounts_are_counted() -> None:
    """Three are named."""
    sentence = mounts_of([_mount(n) for n in range(9)], ["nas"]).sentence()
    assert sentence.endswith("/mnt/2 (username=svc) and 6 more.")


def test_a_name_is_quoted_for_a_shell() -> None:
    """Whatever somebody mounted, and with bytes that are no UTF-8 shown as such."""
    mounts = mounts_of([_mount(source="//nas/a;rm -rf b", username="x\\y \udcff")], ["nas"])
    assert mounts.filled_in("-U USER //h/SHARE") == "-U 'x\\y ?' //h/'a;rm -rf b'"


@pytest.mark.parametrize("odd", [None, "x", [None], [{"server": "nas"}], [_mount(username=5)]])
def test_odd_mounts_of_a_recording_are_left_out(odd: Any) -> None:
    """A verdict does not fail for them."""
    assert _judged(odd).rule == "credentials refused"
    assert "about" not in _judged(odd).sentence
