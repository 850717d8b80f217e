# SPDX-License-Identifier: MIT
"""Which responses carry a tracked code: one pass over a batch, decisions cached by status.

A request without a response counts by the errno that its caller gets
(cifs_sync_mid_result): a connection that was torn down is EHOSTDOWN (but an
umount's own are not counted), a response that could not be parsed EIO. One that
a reconnect cut off is sent again by the client; it belongs to the connection
anomaly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aodasync.config.model import ErrorAnomaly
from aodasync.detection.connection import ENDED_BY_UMOUNT
from aodasync.detection.windows import NO_HITS, Hits
from aodasync.events import EventArray, Kind, Outcome, pick
from aodasync.smb.ntstatus import ANY_COMMAND, EXPECTED_NOISE, status_errno, status_name

__all__ = ["ErrorCodes"]

# An enum's members take a microsecond to look up, too much for every batch.
_REQUEST = int(Kind.REQUEST)
_ANSWERED = int(Outcome.ANSWERED)
_ERRNO_WITHOUT_RESPONSE = {Outcome.SHUTDOWN: "EHOSTDOWN", Outcome.MALFORMED: "EIO"}


class ErrorCodes:
    """A configured error anomaly; remembers the verdict on each (command, outcome, status)."""

    def __init__(self, anomaly: ErrorAnomaly) -> None:
        self._anomaly = anomaly
        self._errnos = frozenset(anomaly.codes)
        self._statuses = frozenset(anomaly.statuses)
        self._decided: dict[int, str] = {}

    def failed_requests(self, rows: EventArray) -> Hits:
        """The requests of a batch whose code is tracked; ``codes`` aligns with their rows."""
        # Both are 0 in most batches.
        if not np.count_nonzero(rows["status"]) and not np.count_nonzero(rows["outcome"]):
            return NO_HITS
        suspect = (rows["status"] != 0) | (rows["outcome"] != _ANSWERED)
        suspect &= rows["kind"] == _REQUEST
        failed = pick(rows, suspect)
        codes = self._codes(failed)
        index = np.flatnonzero([code != "" for code in codes])
        hits = failed[index]
        return Hits(
            rows=hits,
            latency_ns=hits["released_ns"] - np.minimum(hits["issued_ns"], hits["released_ns"]),
            threshold_ns=np.zeros(len(index), np.uint64),
            emergency=np.zeros(len(index), np.bool_),
            codes=tuple(codes[i] for i in index),
        )

    def _codes(self, failed: EventArray) -> list[str]:
        key: npt.NDArray[np.uint64] = failed["status"].astype(np.uint64)
        key |= failed["outcome"].astype(np.uint64) << np.uint64(32)
        key |= failed["command"].astype(np.uint64) << np.uint64(40)
        return [self._decide(number) for number in key.tolist()]

    def _decide(self, key: int) -> str:
        if key not in self._decided:
            status, outcome, command = key & 0xFFFFFFFF, (key >> 32) & 0xFF, key >> 40
            self._decided[key] = self.tracked_code(command, outcome, status)
        return self._decided[key]

    def tracked_code(self, command: int, outcome: int, status: int) -> str:
        """The NTSTATUS (else errno) name under which a request counts; empty when it does not."""
        anomaly = self._anomaly
        if outcome == Outcome.SHUTDOWN and command in ENDED_BY_UMOUNT:
            return ""
        if outcome != Outcome.ANSWERED:
            errno = _ERRNO_WITHOUT_RESPONSE.get(Outcome(outcome), "") if outcome < 8 else ""
            return errno if errno in self._errnos else ""
        if status == 0:
            return ""
        name, errno = status_name(status), status_errno(status)
        if name in self._statuses:
            return name
        if name in anomaly.excluded_statuses or errno not in self._errnos:
            return ""
        noise = EXPECTED_NOISE & {(command, status), (ANY_COMMAND, status)}
        return name if not noise or errno in anomaly.named_codes else ""
