# SPDX-License-Identifier: MIT
"""Connections as the kernel side noted them: name and address of the peer."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.evidence.model import Connection
from aodasync.probes.scanning import MapScanner, NotedScanner
from aodasync.probes.shared import (
    ADDRESS_BYTES,
    CONNECTION_BYTES,
    HOSTNAME_BYTES,
    MAX_CONNECTIONS,
)

__all__ = ["CONNECTION", "ConnectionTable", "peer"]

_FLAGS_AT: Final = HOSTNAME_BYTES + ADDRESS_BYTES

CONNECTION: Final = np.dtype(
    {
        "names": ["hostname", "address", "is_smb1", "netns", "server"],
        "formats": [f"S{HOSTNAME_BYTES}", f"V{ADDRESS_BYTES}", "<u4", "<u4", "<u8"],
        "offsets": [0, HOSTNAME_BYTES, _FLAGS_AT, _FLAGS_AT + 4, CONNECTION_BYTES - 8],
        "itemsize": CONNECTION_BYTES,
    }
)
"""struct smb_connection of ``bpf/smb_event.h``."""

_KEPT: Final = 4 * MAX_CONNECTIONS


def peer(address: bytes) -> tuple[str, int]:
    """Address and port of a sockaddr_in or sockaddr_in6; an empty one is ``("", 0)``."""
    family = int.from_bytes(address[:2], sys.byteorder)
    (port,) = struct.unpack_from("!H", address, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(family, address[4:8]), port
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, address[8:24]), port
    return "", 0


class ConnectionTable:
    """All connections seen, by id; those that the kernel side forgot are kept.

    ``noted`` counts how often the kernel side wrote to the table.
    """

    def __init__(self, map_fd: int, noted: Callable[[], int]) -> None:
        self._scanner = NotedScanner(MapScanner(map_fd, CONNECTION, MAX_CONNECTIONS), noted)
        self._keys: npt.NDArray[Any] | None = None
        self._known: dict[int, tuple[bytes, Connection]] = {}
        self._servers: Mapping[int, int] = {}
        self.forgotten = 0

    def read(self) -> Mapping[int, Connection]:
        """Read the map (some 50 us) if it was written to, and merge."""
        keys, values = self._scanner.scan()
        if keys is self._keys:
            return self.known()
        self._servers = dict(zip(keys.tolist(), values["server"].tolist(), strict=True))
        for connection_id, value in zip(keys.tolist(), values, strict=True):
            raw = value.tobytes()
            known = self._known.get(connection_id)
            if known is None or known[0] != raw:
                self._known[connection_id] = (raw, _connection(connection_id, raw))
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
            self.forgotten += 1
        self._keys = keys  # only now: what failed is tried again
        return self.known()

    def known(self) -> Mapping[int, Connection]:
        """What was read so far."""
        return MappingProxyType({key: known[1] for key, known in self._known.items()})

    def servers(self) -> Mapping[int, int]:
        """Kernel address of each connection's TCP_Server_Info, as last read; it may be gone."""
        return self._servers


def _connection(connection_id: int, raw: bytes) -> Connection:
    address, port = peer(raw[HOSTNAME_BYTES:])
    name = raw[:HOSTNAME_BYTES].split(b"\0", 1)[0].decode(errors="replace")
    is_smb1, netns = struct.unpack_from("=II", raw, _FLAGS_AT)
    return Connection(connection_id, name or address, address, port, bool(is_smb1), netns)
