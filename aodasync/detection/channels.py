# SPDX-License-Identifier: MIT
"""Which connections are one server.

Those of one name are. So are the channels of one session (multichannel): the extra ones
have no host name of their own, but the session's id (MS-SMB2 3.2.4.1.7), and belong to the
server of its first connection. Session ids are each server's own, so a connection that has
a name, or connects to shares, is never an extra channel: SMB2_tcon uses the first one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from aodasync.detection.trouble_rows import TREE_CONNECT
from aodasync.events import EventArray

__all__ = ["Channels"]


class Channels:
    """Sessions by connection id, as many as the caller does not :meth:`forget`.

    ``server_of`` names the server of a connection id.
    """

    def __init__(self, server_of: Callable[[int], str]) -> None:
        self._server_of = server_of
        self._session: dict[int, int] = {}
        self._first: dict[int, int] = {}  # the first connection of each session
        self._connect_trees: set[int] = set()

    def __contains__(self, connection: int) -> bool:
        """Whether its session is known."""
        return connection in self._session

    def __len__(self) -> int:
        return len(self._session)

    def learn(self, rows: EventArray) -> None:
        """Note the sessions of connections that have none yet; rows of shape (N,)."""
        columns = (rows[name].tolist() for name in ("connection_id", "session_id", "command"))
        for connection, session, command in zip(*columns, strict=True):
            if command == TREE_CONNECT:
                self._connect_trees.add(connection)
            if session and connection not in self._session:
                self._session[connection] = session
                self._first[session] = min(self._first.get(session, connection), connection)

    def note_tree_connect(self, connection: int) -> None:
        """The connection connects to shares: it is the first one of its session."""
        self._connect_trees.add(connection)

    def end_session(self, connection: int) -> None:
        """The connection negotiates again, and will have another session."""
        session = self._session.pop(connection, 0)
        if self._first.get(session) == connection:
            del self._first[session]

    def forget(self, connection: int) -> None:
        """Nothing is known of the connection any more."""
        self.end_session(connection)
        self._connect_trees.discard(connection)

    def of_session(self, session: int) -> int | None:
        """The first connection of a session."""
        return self._first.get(session)

    def server(self, connection: int) -> str:
        """The name of a connection's server: for people, and it may change."""
        name = self._server_of(connection)
        session = self._session.get(connection)
        if session is None or connection in self._connect_trees:
            return name
        first = self._first.get(session, connection)
        return self._server_of(first) if first != connection and _is_bare(name) else name

    def by_server(self, connections: Iterable[int]) -> dict[str, list[int]]:
        """Connections by the name of their server."""
        servers: dict[str, list[int]] = {}
        for connection in connections:
            servers.setdefault(self.server(connection), []).append(connection)
        return servers


def _is_bare(name: str) -> bool:
    """Whether a server is known by its address alone, or not at all."""
    if name.startswith("connection "):
        return True
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in name else socket.AF_INET, name)
    except (OSError, ValueError):
        return False
    return True
