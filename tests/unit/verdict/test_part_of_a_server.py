# SPDX-License-Identifier: MIT
"""One file, lock, path or process of many: what is well meanwhile narrows the cause down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray, Flag, Kind
from aodasync.evidence.model import Connection, Finding, Sample, Trigger
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.verdict.judge import Verdict, judge
from aodasync.verdict.next_steps import next_steps
from tests.builders import MS, SECOND, finding, in_flight, request, requests, tcp_socket, trouble

_NONE = np.zeros(0, EVENT)
_AT = 100 * SECOND
_ONE = {1: Connection(1, "nas", "10.0.0.1", 445)}
_TWO = {**_ONE, 3: Connection(3, "", "10.0.0.3", 445)}
_TCP = tcp_socket()


def _samples(share_of_cpu: float = 0.0, **late: Any) -> list[Sample]:
    """Ten calm seconds, then ten in which the socket was as ``late`` says."""
    samples = []
    for n in range(-10, 11):
        cpu_us = round(max(0, n) * share_of_cpu * 1e6)
        socket = replace(_TCP, **late) if n > 0 else _TCP
        samples.append(Sample(_AT + n * SECOND, (socket,), {"cpu": cpu_us}))
    return samples


def _judged(
    finding_: Finding,
    rows: EventArray = _NONE,
    waiting: EventArray = _NONE,
    samples: Sequence[Sample] = (),
    *,
    connections: Mapping[int, Connection] = _ONE,
    own_netns: int = 0,
) -> Verdict:
    trigger = Trigger(
        finding_.anomaly, finding_, (), _AT + 10 * SECOND, 0, 1, tuple(samples or _samples())
    )
    return judge(
        trigger,
        rows=rows,
        in_flight=waiting,
        connections=connections,
        shares={},
        later=None,
        own_netns=own_netns,
    )


def _hang(**changes: Any) -> Finding:
    return finding("hang", first_ns=_AT, last_ns=_AT + 10 * SECOND, threshold_ms=5000.0, **changes)


def _took(ms: float, at_ms: int, **fields: Any) -> EventArray:
    at_ns = _AT + at_ms * MS
    latency_ns = round(ms * MS)
    return request(released_ns=at_ns, latency_ns=latency_ns, received_ns=at_ns, **fields)


def test_a_server_that_answers_others_is_not_silent() -> None:
    """One READ hangs, what was sent later is answered: the file or its disk, for sure."""
    others = requests(*(_took(2, 500 * n, command=0x10) for n in range(1, 9)))
    judged = _judged(_hang(), others, in_flight(issued_ns=_AT))
    assert (judged.rule, judged.confidence) == ("some not answered", "high")
    assert "8 that were sent later" in judged.sentence
    assert "not 1 request, the oldest for 10.0 s" in judged.sentence


@pytest.mark.parametrize("at_ms", [9_500, 8_500])
def test_a_server_that_answers_on_another_connection_is_not_silent(at_ms: int) -> None:
    """Each has a process of its own, as with Samba: it is this one's that hangs."""
    other = _took(2, at_ms, connection_id=2)
    both = {**_ONE, 2: Connection(2, "nas", "10.0.0.1", 445)}
    hang = _hang(connections=(1, 2))
    judged = _judged(hang, other, in_flight(issued_ns=_AT), connections=both)
    assert judged.rule == "acknowledged but not answered"
    told = "On other connections it answered 1 in the last second" in judged.sentence
    assert told is (at_ms > 9_000)


def test_a_login_that_is_not_answered_waits_for_the_domain() -> None:
    """The file service is well; the same where the login ends at last."""
    login = ("SMB2_SESSION_SETUP",)
    waiting = in_flight("SMB2_SESSION_SETUP", issued_ns=_AT, tree_id=0)
    judged = _judged(_hang(commands=login), waiting=waiting)
    assert (judged.rule, judged.confidence) == ("login not answered", "medium")
    assert "The server does not answer the login, for 10.0 s by now" in judged.sentence
    assert not any("iostat" in step for step in judged.next)
    late = _took(7000, 7000, command=1)
    slow = finding(first_ns=_AT + 7 * SECOND, threshold_ms=100.0, commands=login)
    ended = _judged(slow, late)
    assert ended.rule == "slow to answer"
    assert "It is the login" in ended.sentence


