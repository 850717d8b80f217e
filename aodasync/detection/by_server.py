# SPDX-License-Identifier: MIT
"""Rows by the server of their connection: one server may have many connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aodasync.evidence.arrays import distinct

__all__ = ["ByServer", "by_server"]


@dataclass(frozen=True, slots=True)
class ByServer:
    """Which row is of which server.

    ``servers`` are names in rising order, ``place`` (shape (N,), one a row) indexes them, and
    ``connections`` has the ids of each server's connections, in rising order.
    """

    servers: tuple[str, ...]
    place: npt.NDArray[np.int64]
    connections: tuple[tuple[int, ...], ...]


def by_server(ids: npt.NDArray[np.uint64], server_of: Callable[[int], str]) -> ByServer:
    """Group rows by server, given their connection ids, of shape (N,)."""
    own: dict[str, list[int]] = {}
    different = distinct(ids)
    names = [server_of(connection) for connection in different]
    for name, connection in zip(names, different, strict=True):
        own.setdefault(name, []).append(connection)
    servers = tuple(sorted(own))
    if len(servers) <= 1:
        place = np.zeros(len(ids), np.int64)
    else:
        number = {name: n for n, name in enumerate(servers)}
        place = np.array([number[name] for name in names])[np.searchsorted(different, ids)]
    return ByServer(servers, place, tuple(tuple(own[name]) for name in servers))
