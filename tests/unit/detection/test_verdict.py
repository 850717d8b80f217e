# SPDX-License-Identifier: MIT
"""From recorded requests and samples of the surroundings to a cause."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aodasync.bundle.judging import Case, judge_by_rules
from aodasync.detection.figures import figures_of
from aodasync.detection.rules import RULES
from aodasync.detection.verdict import verdict
from aodasync.events import EVENT, EventArray, Flag, Kind, Outcome
from aodasync.evidence import Connection, Finding, Sample, Stall, Trigger
from aodasync.tcp import TcpSocket
from tests.unit.builders import MS, SECOND, in_flight, request, requests, trouble

_NONE = np.zeros(0, EVENT)
_NAS = {1: Connection(1, "nas", "10.0.0.1", 445), 2: Connection(2, "other", "10.0.0.2", 445)}
_TCP = TcpSocket(
    cookie=7,
    address="10.0.0.1",
    port=445,
    established=True,
    rtt_ms=0.4,
    retransmits=3,
    out_of_order=0,
    backoff=0,
    unacked=0,
    unsent_bytes=0,
    unread_bytes=0,
    received_bytes=1000,
    quiet_ms=5,
)
_AT = 100 * SECOND


def _finding(type_: str = "latency", **changes: Any) -> Finding:
    finding = Finding(
        anomaly=type_,
        type=type_,
        server="nas",
        commands=("SMB2_READ",),
        codes=(),
        count=5,
        acceptable_count=3,
        threshold_ms=50.0,
        max_latency_ms=120.0,
        first_ns=_AT,
        last_ns=_AT + SECOND,
        emergency=False,
    )
    return replace(finding, **changes)


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
    judged = verdict(figures)
    assert "{" not in judged["sentence"]
    return judged["cause"], judged["rule"]


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


def test_lost_segments_are_the_network() -> None:
    """Retransmissions, or segments out of order, while requests are slow."""
    rows = _slow(wire_ms=250, share=0.2)
    for samples in (_samples(retransmits=7), _samples(out_of_order=2)):
        assert _judged(_finding(), rows, samples=samples) == ("network", "segments lost")


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


def test_a_delayed_acknowledgement_alone_blames_nobody_else() -> None:
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


def test_responses_taken_late_are_the_client() -> None:
    """Received in time, released late."""
    rows = _slow(wire_ms=3, client_ms=150)
    assert _judged(_finding(), rows, samples=_samples()) == ("client", "taken late")


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


def test_a_hang_that_tcp_repeats_is_the_network() -> None:
    """Retransmissions pile up and nobody acknowledges."""
    waiting = in_flight(issued_ns=_AT - 5 * SECOND)
    finding = _finding("hang", first_ns=_AT - 5 * SECOND)
    samples = _samples(retransmits=8, backoff=4, unacked=1)
    assert _judged(finding, waiting=waiting, samples=samples) == ("network", "nothing gets through")


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
    judged = _judged(finding, waiting=waiting, samples=_samples(backoff=4, unsent_bytes=9000))
    assert judged == ("server", "acknowledged but not answered")


def test_requests_that_were_cut_off_by_a_dead_network_blame_it() -> None:
    """They come back slow once the connection is made anew; its predecessor was not heard."""
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


def test_responses_that_nobody_takes_are_the_client() -> None:
    """They came during the episode, and their callers still do not run."""
    waiting = in_flight(issued_ns=_AT - SECOND, received_ns=_AT)
    judged = _judged(_finding(), _slow(wire_ms=150), waiting, _samples())
    assert judged == ("client", "responses wait in the client")


def test_a_response_of_long_ago_is_no_sign() -> None:
    """Whatever keeps it, it was there before the trouble: the server is slow all the same."""
    waiting = in_flight(issued_ns=_AT - 90 * SECOND, received_ns=_AT - 89 * SECOND)
    judged = _judged(_finding(), _slow(wire_ms=300, share=0.3), waiting, _samples())
    assert judged == ("server", "slow to answer")


def _stalled(waits_for: str, **changes: Any) -> Finding:
    stall = Stall(70, 71, "ls", "cifs_readdir", waits_for, 6000.0, 5000.0)
    return _finding("hang", commands=(), stalls=(stall, stall), count=2, **changes)


def test_operations_that_wait_for_a_reconnect_are_told() -> None:
    """What keeps it from coming about may show in TCP, in attempts to connect, or not at all."""
    stalled = _stalled("reconnect")
    assert _judged(stalled) == ("unknown", "waits for a reconnect")
    lost = _samples(established=True, retransmits=9, backoff=3, unacked=1)
    assert _judged(stalled, samples=lost) == ("network", "nothing gets through")
    refused = trouble(Kind.CONNECT_ERROR, at_ns=_AT, status=errno.ECONNREFUSED)
    assert _judged(stalled, refused) == ("server", "connection refused")


def test_operations_that_wait_for_credits_are_the_servers() -> None:
    """Unless it is the old connection's, as the new one has none yet."""
    stalled = _stalled("credits")
    assert _judged(stalled) == ("server", "waits for credits")
    reconnect = trouble(Kind.RECONNECT, at_ns=_AT)
    assert _judged(stalled, reconnect) == ("unknown", "waits for a reconnect")


