# SPDX-License-Identifier: MIT
"""From recorded requests and samples of the surroundings to a cause."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray, Flag, Kind, Outcome
from aodasync.evidence.model import Connection, Finding, Sample, Stall, Trigger
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import STATUS_CODES
from aodasync.verdict import judge as judging
from aodasync.verdict.figures import Figures, figures_of
from aodasync.verdict.judge import Verdict, decide, judge
from aodasync.verdict.rules import DOUBTS, RULES
from tests.builders import MS, SECOND, finding, in_flight, request, requests, tcp_socket, trouble

_NONE = np.zeros(0, EVENT)
_NAS = {1: Connection(1, "nas", "10.0.0.1", 445), 2: Connection(2, "other", "10.0.0.2", 445)}
_TCP = tcp_socket(retransmits=3)
_AT = 100 * SECOND


def _finding(type_: str = "latency", **changes: Any) -> Finding:
    values = {"count": 5, "threshold_ms": 50.0, "max_latency_ms": 120.0, **changes}
    return finding(type_, **{"first_ns": _AT, "last_ns": _AT + SECOND, **values})


def _samples(*, cpu: tuple[float, float] = (0.1, 0.1), **last: Any) -> list[Sample]:
    """Ten calm seconds, then one more in which the socket came to be as ``last`` says."""
    calm = [
        Sample(_AT + (n - 11) * SECOND, (_TCP,), {"cpu": round(n * cpu[0] * 1e6)})
        for n in range(10)
    ]
    stalled_us = calm[-1].stalled_us["cpu"] + round(3e6 * cpu[1])
    socket = (replace(_TCP, **last),) if last.get("established", True) else ()
    return [*calm, Sample(_AT + SECOND, socket, {"cpu": stalled_us})]


def _slow(*, wire_ms: float, client_ms: float = 0.1, share: float = 1.0) -> EventArray:
    """A second of requests of which ``share`` were slow, after ten calm seconds."""
    calm = [_answered(_AT - n * 100 * MS, 2.0, 0.1) for n in range(5, 100)]
    late = [
        _answered(_AT + n * 10 * MS, wire_ms if n < 100 * share else 2.0, client_ms)
        for n in range(100)
    ]
    return requests(*calm, *late)


def _answered(released_ns: int, wire_ms: float, client_ms: float) -> EventArray:
    latency_ns = round((wire_ms + client_ms) * MS)
    received_ns = released_ns - round(client_ms * MS)
    return request(released_ns=released_ns, latency_ns=latency_ns, received_ns=received_ns)


def _judged(
    finding: Finding,
    rows: EventArray = _NONE,
    waiting: EventArray = _NONE,
    samples: Sequence[Sample] = (),
    connections: Mapping[int, Connection] = _NAS,
) -> tuple[str, str]:
    figures = figures_of(
        finding,
        rows=rows,
        in_flight=waiting,
        connections=connections,
        samples=samples,
        later=None,
        now_ns=_AT + SECOND,
    )
    judged = decide(figures)
    assert "{" not in judged.sentence
    return judged.cause, judged.rule


def test_a_longer_round_trip_is_the_network() -> None:
    """Every request takes 100 ms longer, and so does TCP's round trip."""
    verdict_ = _judged(_finding(), _slow(wire_ms=102), samples=_samples(rtt_ms=95.0))
    assert verdict_ == ("network", "long round trips")


@pytest.mark.parametrize(
    ("quick_ms", "rtt_ms", "cause"),
    [(205, 198.0, "network"), (205, 90.0, "server"), (2, 198.0, "server")],
)
def test_a_queue_that_builds_up_is_the_network(quick_ms: float, rtt_ms: float, cause: str) -> None:
    """TCP's smoothed round trip trails behind; it explains the quickest, if these are slow."""
    calm = [_answered(_AT - n * 100 * MS, 2.0, 0.1) for n in range(5, 100)]
    during = [_answered(_AT + n * 10 * MS, quick_ms if n < 40 else 510, 0.1) for n in range(100)]
    rows = requests(*calm, *during)
    assert _judged(_finding(), rows, samples=_samples(rtt_ms=rtt_ms))[0] == cause


@pytest.mark.parametrize(("quiet", "cause"), [(True, "network"), (False, "server")])
def test_what_nobody_acknowledges_was_not_delivered(quiet: bool, cause: str) -> None:
    """A firewall of this host drops it, so TCP keeps its timer: nothing was lost, nor heard."""
    samples = [
        *_samples()[:-1],
        *(
            Sample(
                _AT + n * SECOND,
                (replace(_TCP, unacked=1, quiet_ms=n * 1000 + 900 if quiet else 40),),
                {},
            )
            for n in range(5)
        ),
    ]
    waiting = requests(in_flight("SMB2_CREATE", issued_ns=_AT))
    hang = _finding("hang", first_ns=_AT)
    judged = _verdict(hang, waiting=waiting, samples=samples, now_ns=_AT + 5 * SECOND)
    assert judged.cause == cause


def test_lost_segments_are_the_network() -> None:
    """Retransmissions, or segments out of order, while requests are slow."""
    rows = _slow(wire_ms=250, share=0.2)
    for samples in (_samples(retransmits=7), _samples(out_of_order=2)):
        assert _judged(_finding(), rows, samples=samples) == ("network", "segments lost")


