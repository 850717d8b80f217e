# SPDX-License-Identifier: MIT
"""TCP's own view of SMB connections, asked of the kernel through NETLINK_SOCK_DIAG.

The same figures as ``ss -tin``, without a child: one dump for each port, filtered
in the kernel by a one-instruction program (struct inet_diag_bc_op,
include/uapi/linux/inet_diag.h). A dump walks over all sockets of the host, so those that it
found are asked for by their ids from then on. It is answered at once, from the network
namespace in which the netlink socket was made: the caller's, unless another one is given.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

__all__ = ["TcpSocket", "TcpSockets"]

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 0x1
_NLM_F_REQUEST_DUMP: Final = 0x301
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_ATTR_BYTECODE: Final = 1
_ATTR_INFO: Final = 2
_BC_D_COND: Final = 8
_STATES: Final = 0xFFF & ~(1 << 10)  # every state but LISTEN
_ESTABLISHED: Final = 1
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBxI48s")  # struct inet_diag_req_v2
_ID_AT: Final = 4
_ID_BYTES: Final = 48  # struct inet_diag_sockid
_MESSAGE: Final = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_INFO_BYTES: Final = 232
_BUFFER_BYTES: Final = 1 << 16
_TIMEOUT_SEC: Final = 0.2
_ASKED_AT_ONCE: Final = 32  # the answers have to fit into the socket's buffer


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One socket and its struct tcp_info; ``cookie`` identifies it for as long as it lives.

    ``retransmits`` and ``out_of_order`` count from its beginning, and so do
    ``duplicates``: segments that the peer says it got twice (DSACK, RFC 2883), so that
    they were sent again in vain; ``backoff`` is how often the retransmission timer was
    doubled without an answer; ``quiet_ms`` the time since anything was heard of the peer.
    ``unread_bytes`` wait for the client's own thread; ``unsent_bytes`` could not be sent, though
    the peer's window is open: a firewall or queue of this host drops them, and TCP probes with
    the same timer (tcp_write_wakeup). ``netns`` is the inode number of its
    network namespace, 0 for the agent's.
    """

    cookie: int
    address: str
    port: int
    established: bool
    rtt_ms: float
    retransmits: int
    out_of_order: int
    backoff: int
    unacked: int
    unread_bytes: int
    quiet_ms: int
    duplicates: int = 0
    netns: int = 0
    unsent_bytes: int = 0


class TcpSockets:
    """The sockets to the peers of connections, which are asked for again and again.

    By a dump as long as a peer has none or one is not established, and after that when the
    connections are others, or a socket is not there any more: a connection that is made anew
    has another one.
    """

    def __init__(self) -> None:
        self._known: tuple[frozenset[tuple[int, str, int]], tuple[bytes, ...]] = frozenset(), ()

    def read(
        self, connections: Iterable[tuple[int, str, int]], netlink: socket.socket | None = None
    ) -> list[TcpSocket]:
        """Those of now; each connection is an id, and the address and port of its peer.

        They are of the network namespace in which ``netlink`` (NETLINK_SOCK_DIAG) was made, of
        ours without one.

        Raises:
            OSError: the kernel does not answer (inet_diag is missing, EPERM, a time-out).
        """
        of = frozenset(connections)
        known, questions = self._known
        with _netlink(netlink) as asked:
            if of == known and questions:
                found = _ask(asked, questions)
                if found is not None:
                    return found
            peers = {(address, port) for _, address, port in of}
            messages = _dumped(asked, peers)
        found = [_socket(message) for message in messages]
        settled = {(each.address, each.port) for each in found} == peers
        settled = settled and all(each.established for each in found)
        self._known = of, tuple(map(_question, messages)) if settled else ()
        return found


@contextmanager
def _netlink(given: socket.socket | None) -> Iterator[socket.socket]:
    if given is not None:
        given.settimeout(_TIMEOUT_SEC)
        yield given
        return
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as own:
        own.settimeout(_TIMEOUT_SEC)
        yield own


