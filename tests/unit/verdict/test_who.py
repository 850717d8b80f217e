# SPDX-License-Identifier: MIT
"""Who suffers: by the time that was waited, of the episode's server alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from aodasync.events import FILE_ID, OPERATION, Kind, OperationArray
from aodasync.evidence.file_book import FileBook, Opening
from aodasync.evidence.model import Connection, Stall, Trigger
from aodasync.verdict.next_steps import next_steps
from aodasync.verdict.waiting_threads import Inside
from aodasync.verdict.who import Who, who_suffers, who_waited
from tests.builders import MS, SECOND, finding, in_flight, request, requests, trouble

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


def _operation(pid: int, started_ns: int, comm: bytes = b"db") -> OperationArray:
    operation = np.zeros(1, OPERATION)
    operation["pid"], operation["tgid"] = pid, pid
    operation["started_ns"], operation["comm"] = started_ns, comm
    return operation


def test_a_thread_that_waits_without_a_request_suffers_too() -> None:
    """While a connection is lost nobody can send: it counts on the server it last asked."""
    rows = requests(
        request(released_ns=2 * SECOND, pid=11, tgid=11, tree_id=7),
        request(released_ns=3 * SECOND, pid=12, tgid=12, connection_id=2),
        request("SMB2_NEGOTIATE", released_ns=5 * SECOND, comm=b"kworker", pid=5, tree_id=0),
    )
    operations = np.concatenate(
        [
            _operation(11, SECOND),
            _operation(11, 4 * SECOND),
            _operation(12, SECOND, b"of another server"),
            _operation(13, SECOND, b"of none"),
        ]
    )
    found = finding(server="nas", first_ns=4 * SECOND, threshold_ms=0.0)
    trigger = Trigger("connection", found, (), 6 * SECOND, 0, 1)
    suffers = partial(who_suffers, trigger, rows, own=[_NAS], shares={}, operations=operations)
    who = suffers(rows[:0], mounted=["//nas/data"])
    assert [(p.name, p.requests, p.slow_ms) for p in who.processes] == [
        ("db", 0, 4000.0),
        ("kworker", 1, pytest.approx(1.0, abs=10)),
    ]
    assert [s.name for s in who.shares] == ["//nas/data"]
    has_one = in_flight(issued_ns=5 * SECOND, pid=11, tgid=11, comm=b"db")
    assert [p.requests for p in suffers(has_one).processes] == [1, 1]


def test_a_thread_that_waits_for_a_lost_connection_suffers_too() -> None:
    """Trouble of a connection has codes always; who waits for it has no request that failed."""
    rows = requests(
        request(released_ns=SECOND, pid=11, tgid=11, comm=b"db"),
        request(released_ns=5 * SECOND, latency_ns=MS, outcome=1, pid=12, tgid=12, comm=b"cp"),
    )
    found = finding("connection", server="nas", first_ns=4 * SECOND, codes=("RECONNECT",))
    trigger = Trigger("connection", replace(found, threshold_ms=0.0), (), 9 * SECOND, 0, 1)
    waits = _operation(11, 2 * SECOND)
    who = who_suffers(trigger, rows, rows[:0], own=[_NAS], shares={}, operations=waits)
    assert [(p.name, p.slow_ms) for p in who.processes] == [("db", 7000.0), ("cp", 1.0)]


def test_who_comes_to_a_lost_connection_later_suffers_too() -> None:
    """It was lost while nobody used it; who is inside when all is collected waits for it."""
    rows = requests(
        request(released_ns=SECOND, pid=11, tgid=11, comm=b"db"),
        request(released_ns=SECOND, pid=12, tgid=12, comm=b"cp"),
    )
    found = finding("connection", server="nas", first_ns=4 * SECOND, codes=("RECONNECT",))
    trigger = Trigger("connection", replace(found, threshold_ms=0.0), (), 4 * SECOND, 0, 1)
    came = np.concatenate([_operation(11, 5 * SECOND), _operation(12, 7 * SECOND - MS, b"cp")])
    suffers = partial(who_suffers, rows=rows, in_flight=rows[:0], own=[_NAS], shares={})
    who = suffers(trigger, meanwhile=Inside(came, rows[:0], 7 * SECOND))
    assert [(p.name, p.slow_ms) for p in who.processes] == [("db", 2000.0)]
    slow = Trigger("latency", finding(first_ns=4 * SECOND), (), 4 * SECOND, 0, 1)
    assert suffers(slow, meanwhile=Inside(came, rows[:0], 7 * SECOND)).processes == ()


def test_who_lost_data_is_who_was_told_so() -> None:
    """Its writes have failed before, in the name of a kworker; of which share, they say."""
    rows = requests(
        request(
            "SMB2_WRITE", released_ns=4 * SECOND, status=0xC000007F, comm=b"kworker", tree_id=7
        ),
        *(
            trouble(Kind.FLUSH_ERROR, at_ns=at_ns, connection_id=0, comm=comm, tgid=tgid)
            for at_ns, comm, tgid in (
                (5 * SECOND, b"db", 11),
                (5 * SECOND + MS, b"cp", 12),
                (5 * SECOND + 2 * MS, b"db", 11),
            )
        ),
    )
    found = finding("connection", server="nas", first_ns=5 * SECOND, codes=("FLUSH_ERROR",))
    trigger = Trigger("connection", replace(found, threshold_ms=0.0), (), 6 * SECOND, 0, 1)
    shares = {(0, 7): "//nas/data"}
    who = who_suffers(trigger, rows, rows[:0], own=[_NAS], shares=shares)
    assert [(p.name, p.pid, p.requests) for p in who.processes] == [("db", 11, 2), ("cp", 12, 1)]
    assert who.processes[0].share_of_time == pytest.approx(2 / 3, abs=1e-3)
    assert [s.name for s in who.shares] == ["//nas/data"]


def test_what_may_wait_for_ever_does_not_suffer() -> None:
    """A file manager waits for changes since this morning, a database for a lock, nobody for ECHO.

    Of an episode of nothing else they are what there is.
    """
    idle = requests(
        in_flight("SMB2_CHANGE_NOTIFY", issued_ns=SECOND, comm=b"nautilus", tgid=1),
        in_flight("SMB2_LOCK", issued_ns=2 * SECOND, comm=b"db", tgid=2),
        in_flight("SMB2_ECHO", issued_ns=3 * SECOND, comm=b"kworker", tgid=3),
    )
    hung = in_flight("SMB2_CREATE", issued_ns=890 * SECOND, comm=b"cp", tgid=4)
    found = finding(
        "hang", server="nas", first_ns=890 * SECOND, threshold_ms=5000.0, commands=("SMB2_CREATE",)
    )
    trigger = Trigger("hang", found, (), 900 * SECOND, 0, 1)
    suffers = partial(who_suffers, trigger, requests(), own=[_NAS], shares={})
    assert [p.name for p in suffers(requests(idle, hung)).processes] == ["cp"]
    assert [p.name for p in suffers(idle).processes] == ["nautilus", "db", "kworker"]


def test_what_fails_all_day_does_not_suffer_from_what_failed_now() -> None:
    """A search reads to the end of thousands of files while a disk is full."""
    rows = requests(
        *(
            request(released_ns=5 * SECOND, latency_ns=MS, status=0xC0000011, comm=b"grep", tgid=1)
            for _ in range(50)
        ),
        request(released_ns=5 * SECOND, latency_ns=MS, status=0xC000007F, comm=b"cp", tgid=2),
        request(released_ns=5 * SECOND, latency_ns=MS, status=0xC0001234, comm=b"odd", tgid=3),
    )
    for code, name in (("STATUS_DISK_FULL", "cp"), ("0xC0001234", "odd")):
        found = finding("error", first_ns=SECOND, threshold_ms=0.0, codes=(code,))
        trigger = Trigger("error", found, (), 6 * SECOND, 0, 1)
        who = who_suffers(trigger, rows, rows[:0], own=[_NAS], shares={})
        assert [p.name for p in who.processes] == [name]


def test_the_stalls_of_a_hang_say_who_waits() -> None:
    """For as long as they had no request."""
    stall = Stall(11, 10, "db", "cifs_open", "reconnect", age_ms=9000.0, quiet_ms=8000.0)
    found = finding(server="nas", first_ns=SECOND, threshold_ms=5000.0, stalls=(stall,))
    trigger = Trigger("hang", found, (), 10 * SECOND, 0, 1)
    none = requests()
    who = who_suffers(trigger, none, none, own=[_NAS], shares={}, mounted=["//nas/data"])
    assert [(p.name, p.pid, p.slow_ms) for p in who.processes] == [("db", 10, 8000.0)]
    assert [(s.name, s.share_of_time) for s in who.shares] == [("//nas/data", 1.0)]


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


@pytest.mark.parametrize(
    ("session_id", "processes"), [(7, ["editor"]), (8, ["kworker/1:0"])], ids=["known", "unknown"]
)
def test_what_a_kworker_sends_counts_for_who_opened_the_file(
    session_id: int, processes: list[str]
) -> None:
    """A CLOSE that the client had put off, whose share is gone; else the kworker is named."""
    create = request(
        "SMB2_CREATE", released_ns=SECOND, comm=b"editor", tgid=5, message_id=1, session_id=7
    )
    close = request(
        "SMB2_CLOSE", released_ns=5 * SECOND, latency_ns=MS, comm=b"kworker/1:0", tgid=9,
        message_id=2, session_id=session_id, status=0xC00000C9,
    )  # fmt: skip
    rows = requests(create, close)
    book = FileBook()
    book.ended(rows, np.array([(3, 4), (3, 4)], FILE_ID))
    found = finding("connection", server="nas", first_ns=4 * SECOND, threshold_ms=0.0)
    found = replace(found, codes=("STATUS_NETWORK_NAME_DELETED",))
    trigger = Trigger("connection", found, (), 6 * SECOND, 0, 1)
    who = who_suffers(trigger, rows, rows[:0], own=[_NAS], shares={}, files=book)
    assert [p.name for p in who.processes] == processes


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


def test_who_came_after_the_last_answer_waits_as_well() -> None:
    """The first request to reach the age may be of the kernel's own thread, and nobody's.

    A young one that came while its connection still answered is no part of it, nor is one of
    the last moment.
    """
    ended_ns = 4 * SECOND + 900 * MS
    rows = requests(
        request(released_ns=ended_ns, received_ns=ended_ns, latency_ns=MS, pid=11),
        request(released_ns=7 * SECOND, received_ns=7 * SECOND, latency_ns=MS, pid=12),
    )
    waiting = np.concatenate(
        [
            in_flight("SMB2_CLOSE", issued_ns=4 * SECOND, comm=b"kworker/0:0", tgid=9),
            in_flight(issued_ns=5 * SECOND, comm=b"db", tgid=2),
            in_flight(issued_ns=6 * SECOND - 50 * MS, comm=b"late", tgid=3),
            in_flight(issued_ns=4 * SECOND + 800 * MS, comm=b"own", tgid=4),
        ]
    )
    found = finding(server="nas", first_ns=4 * SECOND, threshold_ms=1999.0)
    trigger = Trigger("hang", found, (), 6 * SECOND, 0, 1)
    blocked = np.concatenate(
        [_operation(11, 5 * SECOND + 100 * MS, b"blocked"), _operation(12, 5 * SECOND)]
    )
    who = who_suffers(trigger, rows, waiting, own=[_NAS], shares={}, operations=blocked)
    assert [(p.name, p.requests, p.slow_ms) for p in who.processes] == [
        ("kworker/0:0", 1, 2000),
        ("db", 1, 1000),
        ("blocked", 0, 900),
    ]