@pytest.mark.parametrize(
    ("lost", "share", "cause"),
    [(1, 1.0, "server"), (2, 1.0, "server"), (3, 1.0, "network"), (1, 0.2, "network")],
)
def test_one_lost_segment_does_not_slow_a_hundred_requests(
    lost: int, share: float, cause: str
) -> None:
    """What waited behind it would have come at once; what is slow for a second is the server's."""
    figures = figures_of(
        _finding(),
        rows=_slow(wire_ms=250, share=share),
        in_flight=_NONE,
        connections=_NAS,
        samples=_samples(retransmits=3 + lost),
        later=None,
        now_ns=_AT + SECOND,
    )
    judged = decide(figures)
    assert judged.cause == cause
    if cause == "server":
        assert judged.confidence == "medium"
        assert f"lost {lost} segment" in judged.sentence


@pytest.mark.parametrize(("lost", "cause"), [(6, "server"), (25, "server"), (26, "network")])
def test_few_lost_segments_do_not_slow_a_hundred_requests_in_turn(lost: int, cause: str) -> None:
    """One after the other was slow: each lost segment delayed one of them, and a few behind it."""
    calm = [_answered(_AT - n * 100 * MS, 2.0, 0.1) for n in range(5, 100)]
    slow = [_answered(_AT + n * 260 * MS, 250, 0.1) for n in range(100)]
    samples = _samples(retransmits=3 + lost)
    judged = _judged(_finding(), requests(*calm, *slow), samples=samples)
    assert judged[0] == cause


def test_a_burst_behind_one_lost_segment_is_the_network() -> None:
    """Thirty at once, all as late as each other."""
    burst = [_answered(_AT + n * MS, 250, 0.1) for n in range(30)]
    calm = [_answered(_AT - n * 100 * MS, 2.0, 0.1) for n in range(5, 100)]
    judged = _judged(_finding(), requests(*calm, *burst), samples=_samples(retransmits=4))
    assert judged == ("network", "segments lost")


def test_a_loss_that_is_usual_proves_nothing() -> None:
    """A link that always loses some segments is not the cause of what is new."""
    samples = [
        replace(s, sockets=(replace(_TCP, retransmits=3 * n),)) for n, s in enumerate(_samples())
    ]
    rows = _slow(wire_ms=250, share=0.2)
    assert _judged(_finding(), rows, samples=samples) == ("server", "slow to answer")


def test_what_was_sent_again_in_vain_was_not_lost() -> None:
    """The peer got it twice: a busy host took an acknowledgement late, the network lost nothing."""
    rows = _slow(wire_ms=250, share=0.2)
    samples = _samples(retransmits=4, duplicates=1)
    assert _judged(_finding(), rows, samples=samples) == ("server", "slow to answer")
    samples = _samples(retransmits=5, duplicates=1)
    assert _judged(_finding(), rows, samples=samples) == ("network", "segments lost")


def test_a_calm_second_before_does_not_dilute_a_shortage() -> None:
    """Of an episode that began between two samples, the time after the first one in it counts."""
    samples = _samples()
    calm_us = samples[-2].stalled_us["cpu"]
    samples[-1] = replace(
        samples[-1], monotonic_ns=_AT + SECOND, stalled_us={"cpu": calm_us + 800_000}
    )
    samples.insert(-1, replace(samples[-2], monotonic_ns=_AT, stalled_us={"cpu": calm_us}))
    rows = _slow(wire_ms=30)
    assert _judged(_finding(max_latency_ms=30.0), rows, samples=samples)[0] == "client"


def test_a_slow_disk_is_the_server() -> None:
    """Some requests take 300 ms; delayed acknowledgements of 40 ms do not blame the network."""
    rows = _slow(wire_ms=300, share=0.3)
    assert _judged(_finding(), rows, samples=_samples(rtt_ms=40.0)) == ("server", "slow to answer")


def test_a_delayed_acknowledgement_alone_is_not_the_network() -> None:
    """A disk that takes 60 ms, acknowledged after 40: most requests are fast, so the wire is."""
    rows = _slow(wire_ms=62, share=0.3)
    assert _judged(_finding(), rows, samples=_samples(rtt_ms=40.0)) == ("server", "slow to answer")


def test_slow_writes_that_were_announced_as_pending_have_phases() -> None:
    """A server may send an interim response before it writes to a slow disk."""
    rows = _slow(wire_ms=300, share=0.3)
    rows["flags"] = int(Flag.ASYNC_RESPONSE)
    assert _judged(_finding(), rows, samples=_samples()) == ("server", "slow to answer")


def test_writes_that_were_lost_later_are_the_server() -> None:
    """The disk was full when the cache was written back; nothing is wrong with the network."""
    finding = _finding("connection", codes=("FLUSH_ERROR",))
    assert _judged(finding, samples=_samples()) == ("server", "writes refused late")


def test_lost_data_is_said_whatever_the_cause() -> None:
    """A reconnect may be what lost it."""
    judged = _verdict(_finding("connection", codes=("RECONNECT", "FLUSH_ERROR")))
    assert judged.sentence.endswith("Data that programs had written before was lost.")


