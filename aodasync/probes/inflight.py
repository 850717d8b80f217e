# SPDX-License-Identifier: MIT
"""The requests in flight as the kernel side has them, and scans of its hash maps."""

from __future__ import annotations

import errno
import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.errors import BpfError
from aodasync.events import EVENT, EventArray, Flag, pick
from aodasync.probes import bpf
from aodasync.probes.maps import lookup_batch
from aodasync.probes.shared import IN_FLIGHT_MAX, SLOT_BEING_WRITTEN

__all__ = ["InFlightTable", "MapScanner", "MessageTable", "believable"]

_FIRST_ROWS: Final = 1024
_U64: Final = np.dtype(np.uint64)
_CHECKED_FROM_NS: Final = 10**9
_CHECKS: Final = 64  # at most, in one look: some 2 us each
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


class InFlightTable:
    """The requests in flight by MID, in the slots of two arrays (``bpf/smb_slots.h``).

    ``checker_fd`` is a program that ends the request of a MID, if that is free though
    its release was not seen. It is run on those that are in flight for long, each in
    its turn: what it ends leaves the table and comes through the ring.
    """

    def __init__(self, mids_fd: int, rows_fd: int, checker_fd: int | None) -> None:
        self._mids = mmap.mmap(mids_fd, _U64.itemsize * IN_FLIGHT_MAX, prot=mmap.PROT_READ)
        self._rows = mmap.mmap(rows_fd, EVENT.itemsize * IN_FLIGHT_MAX, prot=mmap.PROT_READ)
        self._checker_fd = checker_fd
        self._checked = 0

    def read(self, now_ns: int) -> EventArray:
        """Rows of shape (N,), dtype EVENT, oldest first. Raises BpfError.

        A slot that changed hands while its row was copied is left out.
        """
        mids = np.frombuffer(self._mids, _U64)
        # Compared first: numpy raises when what it searches changes under it.
        taken = np.flatnonzero(mids != 0)
        seen = mids[taken]
        rows = pick(np.frombuffer(self._rows, EVENT), taken)
        steady = (seen & SLOT_BEING_WRITTEN == 0) & (mids[taken] == seen)
        seen, rows = seen[steady], pick(rows, steady)
        self._check(seen[rows["issued_ns"] + _CHECKED_FROM_NS < now_ns])
        return _oldest_first(rows)

    def close(self) -> None:
        """Unmap."""
        self._mids.close()
        self._rows.close()

    def _check(self, mids: npt.NDArray[Any]) -> None:
        if self._checker_fd is None or not len(mids):
            return
        turn = range(self._checked, self._checked + min(_CHECKS, len(mids)))
        for mid in np.sort(mids).take(turn, mode="wrap"):
            bpf.run(self._checker_fd, (int(mid),))
        self._checked = turn.stop % len(mids)


class MessageTable:
    """The requests in flight by session and message id: those of the tracepoints."""

    def __init__(self, map_fd: int, key: np.dtype[Any]) -> None:
        self._scanner = MapScanner(map_fd, EVENT, IN_FLIGHT_MAX, key)

    def read(self, now_ns: int) -> EventArray:  # noqa: ARG002  # as InFlightTable has it
        """Rows of shape (N,), dtype EVENT, oldest first. Raises BpfError."""
        return _oldest_first(self._scanner.scan()[1])

    def close(self) -> None:
        """Nothing is held."""


def _oldest_first(rows: EventArray) -> EventArray:
    ordered = pick(rows, np.argsort(rows["issued_ns"], kind="stable"))
    # A reference may have been dropped already (see on_put in bpf/); it is not the end.
    ordered["released_ns"] = 0
    ordered["flags"] &= ~np.uint16(Flag.STATUS_UNSEEN)
    return ordered


def believable(rows: EventArray, reconnected_ns: int, now_ns: int) -> EventArray:
    """Those of the rows in flight that may still be, where not every end is seen.

    What was in flight at a reconnect is not any more, and by the time that the client
    gives a connection up nothing on it is.
    """
    since = max(reconnected_ns, now_ns - _GIVEN_UP_NS)
    kept: EventArray = rows[rows["issued_ns"] > max(since, 0)]
    return kept
