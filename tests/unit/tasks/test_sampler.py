# SPDX-License-Identifier: MIT
"""Samples of the surroundings: what they hold, and how many are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.events import EventArray
from aodasync.evidence.model import Connection, Sample, Snapshot
from aodasync.host.tcp_sockets import TcpSocket, TcpSockets
from aodasync.tasks import sampler
from aodasync.tasks.sampler import Sampler, stalled_us
from tests.builders import SECOND


class _Source:
    """Evidence of these connections alone."""

    live = True

    def __init__(self, *connections: Connection) -> None:
        self._connections = {each.connection_id: each for each in connections}

    def snapshot(self, *_tables: str) -> Snapshot:
        return Snapshot(connections=self._connections)

    def events(self, since: int = 0) -> EventArray:
        raise NotImplementedError

    def recorded(self) -> int:
        raise NotImplementedError


class _Clock:
    now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return 0


def test_pressure_is_read_where_the_kernel_tells_it(tmp_path: Path) -> None:
    """The total of ``some``; a resource that is missing or unreadable is left out."""
    (tmp_path / "cpu").write_text("some avg10=1.00 avg60=0.50 avg300=0.10 total=123456\nfull x\n")
    (tmp_path / "io").write_text("")
    assert stalled_us(tmp_path) == {"cpu": 123456}


def test_history_reaches_ten_minutes_back() -> None:
    """Every second of the last half minute, every ten seconds before; never more than 92."""
    clock = _Clock()
    around = Sampler(_Source(), clock)
    for second in range(1000):
        clock.now_ns = second * SECOND
        around.keep(around.at_once())
    times = [sample.monotonic_ns // SECOND for sample in around.history()]
    assert times[-32:] == list(range(968, 1000))
    assert times[0] == 400
    assert times == sorted(set(times))
    assert len(times) <= 92


def test_a_kernel_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample without sockets says why."""

    def refuse(*_: object) -> list[object]:
        raise PermissionError(1, "inet_diag: EPERM")

    monkeypatch.setattr(TcpSockets, "read", refuse)
    around = Sampler(_Source(Connection(1, "nas", "192.0.2.1", 445)), _Clock())
    sample: Sample = around.at_once()
    assert sample.sockets == ()
    assert "EPERM" in sample.error


def test_connections_that_cannot_be_read_are_no_peers() -> None:
    """A scan that fails leaves a table empty: a sample then has no sockets."""
    assert Sampler(_Source(), _Clock()).at_once().sockets == ()


def test_sockets_are_asked_for_where_their_connection_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the agent's network namespace, or another; one that cannot be asked costs its own."""
    asked: list[tuple[int, list[tuple[int, str, int]]]] = []

    def own(_: TcpSockets, peers: list[tuple[int, str, int]]) -> list[TcpSocket]:
        asked.append((0, peers))
        return [_socket("192.0.2.1")]

    def other(netns: int, peers: list[tuple[int, str, int]]) -> list[TcpSocket]:
        asked.append((netns, peers))
        if netns == 8:
            raise OSError("network namespace 8: nobody is in it")
        return [_socket("192.0.2.1")]

    monkeypatch.setattr(TcpSockets, "read", own)
    monkeypatch.setattr(sampler, "own_netns", lambda: 5)
    connections = [
        Connection(number, "nas", "192.0.2.1", 445, netns=netns)
        for number, netns in enumerate((0, 5, 7, 8))
    ]
    around = Sampler(_Source(*connections), _Clock())
    monkeypatch.setattr(around.elsewhere, "read", other)
    sample = around.at_once()
    assert asked == [
        (netns, [(number, "192.0.2.1", 445)]) for number, netns in enumerate((0, 0, 7, 8))
    ]
    assert [socket.netns for socket in sample.sockets] == [0, 5, 7]
    assert sample.error == "network namespace 8: nobody is in it"


def _socket(address: str) -> TcpSocket:
    return TcpSocket(1, address, 445, True, 1.0, 0, 0, 0, 0, 0, 0)  # noqa: FBT003  # a row