def test_a_login_that_is_never_sent_is_the_credentials() -> None:
    """There is no ticket, so no server could refuse it."""
    judged = _verdict(_finding("connection", codes=("RECONNECT", "NO_LOGIN")), samples=_samples())
    assert (judged.cause, judged.confidence, judged.rule) == ("credentials", "medium", "no login")


def test_responses_taken_late_are_the_client() -> None:
    """Received in time, released late."""
    rows = _slow(wire_ms=3, client_ms=150)
    assert _judged(_finding(), rows, samples=_samples()) == ("client", "picked up late")


def test_a_starved_client_is_the_client() -> None:
    """When the receiving thread itself gets no CPU, responses lie unread in the socket."""
    samples = _samples(cpu=(0.1, 0.9), unread_bytes=400)
    rows = _slow(wire_ms=150)
    assert _judged(_finding(), rows, samples=samples) == ("client", "short of CPU and late")


def test_a_host_that_is_always_busy_is_no_cause() -> None:
    """The same pressure as before the episode leaves the server the suspect."""
    samples = _samples(cpu=(0.9, 0.9))
    assert _judged(_finding(), _slow(wire_ms=150), samples=samples)[0] == "server"


def test_a_hang_that_tcp_delivered_is_the_server() -> None:
    """Everything is acknowledged, nothing answered."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    judged = _judged(finding, waiting=waiting, samples=_samples())
    assert judged == ("server", "acknowledged but not answered")


@pytest.mark.parametrize(
    ("rtt_ms", "oldest_ms", "cause"),
    [(850.0, 1000, "network"), (850.0, 4000, "server"), (2.0, 1000, "server")],
)
def test_what_waits_no_longer_than_the_longer_round_trip_is_on_its_way(
    rtt_ms: float, oldest_ms: int, cause: str
) -> None:
    """800 ms of delay: a second old requests beside slow ones do not prove a silent service."""
    waiting = in_flight(issued_ns=_AT + SECOND - oldest_ms * MS)
    samples = _samples(rtt_ms=rtt_ms)
    assert _judged(_finding(), _slow(wire_ms=900), waiting, samples)[0] == cause


@pytest.mark.parametrize(
    ("needless", "retransmits", "oldest_ms", "cause"),
    [
        (4, 4, 0, "network"),
        (4, 4, 1600, "network"),
        (4, 4, 9000, "server"),
        (4, 9, 0, "network"),  # more than the needless ones were lost
        (0, 0, 0, "server"),
    ],
)
def test_what_was_sent_again_needlessly_proves_a_longer_round_trip(
    needless: int, retransmits: int, oldest_ms: int, cause: str
) -> None:
    """1.5 s of delay, told at the second request: the smoothed round trip is at 360 ms."""
    waiting = in_flight(issued_ns=_AT + SECOND - oldest_ms * MS) if oldest_ms else _NONE
    samples = _samples(rtt_ms=358.0, retransmits=retransmits, duplicates=needless)
    assert _judged(_finding(), _slow(wire_ms=1510), waiting, samples)[0] == cause


def test_a_socket_that_was_closed_by_the_end_keeps_the_figures_that_it_had() -> None:
    """What TCP knows of it is gone with the connection: neither its losses nor its round trip."""
    closed = replace(_TCP, established=False, rtt_ms=0.0, retransmits=0)
    for last, expected in (({"retransmits": 20}, "network"), ({"rtt_ms": 2.5}, "server")):
        samples = _samples(**last)
        samples.append(replace(samples[-1], monotonic_ns=_AT + 3 * SECOND, sockets=(closed,)))
        judged = _verdict(_finding(), _slow(wire_ms=102), samples=samples)
        assert judged.cause == expected
        assert " 0.0 ms" not in judged.sentence
    never = [replace(sample, sockets=(closed,)) for sample in _samples()]
    assert _judged(_finding(), _slow(wire_ms=102), samples=never)[1] == "not this client"


@pytest.mark.parametrize(
    ("command", "wire_ms", "others", "certain"),
    [
        ("SMB2_READ", 9000, "SMB2_CREATE", False),
        ("SMB2_READ", 9000, "SMB2_READ", True),  # other large answers came quickly
        ("SMB2_READ", 300, "SMB2_CREATE", True),  # too quick to have been sent again and again
        ("SMB2_CREATE", 9000, "SMB2_CREATE", True),
    ],
)
def test_large_answers_that_alone_are_late_may_be_lost_on_the_way(
    command: str, wire_ms: int, others: str, *, certain: bool
) -> None:
    """The server sends them again and again; nothing of that is seen at this end."""
    late, quick = _slow(wire_ms=wire_ms)[95:], _slow(wire_ms=2.0)[95:]
    late["command"], quick["command"] = COMMAND_CODES[command], COMMAND_CODES[others]
    rows = np.concatenate([late, quick])
    judged = _verdict(_finding(commands=(command,)), rows, samples=_samples())
    assert (judged.rule, judged.confidence == "high") == ("slow to answer", certain)
    assert ("ping -M do" in judged.sentence) != certain


def test_a_hang_that_tcp_repeats_is_the_network() -> None:
    """Retransmissions pile up without an acknowledgement; their number is that of the episode."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    for retransmits, told in ((8, ": 5 segments were sent again, and"), (3, ": nothing that was")):
        samples = _samples(retransmits=retransmits, backoff=4, unacked=1)
        judged = _verdict(finding, waiting=waiting, samples=samples)
        assert (judged.cause, judged.rule) == ("network", "nothing gets through")
        assert told in judged.sentence