def test_what_was_answered_before_proves_nothing() -> None:
    """Or after the decision: the service may have been silent all the time between."""
    others = requests(_took(2, -10), _took(2, 10_500))
    judged = _judged(_hang(), others, in_flight("SMB2_WRITE", issued_ns=_AT))
    assert judged.rule == "acknowledged but not answered"


def test_a_server_that_announced_what_it_does_not_finish() -> None:
    """It is there, and said so: its storage does not keep up."""
    waiting = in_flight("SMB2_WRITE", issued_ns=_AT, flags=int(Flag.ASYNC_RESPONSE))
    judged = _judged(_hang(), waiting=waiting)
    assert (judged.cause, judged.rule) == ("server", "announced but not done")


def test_an_open_that_waits_for_another_client_is_said_beside_another_cause() -> None:
    """The other client is on a path that is down, and so are requests of this one."""
    opened = in_flight("SMB2_CREATE", issued_ns=_AT, flags=int(Flag.ASYNC_RESPONSE))
    waiting = requests(opened, in_flight("SMB2_WRITE", issued_ns=_AT))
    judged = _judged(_hang(), waiting=waiting, samples=_samples(backoff=4, unacked=3))
    assert judged.rule == "nothing gets through"
    assert "it announced 1 open (SMB2_CREATE) as pending" in judged.sentence


def test_a_rename_waits_for_another_client_as_an_open_does() -> None:
    """Somebody has a file below the directory open, and does not give up its lease."""
    waiting = in_flight("SMB2_SET_INFO", issued_ns=_AT, flags=int(Flag.ASYNC_RESPONSE))
    judged = _judged(_hang(commands=("SMB2_SET_INFO",)), waiting=waiting)
    assert judged.rule == "waits for another client"
    assert "announced 1 request (SMB2_SET_INFO) as pending" in judged.sentence


def test_a_hang_of_a_host_short_of_cpu_is_not_certainly_the_server() -> None:
    """Its own receiving thread may not run."""
    waiting = in_flight("SMB2_WRITE", issued_ns=_AT)
    judged = _judged(_hang(), waiting=waiting, samples=_samples(share_of_cpu=0.95))
    assert (judged.cause, judged.confidence) == ("server", "medium")
    assert "short of CPU (95% of the time, 0% before)" in judged.sentence


@pytest.mark.parametrize(("answered", "cause"), [(False, "client"), (True, "server")])
def test_little_unread_data_is_enough_while_nothing_is_answered(answered: bool, cause: str) -> None:
    """A stream always has some unread; 60 KB for seconds in which nothing came are cifsd's."""
    rows = _took(2, 8000) if answered else _NONE
    waiting = in_flight("SMB2_WRITE", issued_ns=_AT)
    samples = _samples(unread_bytes=60_000)
    assert _judged(_hang(), rows, waiting, samples).cause == cause


@pytest.mark.parametrize("unread_bytes", [60_000, 900_000])
def test_a_stream_of_slow_answers_is_not_left_unread(unread_bytes: int) -> None:
    """READs of 4 MB take 0.7 s each: some of them wait, and at each sample much is on its way."""
    slow = requests(*(_took(700, 100 * n) for n in range(10, 100)))
    flying = (in_flight(issued_ns=_AT + (9_300 + 100 * n) * MS) for n in range(7))
    found = finding(first_ns=_AT + SECOND, threshold_ms=500.0, max_latency_ms=700.0)
    samples = _samples(unread_bytes=unread_bytes)
    judged = _judged(found, slow, requests(*flying), samples)
    assert (judged.cause, judged.rule) == ("server", "slow to answer")


def test_answers_that_lay_unread_are_the_client_afterwards_too() -> None:
    """All was read at last, and the requests ended: eight seconds late."""
    rows = requests(*(_took(8000, 8000 + n) for n in range(5)))
    slow = finding("latency", first_ns=_AT + 8 * SECOND, threshold_ms=100.0, max_latency_ms=8000.0)
    judged = _judged(slow, rows, samples=_samples(unread_bytes=2_000_000))
    assert (judged.cause, judged.rule) == ("client", "responses read late")


