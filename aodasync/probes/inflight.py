# SPDX-License-Identifier: MIT
"""Scanning a whole BPF hash map into numpy: requests in flight, connections, and others."""

from __future__ import annotations

import errno
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.errors import BpfError
from aodasync.events import EventArray
from aodasync.probes.maps import lookup_batch

__all__ = ["MapScanner", "believable", "in_flight"]

_FIRST_ROWS: Final = 1024
_U64: Final = np.dtype(np.uint64)
_GIVEN_UP_NS: Final = 180 * 10**9  # 3 x echo_interval by default: then the client reconnects


class MapScanner:
    """Reads all rows of a hash map; its buffers grow as needed and are kept."""

    def __init__(
        self, map_fd: int, value: np.dtype[Any], max_entries: int, key: np.dtype[Any] = _U64
    ) -> None:
        self._fd = map_fd
        self._max_entries = max_entries
        self._keys = np.empty(min(_FIRST_ROWS, max_entries), key)
        self._values = np.empty(len(self._keys), value)

    def scan(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Keys and values, shape (N,) each, as copies in no particular order.

        Not a snapshot: rows that come or go meanwhile may be seen or not; a row that
        stays is seen exactly once.
        """
        rows = 0
        token = None
        while True:
            if rows == len(self._keys):
                self._grow()
            try:
                count, token = lookup_batch(self._fd, token, self._keys[rows:], self._values[rows:])
            except BpfError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self._grow()
                continue
            rows += count
            if token is None:
                return self._keys[:rows].copy(), self._values[:rows].copy()

    def _grow(self) -> None:
        # Twice the map: a bucket is copied whole or not at all, and rows may move meanwhile.
        size = min(2 * len(self._keys), 2 * self._max_entries)
        self._keys = np.resize(self._keys, size)
        self._values = np.resize(self._values, size)


def in_flight(scanner: MapScanner) -> EventArray:
    """Rows of the requests in flight, oldest first. ``scanner`` reads values of dtype EVENT."""
    _, rows = scanner.scan()
    order = np.argsort(rows["issued_ns"], kind="stable")
    ordered: EventArray = rows[order]
    # A reference may have been dropped already (see on_put in bpf/); it is not the end.
    ordered["released_ns"] = 0
    return ordered


def believable(rows: EventArray, reconnected_ns: int, now_ns: int) -> EventArray:
    """Those of the rows in flight that may still be, where not every end is seen.

    What was in flight at a reconnect is not any more, and by the time that the client
    gives a connection up nothing on it is.
    """
    since = max(reconnected_ns, now_ns - _GIVEN_UP_NS)
    kept: EventArray = rows[rows["issued_ns"] > max(since, 0)]
    return kept
