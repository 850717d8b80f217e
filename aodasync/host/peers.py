# SPDX-License-Identifier: MIT
"""Who is at the other end of a socket of this host, and which group a name is."""

from __future__ import annotations

import grp
import socket
import struct
from typing import Any, Final

__all__ = ["gid_of", "peer_uid"]

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred (unix(7)): pid, uid, gid


def peer_uid(channel: Any) -> int:
    """The user who connected; ``channel`` is a socket, or what asyncio gives in its place.

    Raises:
        OSError: it is no Unix socket.
    """
    found = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])


def gid_of(name: str) -> int | None:
    """The group of this name; None if there is none. It may ask a directory service: blocks."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