def test_what_is_asked_for_when_all_is_read_again_does_not_excuse_this_host() -> None:
    """Quick requests, of the moment between the first and the last of the late answers."""
    late = [_took(8000, 8000 + 20 * n) for n in range(5)]
    quick = [_took(2, 8030), _took(2, 8050)]
    slow = finding("latency", first_ns=_AT + 8 * SECOND, threshold_ms=100.0, max_latency_ms=8000.0)
    judged = _judged(slow, requests(*late, *quick), samples=_samples(unread_bytes=2_000_000))
    assert (judged.cause, judged.rule) == ("client", "responses read late")


def test_a_stream_that_always_has_something_unread_is_read_all_the_same() -> None:
    """A slow server's answers are many: each second there are some that were not read yet."""
    stream = requests(*(_took(300, 50 * n) for n in range(10, 190)))
    slow = finding("latency", first_ns=_AT + 500 * MS, threshold_ms=100.0, max_latency_ms=300.0)
    judged = _judged(slow, stream, samples=_samples(unread_bytes=90_000))
    assert (judged.cause, judged.rule) == ("server", "slow to answer")


def test_the_path_of_several_that_suffers_is_named() -> None:
    """The second address of a server is down: commands are for that one."""
    waiting = in_flight("SMB2_WRITE", issued_ns=_AT, connection_id=3)
    dead = replace(_TCP, cookie=8, address="10.0.0.3", backoff=4, unacked=3)
    samples = [replace(sample, sockets=(_TCP, dead)) for sample in _samples()]
    judged = _judged(_hang(connections=(1, 3)), _NONE, waiting, samples, connections=_TWO)
    assert judged.rule == "nothing gets through"
    assert judged.evidence["address"] == "10.0.0.3"
    assert "10.0.0.3" in judged.next[0]


@pytest.mark.parametrize("flags", [0, int(Flag.ASYNC_RESPONSE)])
@pytest.mark.parametrize(
    ("waits_ms", "rule"), [(600, "slow to answer"), (5000, "stopped"), (1900, "stopped")]
)
def test_a_server_that_is_slow_does_answer(waits_ms: int, rule: str, flags: int) -> None:
    """Each READ takes 0.7 s, and the next one waits for 0.6 s: it will be answered as well."""
    slow = requests(*(_took(700, 750 * n, flags=flags) for n in range(1, 13)))
    waiting = in_flight(issued_ns=_AT + 10 * SECOND - waits_ms * MS, flags=flags)
    finding_ = finding(first_ns=_AT, last_ns=_AT + 9 * SECOND, threshold_ms=500.0)
    judged = _judged(finding_, slow, waiting)
    stopped = "announced but not done" if flags else "acknowledged but not answered"
    assert judged.rule == (stopped if rule == "stopped" else rule)


def test_the_path_of_several_that_was_lost_is_named() -> None:
    """Though the other one of the server has all the requests meanwhile."""
    busy = requests(*(_took(2, 20 * n, connection_id=1) for n in range(50)))
    lost = requests(
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=3),
        trouble(Kind.CONNECT_ERROR, at_ns=_AT + MS, connection_id=3, status=113),
    )
    finding_ = finding("connection", codes=("RECONNECT",), first_ns=_AT, connections=(1, 3))
    judged = _judged(finding_, requests(busy, lost), connections=_TWO)
    assert judged.rule == "no route to the server"
    assert judged.evidence["address"] == "10.0.0.3"
    assert judged.refuted_by == "here: nc -vz -w 5 10.0.0.3 445 connects"
    assert "A firewall that drops port 445 looks the same." in judged.sentence


def test_a_few_slow_requests_of_many_are_not_the_whole_server() -> None:
    """A virus scanner delays each open; what is read meanwhile is quick."""
    opens = [_took(150, 200 * n, command=0x05) for n in range(1, 12)]
    reads = [_took(2, 100 * n) for n in range(1, 20)]
    slow = finding(
        "latency", first_ns=_AT, threshold_ms=100.0, max_latency_ms=150.0, commands=("SMB2_CREATE",)
    )
    judged = _judged(slow, requests(*opens, *reads))
    assert judged.rule == "slow to answer"
    assert "other requests took 2.0 ms" in judged.sentence


