# SPDX-License-Identifier: MIT
"""The kernel tells of TCP sockets what happened to them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from aodasync.host import tcp_sockets as module
from aodasync.host.tcp_sockets import TcpSockets

Pair = tuple[socket.socket, socket.socket, tuple[str, int]]


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both ends of a connection on this host, and the address connected to."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((request.param, 0))
        except OSError as error:
            pytest.skip(f"no {request.param} on this host: {error}")
        listener.listen()
        address = listener.getsockname()[:2]
        with socket.create_connection(address) as client, listener.accept()[0] as server:
            yield client, server, address


def test_a_socket_is_found_by_its_peer(pair: Pair) -> None:
    """What nobody read yet is counted; nothing was lost."""
    client, server, address = pair
    server.sendall(b"x" * 1000)
    client.recv(400, socket.MSG_WAITALL)
    (found,) = TcpSockets().read([(1, *address)])
    assert (found.address, found.port) == address
    assert found.established
    assert found.unread_bytes == 600
    assert (found.retransmits, found.out_of_order, found.backoff) == (0, 0, 0)
    assert 0 < found.rtt_ms < 1000


def test_its_cookie_stays_and_no_other_has_it(pair: Pair) -> None:
    """A second connection to the same peer is another socket."""
    _, _, address = pair
    (first,) = TcpSockets().read([(1, *address)])
    with socket.create_connection(address):
        both = TcpSockets().read([(1, *address)])
    assert len({found.cookie for found in both}) == 2
    assert first.cookie in {found.cookie for found in both}


def test_other_peers_are_left_out(pair: Pair) -> None:
    """The same port elsewhere, or nobody at all, finds nothing."""
    _, _, (address, port) = pair
    assert TcpSockets().read([(1, "192.0.2.1", port)]) == []
    assert TcpSockets().read([]) == []
    assert len(TcpSockets().read([(1, address, port), (2, "192.0.2.1", port)])) == 1


def test_a_socket_that_is_known_is_asked_for_alone(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures are those of now; no other socket of the host is looked at."""
    client, server, (address, port) = pair
    sockets = TcpSockets()
    (first,) = sockets.read([(1, address, port)])
    monkeypatch.setattr(module, "_dump", lambda *_: pytest.fail("a dump"))
    server.sendall(b"x" * 1000)
    client.recv(400, socket.MSG_WAITALL)
    (second,) = sockets.read([(1, address, port)])
    assert (second.cookie, second.established) == (first.cookie, True)
    assert (first.unread_bytes, second.unread_bytes) == (0, 600)


def test_what_is_not_there_any_more_is_looked_for_anew(pair: Pair) -> None:
    """A connection that is made anew has another socket; another connection has one more."""
    client, _, (address, port) = pair
    sockets = TcpSockets()
    (first,) = sockets.read([(1, address, port)])
    with socket.create_connection((address, port)):
        assert len(sockets.read([(1, address, port)])) == 1
        both = sockets.read([(1, address, port), (2, address, port)])
        assert len(both) == 2
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()  # it is gone at once
        (other,) = sockets.read([(1, address, port), (2, address, port)])
    assert {first.cookie, other.cookie} == {each.cookie for each in both}
    assert sockets.read([(3, "192.0.2.1", port)]) == []


def test_many_sockets_are_asked_for_in_parts(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, in any number."""
    _, _, (address, port) = pair
    monkeypatch.setattr(module, "_ASKED_AT_ONCE", 2)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection((address, port)))
        sockets = TcpSockets()
        first = sockets.read([(1, address, port)])
        monkeypatch.setattr(module, "_dump", lambda *_: pytest.fail("a dump"))
        again = sockets.read([(1, address, port)])
    assert len(first) == 5
    assert {each.cookie for each in again} == {each.cookie for each in first}