def test_a_hang_that_tcp_repeats_is_the_network_though_losses_are_usual() -> None:
    """A lossy link that goes dead: the timer doubles, and by the last sample it is well again."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    samples = [
        replace(s, sockets=(replace(_TCP, retransmits=3 * n),)) for n, s in enumerate(_samples())
    ]
    dead = replace(samples[-1].sockets[0], backoff=3, unacked=2)
    samples.insert(-1, replace(samples[-1], monotonic_ns=_AT + SECOND // 2, sockets=(dead,)))
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    assert _judged(finding, waiting=waiting, samples=samples) == ("network", "nothing gets through")


def test_a_closed_window_is_no_loss() -> None:
    """A server that stopped reading is probed with the same timer; all is acknowledged."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    judged = _judged(finding, waiting=waiting, samples=_samples(backoff=4))
    assert judged == ("server", "acknowledged but not answered")


def test_what_this_host_cannot_send_is_not_the_servers_silence() -> None:
    """Its own firewall drops requests: nothing is unacknowledged, though the window is open."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    judged = _judged(finding, waiting=waiting, samples=_samples(backoff=4, unsent_bytes=348))
    assert judged == ("network", "not sent")


def test_requests_that_were_cut_off_by_a_dead_network_blame_it() -> None:
    """They come back slow after the reconnect; the old connection was not heard."""
    rows = request(released_ns=_AT, latency_ns=7 * SECOND, outcome=Outcome.RETRY)
    samples = _samples(established=False)
    dying = replace(_TCP, retransmits=9, backoff=5, unacked=2)
    samples.insert(-1, replace(samples[-1], monotonic_ns=_AT - SECOND // 2, sockets=(dying,)))
    finding = _finding("latency", max_latency_ms=7000.0)
    assert _judged(finding, rows, samples=samples) == ("network", "nothing gets through")


def test_unread_responses_of_a_starved_host_are_not_the_servers_silence() -> None:
    """Requests wait for half a second, their answers for the receiving thread."""
    waiting = in_flight(issued_ns=_AT)
    samples = _samples(cpu=(0.1, 0.9), unread_bytes=400)
    judged = _judged(_finding(), _slow(wire_ms=150), waiting, samples)
    assert judged == ("client", "short of CPU and late")


def test_a_hang_amid_losses_is_the_network() -> None:
    """Requests were delivered, but segments of the server are missing: its answer may be."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    judged = _judged(finding, waiting=waiting, samples=_samples(out_of_order=9))
    assert judged == ("network", "segments lost")


def test_slow_requests_without_a_response_are_judged_by_losses() -> None:
    """All that was slow was cut off: there are no phases, but what TCP lost is known."""
    rows = request(released_ns=_AT, latency_ns=6 * SECOND, outcome=Outcome.RETRY)
    for type_ in ("latency", "connection"):
        assert _judged(_finding(type_), rows, samples=_samples(retransmits=8))[0] == "network"


def test_an_earlier_reconnect_is_another_story() -> None:
    """What was lost half a minute ago does not blame the network for a server that restarts."""
    before = request(released_ns=_AT - 8 * SECOND, latency_ns=SECOND, outcome=Outcome.RETRY)
    rows = requests(
        before, request(released_ns=_AT, latency_ns=MS, outcome=Outcome.RETRY, message_id=1)
    )
    samples = _samples()
    lost = replace(_TCP, retransmits=1)
    samples[:3] = [replace(sample, sockets=(lost,)) for sample in samples[:3]]
    finding = _finding("connection", codes=("RECONNECT",))
    assert _judged(finding, rows, samples=samples) == ("server", "closed by the server")


def test_responses_that_are_not_picked_up_are_the_client() -> None:
    """They came during the episode, and their callers still do not run."""
    waiting = in_flight(issued_ns=_AT - SECOND, received_ns=_AT)
    judged = _judged(_finding(), _slow(wire_ms=150), waiting, _samples())
    assert judged == ("client", "responses not picked up")


def test_a_response_of_long_ago_is_no_sign() -> None:
    """Whatever keeps it, it was there before the trouble: the server is slow all the same."""
    waiting = in_flight(issued_ns=_AT - 90 * SECOND, received_ns=_AT - 89 * SECOND)
    judged = _judged(_finding(), _slow(wire_ms=300, share=0.3), waiting, _samples())
    assert judged == ("server", "slow to answer")


def _stalled(waits_for: str, **changes: Any) -> Finding:
    stall = Stall(70, 71, "ls", "cifs_readdir", waits_for, 6000.0, 5000.0)
    return _finding("hang", commands=(), stalls=(stall, stall), count=2, **changes)


def test_operations_that_wait_for_a_reconnect_are_reported() -> None:
    """What keeps it from coming about may show in TCP, in attempts to connect, or not at all."""
    stalled = _stalled("reconnect")
    assert _judged(stalled) == ("unknown", "waits for a reconnect")
    lost = _samples(established=True, retransmits=9, backoff=3, unacked=1)
    assert _judged(stalled, samples=lost) == ("network", "nothing gets through")
    refused = trouble(Kind.CONNECT_ERROR, at_ns=_AT, status=errno.ECONNREFUSED)
    assert _judged(stalled, refused) == ("server", "connection refused")


