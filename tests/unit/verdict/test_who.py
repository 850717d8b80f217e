# SPDX-License-Identifier: MIT
"""Who suffers: by the time that was waited, of the episode's server alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from aodasync.events import FILE_ID
from aodasync.evidence.file_book import FileBook, Opening
from aodasync.evidence.model import Connection, Trigger
from aodasync.verdict.next_steps import next_steps
from aodasync.verdict.who import Who, who_suffers, who_waited
from tests.builders import MS, SECOND, finding, in_flight, request, requests

_NAS = Connection(1, "nas", "192.0.2.1", 445)


def test_time_is_what_counts_not_requests() -> None:
    """Many quick requests hurt no process; those that have not ended count with their age."""
    rows = requests(
        *(
            request(released_ns=5 * SECOND, latency_ns=MS, comm=b"busy", tgid=1, tree_id=9)
            for _ in range(50)
        ),
        request(released_ns=5 * SECOND, latency_ns=400 * MS, comm=b"db", tgid=2, tree_id=7),
    )
    waiting = in_flight(issued_ns=4 * SECOND, comm=b"stuck", tgid=3)
    who = who_waited(
        rows, waiting, threshold_ms=0, began_ns=0, now_ns=6 * SECOND, shares={(0, 7): "//nas/data"}
    )
    assert [(p.name, p.pid) for p in who.processes] == [("stuck", 3), ("db", 2), ("busy", 1)]
    assert who.processes[0].slow_ms == 2000
    assert sum(p.share_of_time for p in who.processes) == pytest.approx(1, abs=1e-3)
    assert {s.name for s in who.shares} == {"//nas/data", "unknown share"}


def test_requests_of_a_session_keep_every_share_of_its_server_waiting() -> None:
    """They have no tree id. As soon as one request names its share, that share alone counts."""
    login = request(
        "SMB2_SESSION_SETUP", released_ns=5 * SECOND, latency_ns=MS, comm=b"db", tree_id=0
    )
    waiting = in_flight("SMB2_NEGOTIATE", issued_ns=4 * SECOND, comm=b"db", tree_id=0)
    mounted = ("//nas/data", "//nas/home", "//nas/data")
    waited = partial(
        who_waited,
        threshold_ms=0,
        began_ns=0,
        now_ns=6 * SECOND,
        shares={(0, 7): "//nas/data"},
        mounted=mounted,
    )
    who = waited(requests(login), waiting)
    assert [(s.name, s.requests, s.slow_ms) for s in who.shares] == [
        ("//nas/data", 2, 2001),
        ("//nas/home", 2, 2001),
    ]
    write = request("SMB2_WRITE", released_ns=5 * SECOND, latency_ns=MS, tree_id=7)
    named = waited(requests(login, write), waiting)
    assert [s.name for s in named.shares] == ["//nas/data"]
    assert waited(requests(), waiting[:0]).shares == ()


def test_files_are_ranked_by_the_time_that_their_requests_took() -> None:
    """One that has no name is left out; what it waited is part of the whole."""
    rows = requests(
        request(released_ns=5 * SECOND, latency_ns=100 * MS, message_id=1),
        request(released_ns=5 * SECOND, latency_ns=300 * MS, message_id=2),
        request(released_ns=5 * SECOND, latency_ns=600 * MS, message_id=3),
    )
    book = FileBook()
    creates = requests(
        *(request("SMB2_CREATE", message_id=n, released_ns=SECOND) for n in (11, 12))
    )
    for create, name in zip(creates, ("small", "dir/large"), strict=True):
        connection, message = int(create["connection_id"]), int(create["message_id"])
        issued_ns, pid = int(create["issued_ns"]), int(create["pid"])
        book.opening([Opening(connection, message, issued_ns, pid, name)])
    book.ended(creates, np.array([(1, 1), (2, 2)], FILE_ID))
    book.ended(rows[:2], np.array([(1, 1), (2, 2)], FILE_ID))
    who = who_waited(
        rows, rows[:0], threshold_ms=0, began_ns=0, now_ns=6 * SECOND, shares={}, files=book
    )
    assert [(f.name, f.share_of_time) for f in who.files] == [("dir/large", 0.3), ("small", 0.1)]


def test_requests_below_the_threshold_and_before_the_episode_do_not_count() -> None:
    """Nor do those of other servers."""
    rows = requests(
        request(released_ns=1 * SECOND, latency_ns=500 * MS, tgid=1),
        request(released_ns=5 * SECOND, latency_ns=5 * MS, tgid=2),
        request(released_ns=5 * SECOND, latency_ns=500 * MS, tgid=3, connection_id=2),
        request(released_ns=5 * SECOND, latency_ns=500 * MS, tgid=4),
    )
    found = finding(server="nas", first_ns=4 * SECOND, threshold_ms=20.0)
    trigger = Trigger("latency", found, (), 6 * SECOND, 0, 1)
    who = who_suffers(trigger, rows, rows[:0], own=[_NAS], shares={})
    assert [p.pid for p in who.processes] == [4]


def test_of_an_anomaly_of_codes_those_that_failed_count() -> None:
    """However quick the failure was."""
    rows = requests(
        request(released_ns=5 * SECOND, tgid=1, status=0xC0000022),
        request(released_ns=5 * SECOND, tgid=2, latency_ns=900 * MS),
    )
    found = finding(server="nas", first_ns=1, threshold_ms=0.0, codes=("STATUS_ACCESS_DENIED",))
    trigger = Trigger("error", found, (), 6 * SECOND, 0, 1)
    who = who_suffers(trigger, rows, rows[:0], own=[_NAS], shares={})
    assert [p.pid for p in who.processes] == [1]
    assert who_suffers(Trigger("s", None, (), 0, 0, 0), rows, rows, own=[], shares={}) == Who()


@pytest.mark.parametrize("cause", ["server", "network", "client", "credentials", "unknown", "odd"])
def test_every_cause_has_steps_that_can_be_run(cause: str) -> None:
    """They name the server, and quote what a server called itself."""
    steps = next_steps("", cause, "n;rm -rf $HOME", "192.0.2.1", 445)
    assert steps
    assert not any("n;rm" in step and "'n;rm -rf $HOME'" not in step for step in steps)