def test_one_slow_request_is_held_against_those_while_it_was_on_its_way() -> None:
    """They ended before it did, and none of those that came later counts."""
    flush = _took(3000, 3000, command=0x07)
    meanwhile = [_took(2, 100 * n) for n in range(1, 29)]
    later = [_took(400, 4000 + 500 * n) for n in range(9)]
    slow = finding("latency", first_ns=_AT + 3 * SECOND, threshold_ms=500.0, max_latency_ms=3000.0)
    judged = _judged(slow, requests(flush, *meanwhile, *later))
    assert "Meanwhile 28 other requests took 2.0 ms" in judged.sentence


@pytest.mark.parametrize(
    ("anomaly", "codes", "rule"),
    [
        ("connection", ("SHUTDOWN",), "torn down on this host"),
        ("error", ("EHOSTDOWN",), "torn down on this host"),
        ("error", ("EIO",), "answers not understood"),
    ],
)
def test_requests_that_end_without_an_ntstatus_say_why(
    anomaly: str, codes: tuple[str, ...], rule: str
) -> None:
    """A forced umount, and responses that nobody can parse."""
    assert _judged(finding(anomaly, codes=codes, first_ns=_AT)).rule == rule


def test_a_round_trip_that_rose_is_no_throttling() -> None:
    """A queue of the network delays each as evenly."""
    rows = requests(*(_took(300 + n % 5, 50 * n) for n in range(1, 30)))
    slow = finding("latency", first_ns=_AT, threshold_ms=100.0, max_latency_ms=305.0)
    judged = _judged(slow, rows, samples=_samples(rtt_ms=120.0))
    assert judged.confidence == "medium"
    assert "throttling" not in judged.sentence


def test_a_plateau_looks_like_a_limit() -> None:
    """Each takes 200 ms, whatever it is: that is how a server throttles."""
    rows = requests(*(_took(200 + n % 5, 50 * n) for n in range(1, 30)))
    slow = finding("latency", first_ns=_AT, threshold_ms=100.0, max_latency_ms=205.0)
    assert "throttling" in _judged(slow, rows).sentence
    spread = requests(*(_took(110 + 20 * n, 50 * n) for n in range(1, 30)))
    assert "throttling" not in _judged(slow, spread).sentence


@pytest.mark.parametrize(
    ("status", "rule", "words"),
    [
        ("STATUS_LOCK_NOT_GRANTED", "held by another", "open or locked"),
        ("STATUS_SHARING_VIOLATION", "held by another", "open or locked"),
        ("STATUS_IO_DEVICE_ERROR", "stated by the server", "storage of the server fails"),
        ("STATUS_DISK_FULL", "stated by the server", "no room"),
        ("STATUS_QUOTA_EXCEEDED", "stated by the server", "quota"),
        ("STATUS_INSUFFICIENT_RESOURCES", "stated by the server", "at a limit"),
        ("STATUS_REQUEST_NOT_ACCEPTED", "stated by the server", "throttles"),
        ("STATUS_ACCESS_DENIED", "stated by the server", "no right"),
    ],
)
def test_an_ntstatus_says_whose_affair_it_is(status: str, rule: str, words: str) -> None:
    """A lock is no fault of the server; a full disk and a limit are."""
    judged = _judged(finding("error", codes=(status,), first_ns=_AT))
    assert judged.rule == rule
    assert words in judged.sentence


def test_data_lost_is_told_with_the_reason_of_the_server() -> None:
    """The disk was full when it was written back: no figure of TCP is needed for that."""
    full = request("SMB2_WRITE", released_ns=_AT, status=STATUS_CODES["STATUS_DISK_FULL"])
    lost = trouble(Kind.FSYNC_ERROR, at_ns=_AT + MS, connection_id=1)
    judged = _judged(
        finding("connection", codes=("FSYNC_ERROR",), first_ns=_AT), requests(full, lost)
    )
    assert (judged.cause, judged.confidence) == ("server", "high")
    assert "answered STATUS_DISK_FULL" in judged.sentence
    assert judged.sentence.count("was lost") == 1