def test_operations_stuck_inside_the_client_are_its_own() -> None:
    """Nothing is on the wire: it is neither the server nor the network."""
    judged = _verdict(_stalled("client"), samples=_samples())
    assert (judged.cause, judged.rule) == ("client", "stuck inside the client")
    assert "2 operations wait inside this host's SMB client" in judged.sentence


def test_operations_that_wait_for_credits_are_the_servers() -> None:
    """Unless it is the old connection's, as the new one has none yet."""
    stalled = _stalled("credits")
    assert _judged(stalled) == ("server", "waits for credits")
    reconnect = trouble(Kind.RECONNECT, at_ns=_AT)
    assert _judged(stalled, reconnect) == ("unknown", "waits for a reconnect")


def test_the_sentence_names_the_server_or_that_it_is_not_known() -> None:
    """And how many operations wait."""
    for server, named in ("nas", "nas"), ("unknown", "an unknown server"):
        figures = figures_of(
            _stalled("reconnect", server=server),
            rows=_NONE,
            in_flight=_NONE,
            connections=_NAS,
            samples=(),
            later=None,
            now_ns=_AT,
        )
        expected = f"2 operations wait for a reconnect to {named}, without a request in flight."
        assert decide(figures).sentence == expected


def test_what_may_wait_is_no_sign() -> None:
    """A pending CHANGE_NOTIFY is not an unanswered request."""
    waiting = in_flight("SMB2_CHANGE_NOTIFY", issued_ns=_AT - 90 * SECOND)
    judged = _judged(_finding(), _slow(wire_ms=102), waiting, _samples(rtt_ms=95.0))
    assert judged[0] == "network"


def test_a_reconnect_after_losses_is_the_network() -> None:
    """The old socket is gone, but its last sample shows that nothing got through."""
    rows = requests(
        request(released_ns=_AT, latency_ns=6 * SECOND, outcome=Outcome.RETRY),
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
    )
    samples = _samples(established=False)
    dying = replace(_TCP, retransmits=9, backoff=5, unacked=2)
    samples.insert(-1, replace(samples[-1], monotonic_ns=_AT - SECOND // 2, sockets=(dying,)))
    finding = _finding("connection", codes=("RECONNECT",))
    assert _judged(finding, rows, samples=samples) == ("network", "nothing gets through")


@pytest.mark.parametrize(
    ("age_sec", "rule"), [(6.0, "silent before the reconnect"), (0.1, "closed by the server")]
)
def test_a_reconnect_without_loss_is_the_server(age_sec: float, rule: str) -> None:
    """It closed the connection, or did not answer until the client gave it up."""
    rows = requests(
        request(released_ns=_AT, latency_ns=round(age_sec * SECOND), outcome=Outcome.RETRY),
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
    )
    finding = _finding("connection", codes=("RECONNECT",))
    assert _judged(finding, rows, samples=_samples(established=False)) == ("server", rule)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(errno.ECONNREFUSED, "server"), (errno.EHOSTUNREACH, "network"), (errno.ETIMEDOUT, "network")],
)
def test_attempts_to_connect_show_the_cause(code: int, cause: str) -> None:
    """A host that refuses is up; one that cannot be reached is not there."""
    rows = trouble(Kind.CONNECT_ERROR, at_ns=_AT, connection_id=1, status=code)
    finding = _finding("connection", codes=("CONNECT_ERROR",))
    assert _judged(finding, rows, samples=_samples(established=False))[0] == cause


@pytest.mark.parametrize(
    ("codes", "confidence"),
    [(("RECONNECT", "CONNECT_ERROR"), "high"), (("CONNECT_ERROR",), "medium")],
)
def test_a_first_mount_that_is_refused_may_be_a_firewall(
    codes: tuple[str, ...], confidence: str
) -> None:
    """A service that was connected before and refuses now does not run; else it is less certain."""
    rows = trouble(Kind.CONNECT_ERROR, at_ns=_AT, connection_id=1, status=errno.ECONNREFUSED)
    judged = _verdict(_finding("connection", codes=codes), rows)
    assert (judged.rule, judged.confidence) == ("connection refused", confidence)


