# SPDX-License-Identifier: MIT
"""Which share a tree id stands for, as the kernel side found out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from aodasync.probes import bpf
from aodasync.probes.scanning import MapScanner
from aodasync.probes.shared import MAX_TREES, TREE_NAME_BYTES, WALK_STEPS

__all__ = ["TREE", "TREE_KEY", "ShareTable"]

TREE_KEY: Final = np.dtype([("session_id", "<u8"), ("tree_id", "<u8")])
"""struct smb_tree_key of ``bpf/smb_trees.h``."""

TREE: Final = np.dtype(f"S{TREE_NAME_BYTES}")
"""struct smb_tree of ``bpf/smb_trees.h``."""

_KEPT: Final = 8 * MAX_TREES  # 100 shares of each of 80 servers
_STRETCHES: Final = 256 // WALK_STEPS
_WALKS: Final = 64  # of connections that were walked before, in one read: some 2 us each


class ShareTable:
    """All trees seen, by session id and tree id; those that the kernel side forgot are kept.

    ``walker_fd`` is a program that notes the trees of one connection when it is run;
    without it only trees connected since the agent's start are known.
    """

    def __init__(self, map_fd: int, walker_fd: int | None) -> None:
        self._scanner = MapScanner(map_fd, TREE, MAX_TREES, TREE_KEY)
        self._walker_fd = walker_fd
        self._known: dict[tuple[int, int], str] = {}
        self._walked: dict[int, None] = {}
        self.forgotten = 0

    def read(self, servers: Mapping[int, int]) -> Mapping[tuple[int, int], str]:
        """Walk connections (kernel addresses by connection id), read the map, and merge.

        Walked are those that never were, and of the others the 64 whose turn it is.
        Shares are written as mounts write them, ``//server/share``. Raises BpfError.
        """
        if self._walker_fd is not None:
            before = [number for number in self._walked if number in servers]
            new = [number for number in servers if number not in self._walked]
            # What was walked longest ago stands first.
            turn = [*before[:_WALKS], *new]
            self._walked = dict.fromkeys([*before[_WALKS:], *turn])
            for connection_id in turn:
                self._walk(self._walker_fd, servers[connection_id], connection_id)
        keys, names = self._scanner.scan()
        for key, name in zip(keys.tolist(), names.tolist(), strict=True):
            self._known[key] = name.decode(errors="replace").replace("\\", "/")
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
            self.forgotten += 1
        return self.known()

    def _walk(self, walker_fd: int, server: int, connection_id: int) -> None:
        """All sessions and trees of a connection, 256 at most, stretch by stretch."""
        for stretch in range(_STRETCHES):
            if bpf.run(walker_fd, (server, connection_id, stretch)) < WALK_STEPS:
                break

    def known(self) -> Mapping[tuple[int, int], str]:
        """What was read so far."""
        return MappingProxyType(dict(self._known))