def test_the_sentence_names_the_server_or_that_it_is_not_known() -> None:
    """And how many operations wait."""
    for server, named in ("nas", "nas"), ("unknown", "a server not known"):
        figures = figures_of(
            _stalled("reconnect", server=server),
            rows=_NONE,
            in_flight=_NONE,
            connections=_NAS,
            samples=(),
            later=None,
            now_ns=_AT,
        )
        assert verdict(figures)["sentence"].startswith(
            f"2 operations wait for a reconnect to {named};"
        )


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
def test_attempts_to_connect_tell(code: int, cause: str) -> None:
    """A host that refuses is up; one that cannot be reached is not there."""
    rows = trouble(Kind.CONNECT_ERROR, at_ns=_AT, connection_id=1, status=code)
    finding = _finding("connection", codes=("CONNECT_ERROR",))
    assert _judged(finding, rows, samples=_samples(established=False))[0] == cause


def test_an_error_that_the_server_states_is_its_own() -> None:
    """STATUS_DISK_FULL comes from nobody else."""
    finding = _finding("error", codes=("STATUS_DISK_FULL",))
    assert _judged(finding, samples=_samples()) == ("server", "stated by the server")


def test_without_tcp_nothing_decides_between_server_and_network() -> None:
    """A replay, or a mount of another network namespace: unknown is a legal verdict."""
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


def test_every_rule_says_what_would_refute_it() -> None:
    """A verdict is a claim that can be wrong, and says how one would see that."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.cause in {"server", "network", "client", "unknown"}
        assert rule.confidence in {"high", "medium", "low"}
        assert rule.refuted_by


def test_the_judge_takes_a_last_sample_when_all_is_collected() -> None:
    """A round trip that was still rising at the decision has risen by then."""
    rows = _slow(wire_ms=102)
    samples = tuple(_samples(rtt_ms=20.0))
    trigger = Trigger("latency", _finding(), (), _AT + SECOND, 0, 1, samples)
    case = Case(trigger, rows, _NONE, _NAS, {}, (), -1)
    later = replace(samples[-1], sockets=(replace(_TCP, rtt_ms=98.0),), monotonic_ns=_AT + 9)
    judged = judge_by_rules(lambda: later)(case)
    assert (judged["cause"], judged["confidence"]) == ("network", "high")
    assert judged["evidence"]["tcp_rtt_ms"] == 98.0
    asked_for = Case(replace(trigger, finding=None), rows, _NONE, _NAS, {}, (), -1)
    assert judge_by_rules(None)(asked_for)["cause"] == "unknown"