def test_a_silent_host_is_never_certainly_the_network() -> None:
    """A host that is switched off acknowledges nothing either."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding_ = _finding("hang", first_ns=_AT - 5 * SECOND)
    samples = _samples(retransmits=8, backoff=4, unacked=1)
    judged = _verdict(finding_, waiting=waiting, samples=samples)
    assert (judged.cause, judged.confidence) == ("network", "medium")


def test_an_error_that_the_server_states_is_its_own() -> None:
    """STATUS_DISK_FULL comes from the server alone."""
    finding = _finding("error", codes=("STATUS_DISK_FULL",))
    assert _judged(finding, samples=_samples()) == ("server", "stated by the server")


def test_without_tcp_nothing_decides_between_server_and_network() -> None:
    """A replay, or a network namespace that cannot be entered: unknown is a legal verdict."""
    assert _judged(_finding(), _slow(wire_ms=300)) == ("unknown", "not this client")


def test_another_servers_trouble_is_no_evidence() -> None:
    """Requests, sockets and errors of other servers are left out."""
    rows = requests(
        _slow(wire_ms=300, share=0.3),
        trouble(Kind.CONNECT_ERROR, at_ns=_AT, connection_id=2, status=errno.EHOSTUNREACH),
    )
    samples = _samples()
    other = replace(_TCP, cookie=8, address="10.0.0.2", retransmits=500, backoff=6)
    samples[-1] = replace(samples[-1], sockets=(*samples[-1].sockets, other))
    assert _judged(_finding(), rows, samples=samples)[0] == "server"


def test_a_failover_during_the_episode_hides_no_evidence() -> None:
    """The connection has another name by now; it is known by its id."""
    moved = {1: replace(_NAS[1], server="nas2"), 2: _NAS[2]}
    rows = _slow(wire_ms=300, share=0.3)
    judged = _judged(_finding(server="nas"), rows, samples=_samples(), connections=moved)
    assert judged == ("server", "slow to answer")


_COMMANDS = (
    *("dmesg", "grep", "iostat", "klist", "nstat", "ping", "smbclient", "smbstatus"),
    *("journalctl", "nc", "ss", "tcpdump", "timedatectl", "vmstat", "wbinfo"),
    *("events.npy", "sockets.log", "stacks.log", "tcpdump.pcap"),
)


def test_every_rule_says_what_would_refute_it() -> None:
    """A verdict can be wrong: a command to run, or a file to look at, would show it."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.cause in {"server", "network", "client", "credentials", "unknown"}
        assert rule.confidence in {"high", "medium", "low"}
        words = rule.refuted_by.replace(":", " ").replace(",", " ").split()
        assert set(words) & set(_COMMANDS), rule.refuted_by


def test_every_doubt_is_about_rules_that_there_are() -> None:
    """A rule that is renamed does not lose its doubts."""
    names = {rule.name for rule in RULES}
    assert all(doubt.rules <= names for doubt in DOUBTS)


def _verdict(finding_: Finding, rows: EventArray = _NONE, **given: Any) -> Verdict:
    figures = figures_of(
        finding_,
        rows=rows,
        in_flight=given.get("waiting", _NONE),
        connections=_NAS,
        samples=given.get("samples", ()),
        later=None,
        now_ns=_AT + SECOND,
    )
    return decide(figures)


def _pressed(**shares: float) -> list[Sample]:
    """As calm as ever, but that this host is short of something in the last second."""
    samples = [
        replace(s, stalled_us={**s.stalled_us, **dict.fromkeys(shares, 0)}) for s in _samples()
    ]
    after = {name: round(3e6 * share) for name, share in shares.items()}
    samples[-1] = replace(samples[-1], stalled_us={**samples[-1].stalled_us, **after})
    return samples


def test_a_host_short_of_memory_makes_a_slow_server_less_certain() -> None:
    """Memory 90 %, I/O 80 %: not high, and the sentence says why."""
    rows = _slow(wire_ms=300, share=0.3)
    calm = _verdict(_finding(), rows, samples=_samples())
    assert (calm.cause, calm.confidence) == ("server", "high")
    pressed = _verdict(_finding(), rows, samples=_pressed(memory=0.9, io=0.8))
    assert (pressed.cause, pressed.confidence) == ("server", "medium")
    assert "short of memory (90% of the time" in pressed.sentence
    assert "80%" in pressed.sentence


def test_io_pressure_alone_may_be_the_waiting_for_the_share() -> None:
    """Threads that wait for pages of the share count as I/O: it says nothing by itself."""
    rows = _slow(wire_ms=300, share=0.3)
    assert _verdict(_finding(), rows, samples=_pressed(io=0.9)).confidence == "high"
    late = _slow(wire_ms=300, client_ms=60)
    assert _verdict(_finding(), late, samples=_pressed(io=0.9)).confidence == "medium"


def test_a_host_short_of_memory_that_handles_responses_late_is_the_client() -> None:
    """As a host short of CPU."""
    rows = _slow(wire_ms=60, client_ms=30)
    judged = _verdict(_finding(), rows, samples=_pressed(memory=0.9))
    assert (judged.cause, judged.rule) == ("client", "short of memory and late")


