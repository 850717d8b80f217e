# SPDX-License-Identifier: MIT
"""Scans of hash maps, a batch of buckets at a time (BPF_MAP_LOOKUP_BATCH)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.errors import BpfError
from aodasync.probes.maps import lookup_batch

__all__ = ["MapScanner", "NotedScanner"]

_FIRST_ROWS: Final = 1024
_U64: Final = np.dtype(np.uint64)


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


class NotedScanner:
    """Scans a map only when it was written to since: ``noted`` is how often it was so far."""

    def __init__(self, scanner: MapScanner, noted: Callable[[], int]) -> None:
        self._scanner = scanner
        self._noted = noted
        self._seen = self._seen_before = -1
        self._found: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None

    def scan(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """As :meth:`MapScanner.scan`; the very same arrays while nothing was written."""
        noted = self._noted()
        # Once more after each change: the count may be seen before its row.
        if self._found is None or not noted == self._seen == self._seen_before:
            self._found = self._scanner.scan()
            self._seen_before, self._seen = self._seen, noted
        return self._found