def _dumped(netlink: socket.socket, peers: set[tuple[str, int]]) -> list[bytes]:
    """What the kernel tells of each socket to these peers."""
    dumps = {(socket.AF_INET6 if ":" in address else socket.AF_INET, p) for address, p in peers}
    return [
        message
        for family, port in sorted(dumps)
        for message in _dump(netlink, family, port)
        if _peer(message) in peers
    ]


def _dump(netlink: socket.socket, family: int, port: int) -> Iterator[bytes]:
    # Matches any address (prefix length 0) at this remote port; 16 jumps past the end: no match.
    program = struct.pack("=BBHBBxxi", _BC_D_COND, 12, 16, socket.AF_UNSPEC, 0, port)
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_ATTR_INFO - 1), _STATES, b"")
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(program), _ATTR_BYTECODE) + program
    size = _HEADER.size + len(body)
    netlink.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0) + body)
    while True:
        data = netlink.recv(_BUFFER_BYTES)
        for kind, payload in _messages(data):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                code = -int.from_bytes(payload[:4], sys.byteorder, signed=True)
                raise OSError(code, f"inet_diag: {errno.errorcode.get(code, code)}")
            yield payload


def _question(message: bytes) -> bytes:
    """The request for the socket that the message is about."""
    socket_id = message[_ID_AT : _ID_AT + _ID_BYTES]
    extra = 1 << (_ATTR_INFO - 1)
    body = _REQUEST.pack(message[0], socket.IPPROTO_TCP, extra, _STATES, socket_id)
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body


def _ask(netlink: socket.socket, questions: Sequence[bytes]) -> list[TcpSocket] | None:
    """The sockets asked for; None when one of them has ended, or is about to."""
    found: list[TcpSocket] = []
    ended = False
    for first in range(0, len(questions), _ASKED_AT_ONCE):
        some = questions[first : first + _ASKED_AT_ONCE]
        netlink.send(b"".join(some))
        answers = 0
        while answers < len(some):
            for kind, payload in _messages(netlink.recv(_BUFFER_BYTES)):
                answers += 1
                if kind == _NLMSG_ERROR:
                    ended = True
                else:
                    found.append(_socket(payload))
    return None if ended or not all(each.established for each in found) else found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + size]
        at += (size + 3) & ~3


def _peer(payload: bytes) -> tuple[str, int]:
    fields = _MESSAGE.unpack_from(payload)
    length = 4 if fields[0] == socket.AF_INET else 16
    return socket.inet_ntop(fields[0], fields[7][:length]), int.from_bytes(fields[5], "big")


def _socket(payload: bytes) -> TcpSocket:
    fields = _MESSAGE.unpack_from(payload)
    address, port = _peer(payload)
    info = _info(payload[_MESSAGE.size :])

    def u32(offset: int) -> int:
        return int.from_bytes(info[offset : offset + 4], sys.byteorder)

    unacked = u32(24)
    is_stuck = unacked == 0 and info[4] > 0 and u32(228) > 0
    return TcpSocket(
        cookie=int.from_bytes(fields[9], sys.byteorder),
        address=address,
        port=port,
        established=fields[1] == _ESTABLISHED,
        rtt_ms=u32(68) / 1000,
        retransmits=u32(100),
        out_of_order=u32(224),
        backoff=info[4],
        unacked=unacked,
        unread_bytes=fields[11],
        quiet_ms=min(u32(52), u32(56)),
        duplicates=u32(216),
        unsent_bytes=u32(144) if is_stuck else 0,
    )


def _info(attributes: bytes) -> bytes:
    """The struct tcp_info (include/uapi/linux/tcp.h), zeros where an older kernel has less."""
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        size, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if size < _ATTRIBUTE.size:
            break
        if kind == _ATTR_INFO:
            return attributes[at + _ATTRIBUTE.size : at + size].ljust(_INFO_BYTES, b"\0")
        at += (size + 3) & ~3
    return bytes(_INFO_BYTES)