def test_responses_unread_in_the_clients_own_socket_are_the_client() -> None:
    """2 MB for two samples while requests wait: its own cifsd does not read."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding_ = _finding("hang", first_ns=_AT - 5 * SECOND)
    samples = _samples(unread_bytes=2 << 20)
    once = _verdict(finding_, waiting=waiting, samples=samples)
    assert once.rule == "acknowledged but not answered"
    samples.append(replace(samples[-1], monotonic_ns=_AT + 2 * SECOND))
    judged = _verdict(finding_, waiting=waiting, samples=samples)
    assert (judged.cause, judged.rule) == ("client", "responses not read")
    assert "2048 KB" in judged.sentence


def test_a_round_trip_that_explains_the_latency_beats_one_spurious_segment() -> None:
    """A delay of 400 ms and nothing else: the timer went off once, needlessly."""
    rows = _slow(wire_ms=402)
    judged = _verdict(_finding(), rows, samples=_samples(rtt_ms=317.0, retransmits=4, backoff=1))
    assert (judged.cause, judged.rule) == ("network", "long round trips")
    judged = _verdict(_finding(), rows, samples=_samples(rtt_ms=317.0, retransmits=9))
    assert judged.rule == "segments lost"


def test_one_segment_is_said_as_one() -> None:
    """And one or two lost segments are no certain cause."""
    rows = _slow(wire_ms=250, share=0.2)
    judged = _verdict(_finding(), rows, samples=_samples(retransmits=4))
    assert judged.rule == "segments lost"
    assert "1 segment was sent again" in judged.sentence
    assert judged.confidence == "medium"
    many = _verdict(_finding(), rows, samples=_samples(retransmits=30))
    assert "27 segments were sent again meanwhile" in many.sentence
    assert many.confidence == "high"


def test_only_what_happened_to_segments_is_said() -> None:
    """Those out of order are named beside those sent again, or alone; none is not told as 0."""
    rows = _slow(wire_ms=250, share=0.2)
    alone = _verdict(_finding(), rows, samples=_samples(out_of_order=2))
    assert "loses packets: 2 segments came out of order meanwhile" in alone.sentence
    both = _verdict(_finding(), rows, samples=_samples(retransmits=30, out_of_order=2))
    assert "27 segments were sent again and 2 came out of order meanwhile" in both.sentence


def test_a_round_trip_that_explains_half_is_said_as_well() -> None:
    """50 ms instead of 8, a round trip of 24 ms instead of 0.4: both, and not high."""
    calm = [_answered(_AT - n * 100 * MS, 8.0, 0.1) for n in range(5, 100)]
    late = [_answered(_AT + n * 10 * MS, 60.0 if n < 40 else 9.0, 0.1) for n in range(100)]
    rows = requests(*calm, *late)
    judged = _verdict(_finding(), rows, samples=_samples(rtt_ms=24.0))
    assert (judged.cause, judged.confidence) == ("server", "medium")
    assert "24.0 ms instead of 0.4 ms, which explains 45% of it" in judged.sentence


@pytest.mark.parametrize(
    ("commands", "confidence"),
    [(("SMB2_READ",), "medium"), (("SMB2_READ", "SMB2_QUERY_INFO"), "high")],
)
def test_only_large_answers_missing_may_be_an_mtu(
    commands: tuple[str, ...], confidence: str
) -> None:
    """One reader that hangs proves no server: packets of that size may not get through."""
    waiting = requests(*(in_flight(command, issued_ns=_AT - 5 * SECOND) for command in commands))
    finding_ = _finding("hang", first_ns=_AT - 5 * SECOND)
    judged = _verdict(finding_, waiting=waiting, samples=_samples())
    assert (judged.cause, judged.confidence) == ("server", confidence)
    assert ("ping -M do -s 1472 10.0.0.1" in judged.sentence) is (confidence == "medium")


@pytest.mark.parametrize(("answered_ms", "confidence"), [(None, "medium"), (900, "high")])
def test_small_requests_wait_behind_a_large_answer_that_is_lost(
    answered_ms: int | None, confidence: str
) -> None:
    """TCP delivers in order; whatever was answered after the large one was asked for refutes it."""
    begin_ns = _AT - 5 * SECOND
    waiting = requests(
        in_flight("SMB2_READ", issued_ns=begin_ns),
        *(in_flight("SMB2_QUERY_INFO", issued_ns=begin_ns + n * MS) for n in range(1, 4)),
    )
    rows = [] if answered_ms is None else [_answered(begin_ns + answered_ms * MS, 5.0, 0.1)]
    finding_ = _finding("hang", first_ns=begin_ns)
    judged = _verdict(finding_, requests(*rows), waiting=waiting, samples=_samples())
    assert (judged.cause, judged.confidence) == ("server", confidence)


def test_a_hang_without_tcps_figures_says_that_they_are_missing() -> None:
    """A network namespace that cannot be entered, or RDMA."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    judged = _verdict(_finding("hang", first_ns=_AT - 5 * SECOND), waiting=waiting)
    assert (judged.cause, judged.rule) == ("unknown", "unanswered, TCP unknown")
    assert "1 request waits" in judged.sentence


def test_an_announced_open_waits_for_another_client() -> None:
    """Neither the server nor the network hangs: a lease was not given up."""
    waiting = in_flight("SMB2_CREATE", issued_ns=_AT - 9 * SECOND, flags=int(Flag.ASYNC_RESPONSE))
    finding_ = _finding("hang", first_ns=_AT - 9 * SECOND)
    judged = _verdict(finding_, waiting=waiting, samples=_samples())
    assert (judged.cause, judged.rule) == ("unknown", "waits for another client")
    assert "announced 1 open (SMB2_CREATE) as pending, the oldest for 10.0 s" in judged.sentence


