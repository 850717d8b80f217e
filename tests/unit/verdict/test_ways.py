# SPDX-License-Identifier: MIT
"""Several connections to one server: channels, shares, and the ways that they take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from aodasync.events import EVENT, EventArray
from aodasync.evidence.model import Connection, Sample
from aodasync.verdict.figures import figures_of
from aodasync.verdict.judge import Verdict, decide
from aodasync.verdict.tcp_figures import tcp_figures
from tests.builders import MS, SECOND, finding, request, requests, tcp_socket

_AT = 100 * SECOND
_WAYS = {n: Connection(n, "nas", f"10.0.{n}.1", 445) for n in (1, 2, 3)}
_PEERS = {(f"10.0.{n}.1", 445, 0) for n in (1, 2, 3)}


def _answered(at_ns: int, wire_ms: float, way: int = 1, command: str = "SMB2_READ") -> EventArray:
    latency_ns = round(wire_ms * MS)
    return request(
        command,
        released_ns=at_ns,
        latency_ns=latency_ns,
        received_ns=at_ns,
        connection_id=way,
    )


def _samples(usual: Mapping[int, float], then: Mapping[int, float]) -> list[Sample]:
    """Round trips by way, in ten seconds before and in two of the episode."""
    ends = ((-10, usual), (-5, usual), (-1, usual), (1, then), (2, then))
    return [
        Sample(
            _AT + second * SECOND,
            tuple(
                tcp_socket(cookie=way, address=f"10.0.{way}.1", rtt_ms=rtt_ms)
                for way, rtt_ms in ways.items()
            ),
            {},
        )
        for second, ways in ends
    ]


def _judged(rows: Sequence[EventArray], samples: Sequence[Sample]) -> Verdict:
    figures = figures_of(
        finding(
            connections=(1, 2, 3), threshold_ms=50.0, first_ns=_AT, last_ns=_AT, max_latency_ms=0.0
        ),
        rows=requests(*rows),
        in_flight=np.zeros(0, EVENT),
        connections=_WAYS,
        samples=samples,
        later=None,
        now_ns=_AT + 2 * SECOND,
    )
    return decide(figures)


def test_a_way_that_is_always_longer_is_no_network_that_became_slow() -> None:
    """Two of three take half a ms, one 60; the server gets slow on all of them."""
    calm = [_answered(_AT - n * 90 * MS, 2.0 if n % 3 else 61.0, n % 3 + 1) for n in range(9, 99)]
    slow = [_answered(_AT + n * 10 * MS, 120.0 + n % 7, n % 3 + 1) for n in range(1, 99)]
    usual = {1: 60.0, 2: 0.5, 3: 0.5}
    assert _judged([*calm, *slow], _samples(usual, usual)).rule == "slow to answer"
    longer = _samples(usual, {**usual, 2: 119.0})
    assert _judged([*calm, *slow], longer).rule == "long round trips"


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ({1: 60.0, 2: 9.0}, (9.0, 0.5)),  # rose most, though another is longer
        ({1: 61.0, 2: 0.5}, (61.0, 60.0)),
        ({1: 60.0, 3: 8.0}, (60.0, 60.0)),  # a new one is held against all of before
    ],
)
def test_the_round_trip_is_that_of_the_socket_on_which_it_rose_most(
    then: dict[int, float], expected: tuple[float, float]
) -> None:
    """Each is held against its own past."""
    figures = tcp_figures(_samples({1: 60.0, 2: 0.5}, then), _PEERS, _AT)
    assert figures is not None
    assert (figures.rtt_ms, figures.usual_rtt_ms) == expected


def test_many_sockets_to_one_server_take_no_longer_each() -> None:
    """A mount for each user: four times as many take four times as long, and not sixteen."""

    def took_sec(number: int) -> float:
        sockets = tuple(tcp_socket(cookie=n, address="10.0.1.1") for n in range(number))
        samples = [Sample(_AT + second * SECOND, sockets, {}) for second in range(-30, 30)]
        started = time.process_time()
        assert tcp_figures(samples, _PEERS, _AT) is not None
        return time.process_time() - started

    assert min(took_sec(400) for _ in range(3)) < 9 * min(took_sec(100) for _ in range(3))


@pytest.mark.parametrize(
    ("quick", "says"),
    [
        (2, "on other connections: it is this connection (10.0.1.1), or what serves it"),
        (1, "it is what the slow ones do (one command, file, share or disk)"),
    ],
)
def test_a_slow_connection_beside_quick_ones_is_named(quick: int, says: str) -> None:
    """One channel of several, not one command or file."""
    slow = [_answered(_AT + n * 10 * MS, 300.0 + n) for n in range(90)]
    others = [_answered(_AT + n * 10 * MS + 1, 2.0, quick) for n in range(90)]
    rtt = {1: 0.5, 2: 0.5}
    judged = _judged([*slow, *others], _samples(rtt, rtt))
    assert (judged.cause, judged.rule) == ("server", "slow to answer")
    assert says in judged.sentence


@pytest.mark.parametrize(
    "commands",
    [
        {"SMB2_READ": 250.0, "SMB2_CREATE": 130.0},
        {"SMB2_READ": 250.0},
        {"SMB2_READ": 60.0, "SMB2_WRITE": 90.0, "SMB2_CLOSE": 135.0},
    ],
)
def test_a_limit_delays_each_command_evenly(commands: dict[str, float]) -> None:
    """Throttling: a write waits longer than a close, and each about as long as the next one."""
    rows = [
        _answered(_AT + n * 10 * MS, wire_ms + n % 7, command=command)
        for n in range(30)
        for command, wire_ms in commands.items()
    ]
    rtt = {1: 0.5}
    judged = _judged(rows, _samples(rtt, rtt))
    assert "(throttling)" in judged.sentence


def test_ten_commands_that_differ_are_no_even_delay() -> None:
    """Each was slow once: nothing says that it would take as long again."""
    names = ("READ", "WRITE", "CLOSE", "CREATE", "FLUSH", "IOCTL", "QUERY_INFO", "SET_INFO")
    slow = [
        _answered(_AT + n * 10 * MS, 60.0 * 1.4**k, command=f"SMB2_{name}")
        for n in range(2)
        for k, name in enumerate(names)
    ]
    rtt = {1: 0.5}
    assert "(throttling)" not in _judged(slow, _samples(rtt, rtt)).sentence