@pytest.mark.parametrize(("first", "doubted"), [("SMB2_READ", True), ("SMB2_CREATE", False)])
def test_a_reconnect_may_come_of_a_large_answer_that_was_lost(first: str, doubted: bool) -> None:
    """As the hang before it: ECHO's answers wait behind it too, until the client gives up."""
    end_ns = _AT + 60 * SECOND
    cut = [
        request(name, released_ns=end_ns, latency_ns=(60 - 12 * n) * SECOND, outcome=1)
        for n, name in enumerate((first, "SMB2_ECHO", "SMB2_ECHO"))
    ]
    lost = trouble(Kind.RECONNECT, at_ns=end_ns, connection_id=1)
    login = request("SMB2_SESSION_SETUP", released_ns=end_ns + SECOND, received_ns=end_ns + SECOND)
    finding_ = finding("connection", codes=("RECONNECT",), first_ns=end_ns)
    judged = _judged(finding_, requests(*cut, lost, login))
    assert judged.rule == "silent before the reconnect"
    assert ("is a large one" in judged.sentence) is doubted


@pytest.mark.parametrize(("idle", "confidence"), [(True, "low"), (False, "medium")])
def test_an_idle_connection_may_be_ended_by_others_than_its_server(
    idle: bool, confidence: str
) -> None:
    """Devices on the way end what is idle, and nothing but the server what is busy, as a rule."""
    lost = trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1)
    finding_ = finding("connection", codes=("RECONNECT",), first_ns=_AT, idle=idle)
    judged = _judged(finding_, lost)
    assert (judged.rule, judged.confidence) == ("closed by the server", confidence)
    assert ("a firewall or load balancer that ends idle" in judged.sentence) is idle


def test_what_a_reconnect_is_about_to_cut_off_is_no_silence() -> None:
    """They are in flight at the decision, and end a moment later: the reconnect was not idle."""
    decided_ns = _AT + 10 * SECOND
    waiting = requests(
        *(in_flight(issued_ns=decided_ns - 800 * MS, message_id=n) for n in range(5))
    )
    cut = waiting.copy()
    cut["released_ns"], cut["outcome"] = decided_ns + 3 * MS, 1
    lost = trouble(Kind.RECONNECT, at_ns=decided_ns, connection_id=1)
    finding_ = finding("connection", codes=("RECONNECT",), first_ns=decided_ns, idle=True)
    judged = _judged(finding_, requests(lost, cut), waiting)
    assert (judged.rule, judged.confidence) == ("closed by the server", "medium")
    assert "idle" not in judged.sentence


@pytest.mark.parametrize(("connection_id", "told"), [(1, True), (2, False)])
def test_data_lost_in_an_episode_that_began_otherwise_is_told(
    connection_id: int, told: bool
) -> None:
    """The error comes after the reconnect, and names no connection: its failed WRITE has one."""
    rows = requests(
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
        request("SMB2_WRITE", released_ns=_AT + MS, outcome=1, connection_id=connection_id),
        trouble(Kind.FLUSH_ERROR, at_ns=_AT + 500 * MS, connection_id=0),
    )
    finding_ = finding("connection", codes=("RECONNECT",), first_ns=_AT, connections=(1,))
    judged = _judged(finding_, rows)
    assert judged.rule == "closed by the server"
    assert ("Data that programs had written before was lost." in judged.sentence) is told


def test_no_step_is_for_an_address_that_nobody_knows() -> None:
    """Nothing to ping; what is left can be run."""
    steps = next_steps("", "unknown", "unknown", "", 445)
    assert steps
    assert not any("ping" in step for step in steps)


@pytest.mark.parametrize(
    ("status", "rule", "words"),
    [
        ("STATUS_ACCESS_DENIED", "stated by the server", "getcifsacl"),
        ("STATUS_DISK_FULL", "stated by the server", "df -h"),
        ("STATUS_DISK_FULL", "writes refused with their reason", "df -h"),
        ("STATUS_INSUFF_SERVER_RESOURCES", "stated by the server", "smbstatus -p"),
        ("STATUS_REQUEST_NOT_ACCEPTED", "login failed", "smbstatus -p"),
        ("STATUS_INVALID_PARAMETER", "login failed", "journalctl -u smbd"),
        ("STATUS_IO_DEVICE_ERROR", "stated by the server", "iostat"),
        ("STATUS_MEDIA_WRITE_PROTECTED", "stated by the server", "journalctl -u smbd"),
    ],
)
def test_what_to_do_is_about_what_the_server_said(status: str, rule: str, words: str) -> None:
    """The speed of its disks is no matter where a right is missing, or room."""
    steps = " ".join(next_steps(rule, "server", "nas", "10.0.0.1", 445, said=(status,)))
    assert words in steps
    assert ("iostat" in steps) is (words == "iostat")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("connecting fails on this host", "nft list ruleset"),
        ("not sent", "nft list ruleset"),
        ("torn down on this host", "journalctl"),
        ("session ended", "smbstatus -p"),
        ("no route to the server", "getent ahosts nas"),
        ("no access to the share", "smbclient //10.0.0.1/SHARE"),
    ],
)
def test_what_to_do_is_about_the_rule_that_held(rule: str, words: str) -> None:
    """Pressure and disks are for what is slow."""
    for cause in ("client", "network", "server", "credentials"):
        steps = " ".join(next_steps(rule, cause, "nas", "10.0.0.1", 445))
        assert words in steps
        assert "iostat" not in steps
        assert "pressure" not in steps