def test_an_announced_open_is_no_slow_server_when_it_has_ended() -> None:
    """The second verdict of an episode, when all is answered, says the same as the first."""
    begin_ns = _AT - 95 * SECOND
    figures = {"in_flight": 1, "announced_opens": 1}
    hang = _finding("hang", first_ns=begin_ns, threshold_ms=5000.0, figures=figures)
    opened = request(
        "SMB2_CREATE",
        released_ns=_AT,
        latency_ns=95 * SECOND,
        received_ns=_AT,
        flags=int(Flag.ASYNC_RESPONSE),
    )
    quick = [_answered(_AT - n * SECOND, 2.0, 0.1) for n in range(90, 0, -1)]
    commands = replace(hang, commands=("SMB2_CREATE",))
    judged = _verdict(commands, requests(*quick, opened), samples=_samples())
    assert (judged.cause, judged.rule) == ("unknown", "waits for another client")
    assert "1 open (SMB2_CREATE) as pending, the oldest for 95.0 s" in judged.sentence


def _login(status: str, at_ns: int = _AT) -> EventArray:
    return request("SMB2_SESSION_SETUP", released_ns=at_ns, status=STATUS_CODES[status])


def test_refused_logins_are_the_credentials_and_never_closed_by_the_server() -> None:
    """The password was rotated; what began as a reconnect is named by its NTSTATUS."""
    rows = requests(
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
        *(_login("STATUS_LOGON_FAILURE", _AT + n) for n in range(3)),
    )
    finding_ = _finding("connection", codes=("RECONNECT",))
    judged = _verdict(finding_, rows, samples=_samples(established=False))
    assert (judged.cause, judged.confidence) == ("credentials", "high")
    assert "3 times with STATUS_LOGON_FAILURE" in judged.sentence
    assert "smbclient -L //10.0.0.1" in judged.refuted_by


def test_the_first_leg_of_a_login_refuses_nothing() -> None:
    """MORE_PROCESSING_REQUIRED is a step of it."""
    rows = requests(
        trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1),
        _login("STATUS_MORE_PROCESSING_REQUIRED"),
    )
    finding_ = _finding("connection", codes=("RECONNECT",))
    judged = _verdict(finding_, rows, samples=_samples(established=False))
    assert judged.rule == "closed by the server"


@pytest.mark.parametrize(
    ("codes", "commands", "cause", "rule"),
    [
        (("SESSION_EXPIRED",), (), "credentials", "session expired"),
        (("KEY_EXPIRED",), (), "credentials", "session expired"),
        (("SESSION_NOT_FOUND",), (), "unknown", "session not found"),
        (("STATUS_BAD_NETWORK_NAME",), ("SMB2_TREE_CONNECT",), "server", "no such share"),
        (
            ("STATUS_ACCESS_DENIED",),
            ("SMB2_TREE_CONNECT",),
            "credentials",
            "no access to the share",
        ),
    ],
)
def test_sessions_and_shares_have_a_sentence_each(
    codes: tuple[str, ...], commands: tuple[str, ...], cause: str, rule: str
) -> None:
    """An expired ticket, a share that is not there, one that the account may not use."""
    judged = _verdict(_finding("connection", codes=codes, commands=commands), samples=_samples())
    assert (judged.cause, judged.rule) == (cause, rule)


def test_storage_that_times_out_is_the_server_though_the_client_reconnects() -> None:
    """Six STATUS_IO_TIMEOUT, after which the client itself reconnects."""
    timed_out = [
        request(released_ns=_AT - n * MS, status=STATUS_CODES["STATUS_IO_TIMEOUT"])
        for n in range(6)
    ]
    rows = requests(*timed_out, trouble(Kind.RECONNECT, at_ns=_AT, connection_id=1))
    finding_ = _finding("connection", codes=("RECONNECT",))
    judged = _verdict(finding_, rows, samples=_samples(established=False))
    assert (judged.cause, judged.rule) == ("server", "storage timed out")
    assert "6 requests ended with STATUS_IO_TIMEOUT" in judged.sentence


def test_the_last_sample_counts() -> None:
    """A round trip that was still rising at the decision has risen when all is collected."""
    rows = _slow(wire_ms=102)
    samples = tuple(_samples(rtt_ms=20.0))
    trigger = Trigger("latency", _finding(), (), _AT + SECOND, 0, 1, samples)
    later = replace(samples[-1], sockets=(replace(_TCP, rtt_ms=98.0),), monotonic_ns=_AT + 9)
    judged = judge(trigger, rows=rows, in_flight=_NONE, connections=_NAS, shares={}, later=later)
    assert (judged.cause, judged.confidence) == ("network", "high")
    assert judged.evidence["tcp_rtt_ms"] == 98.0


def test_a_snapshot_is_not_judged() -> None:
    """There is no anomaly: unknown, and the sentence says why."""
    trigger = Trigger("snapshot", None, (), _AT + SECOND, 0, 1, ())
    judged = judge(trigger, rows=_NONE, in_flight=_NONE, connections=_NAS, shares={}, later=None)
    assert (judged.cause, judged.confidence) == ("unknown", "low")
    assert "snapshot" in judged.sentence


def test_a_verdict_that_fails_is_unknown_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in a rule costs the verdict, and nothing else."""

    def fail(_figures: Figures) -> Verdict:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(judging, "decide", fail)
    trigger = Trigger("latency", _finding(), (), _AT + SECOND, 0, 1, ())
    judged = judge(trigger, rows=_NONE, in_flight=_NONE, connections=_NAS, shares={}, later=None)
    assert judged.cause == "unknown"
    assert "ZeroDivisionError: oops" in judged.sentence
