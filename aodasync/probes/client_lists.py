# SPDX-License-Identifier: MIT
"""The client's own lists: its connections, and the requests that each of them waits for.

Theory of operation
===================

``cifs_tcp_ses_list`` links all connections (``TCP_Server_Info``), ``pending_mid_q`` of
each the requests that have no answer yet (``mid_q_entry``). The client holds a spinlock
when it changes them, which is not ours to take. So the lists are walked one entry at a
time, each pointer read by a program of ours that cannot fault (``bpf/smb_pending.h``),
and an entry is believed only if it points back to where it was found. A list that
changes under the walk is begun anew, a few times; what was taken in before is known.
A request that is missed is recorded when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from aodasync.probes import bpf
from aodasync.probes.shared import IN_FLIGHT_MAX, MAX_CONNECTIONS

__all__ = ["ClientLists", "ListLayout", "Walker"]

_POINTER_BYTES: Final = 8
_TRIES: Final = 8
_MOST_ASKED: Final = 128


@dataclass(frozen=True, slots=True)
class ListLayout:
    """Where the lists are: the address of ``cifs_tcp_ses_list`` (0: unknown), and offsets.

    Of ``tcp_ses_list``, ``pending_mid_q``, ``conn_id`` and ``credits`` (-1: it has none) in
    a connection, of ``qhead`` in a request.
    """

    connections: int
    next_connection: int
    requests: int
    next_request: int
    connection_id: int
    credits: int


class Walker(NamedTuple):
    """Descriptors of programs: read a word, note a connection, follow a request."""

    word_fd: int
    connection_fd: int
    adopt_fd: int


class ClientLists:
    """Takes in what is on its way. Everything here raises BpfError."""

    def __init__(self, layout: ListLayout, walker: Walker) -> None:
        self._layout = layout
        self._walker = walker
        self._walked: Mapping[int, int] = {}
        self.cut = 0
        """Walks that were given up: requests may be missing."""

    def take_in(self) -> None:
        """All connections, and the requests that each waits for."""
        layout = self._layout
        if not layout.connections:
            return
        for entry in self._entries(layout.connections, MAX_CONNECTIONS):
            server = entry - layout.next_connection
            bpf.run(self._walker.connection_fd, (server,))
            self._take_in_requests(server)

    def take_in_new(self, servers: Mapping[int, int]) -> None:
        """The requests of connections (addresses by id) that were not known before.

        Only where the list of all connections is unknown.
        """
        if self._layout.connections:
            return
        for connection_id, server in servers.items():
            if connection_id not in self._walked:
                self._take_in_requests(server)
        self._walked = servers

    def credits(self, servers: Mapping[int, int]) -> dict[int, int]:
        """Requests that each connection (addresses by id) may send now; some 5 us each.

        One that ended is left out, and so are those beyond :data:`_MOST_ASKED`.
        """
        layout = self._layout
        found: dict[int, int] = {}
        if layout.credits < 0:
            return found
        for connection_id, server in islice(servers.items(), _MOST_ASKED):
            granted = bpf.run(self._walker.word_fd, (server + layout.credits,))
            # Read after it: freed memory may be anything by now.
            if self._pointer(server + layout.connection_id) == connection_id:
                found[connection_id] = granted if granted < 1 << 31 else granted - (1 << 32)
        return found

    def _take_in_requests(self, server: int) -> None:
        for entry in self._entries(server + self._layout.requests, IN_FLIGHT_MAX):
            bpf.run(self._walker.adopt_fd, (entry - self._layout.next_request, server))

    def _entries(self, head: int, most: int) -> Iterator[int]:
        """Addresses of a list's entries; some come again when the list changed meanwhile."""
        for _ in range(_TRIES):
            before, entry = head, self._pointer(head)
            # A removed entry points to itself, or to poison.
            while entry not in (0, head, before) and most:
                if self._pointer(entry + _POINTER_BYTES) != before:
                    break
                most -= 1
                yield entry
                before, entry = entry, self._pointer(entry)
            if entry == head:
                return
        self.cut += 1

    def _pointer(self, at: int) -> int:
        low, high = (bpf.run(self._walker.word_fd, (at + half,)) for half in (0, 4))
        return high << 32 | low