def test_nobody_logs_in_on_azure_files() -> None:
    """What is to be done on the server, and what would refute it there, is for its portal."""
    name = "acct.File.core.windows.net"
    steps = next_steps("session ended", "server", name, "20.60.1.9", 445)
    assert [step.partition(":")[0] for step in steps] == ["in the Azure portal"]
    slow = finding(first_ns=_AT, last_ns=_AT + 9 * SECOND, server=name)
    judged = _judged(slow, requests(*(_took(150, 200 * n) for n in range(1, 40))))
    assert judged.rule == "slow to answer"
    assert judged.refuted_by.startswith("in the Azure portal: the metrics of the share")
    assert not any(step.startswith("on ") for step in judged.next)


def test_a_port_of_its_own_is_in_the_commands() -> None:
    """Smbclient asks 445 unless it is told."""
    refused = request("SMB2_SESSION_SETUP", released_ns=_AT, status=0xC000006D)
    finding_ = finding("connection", codes=("STATUS_LOGON_FAILURE",), first_ns=_AT)
    other = {1: Connection(1, "nas", "10.0.0.1", 1445)}
    judged = _judged(finding_, refused, connections=other)
    assert judged.refuted_by.startswith("smbclient -p 1445 -L //10.0.0.1 ")
    assert any("smbclient -p 1445 -L 10.0.0.1 " in step for step in judged.next)


def test_commands_for_an_ipv6_address_are_as_they_take_it() -> None:
    """The program ss wants brackets, which a shell would read; its packets hold 20 bytes less."""
    steps = " ".join(next_steps("", "network", "nas", "2001:db8::5", 445))
    assert "ss -tin dst '[2001:db8::5]'" in steps
    assert "ping -M do -s 1452 -c 5 2001:db8::5" in steps
    six = {1: Connection(1, "nas", "2001:db8::5", 445)}
    unread = replace(_TCP, address="2001:db8::5", unread_bytes=2 << 20)
    samples = [replace(sample, sockets=(unread,)) for sample in _samples()]
    judged = _judged(_hang(), waiting=in_flight(issued_ns=_AT), samples=samples, connections=six)
    assert judged.refuted_by.startswith("ss -tn dst '[2001:db8::5]': Recv-Q")


def test_the_network_is_asked_where_the_mount_is() -> None:
    """A container's mount has a network of its own: this host's shows nothing of it."""
    other = {1: Connection(1, "nas", "10.0.0.1", 445, netns=77)}
    refused = request("SMB2_SESSION_SETUP", released_ns=_AT, status=0xC000006D)
    finding_ = finding("connection", codes=("STATUS_LOGON_FAILURE",), first_ns=_AT)
    there = "in the mount's network (lsns 77; nsenter -n -t PID): "
    judged = _judged(finding_, refused, connections=other, own_netns=5)
    assert judged.refuted_by.startswith(f"{there}smbclient -L //10.0.0.1 ")
    assert any(step.startswith(f"{there}smbclient -L 10.0.0.1 ") for step in judged.next)
    assert any(step.startswith("here: grep ") for step in judged.next)
    assert any(step.startswith("on nas: ") for step in judged.next)
    for own_netns in (77, 0):
        here = _judged(finding_, refused, connections=other, own_netns=own_netns)
        assert there not in " ".join((here.refuted_by, *here.next))
