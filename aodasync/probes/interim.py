# SPDX-License-Identifier: MIT
"""Which requests in flight got an interim response (STATUS_PENDING, MS-SMB2 3.3.4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from aodasync.events import EventArray, Flag
from aodasync.evidence.arrays import is_in
from aodasync.probes.scanning import MapScanner, NotedScanner
from aodasync.probes.shared import MAX_INTERIM

__all__ = ["INTERIM_KEY", "InterimResponses"]

INTERIM_KEY: Final = np.dtype([("connection_id", "<u8"), ("message_id", "<u8")])
"""struct smb_interim_key of ``bpf/smb_interim.h``; the value is the time in ns."""


class InterimResponses:
    """Interim responses as the kernel side noted them: ``noted`` is how many so far."""

    def __init__(self, map_fd: int, noted: Callable[[], int]) -> None:
        scanner = MapScanner(map_fd, np.dtype("<u8"), MAX_INTERIM, INTERIM_KEY)
        self._scanner = NotedScanner(scanner, noted)

    def mark(self, rows: EventArray) -> None:
        """Set ASYNC_RESPONSE on the rows of ``rows`` that got one. Raises BpfError.

        The pair of connection and message id recurs after a reconnect, so only a
        response from after the request's beginning is one to it.
        """
        if not len(rows):
            return
        keys, times_ns = self._scanner.scan()
        candidates = np.flatnonzero(is_in(rows["message_id"], keys["message_id"]))
        if not len(candidates):
            return
        noted = dict(zip(keys.tolist(), times_ns.tolist(), strict=True))
        for row in candidates.tolist():
            key = (int(rows["connection_id"][row]), int(rows["message_id"][row]))
            if noted.get(key, 0) >= int(rows["issued_ns"][row]):
                rows["flags"][row] |= Flag.ASYNC_RESPONSE
