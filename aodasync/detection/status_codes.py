# SPDX-License-Identifier: MIT
"""Which responses carry a tracked code: one pass over a batch, decisions cached by status.

A request without a response counts by the errno that its caller gets
(cifs_sync_mid_result): a connection that was torn down is EHOSTDOWN (but an
umount's own are not counted), a response that could not be parsed EIO. One that
a reconnect cut off, or whose session was over, is sent again by the client; it belongs
to the connection anomaly, and so does a login that is refused, unless its command or
NTSTATUS is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aodasync.config.model import ConnectionAnomaly, ErrorAnomaly
from aodasync.detection.detector import Context, Detector, Signal
from aodasync.detection.trouble_rows import ENDED_BY_UMOUNT, SESSION_SETUP
from aodasync.detection.windows import Hit, WindowCounter, hits_of
from aodasync.events import ANSWERED, REQUEST, EventArray, Flag, Outcome, latency_ns, pick
from aodasync.evidence.model import Symptom
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import (
    LOGIN_REFUSED,
    NEVER_AN_ERROR,
    SESSION_ENDED,
    is_expected,
    status_errno,
    status_name,
)

__all__ = ["ErrorDetector", "Failures"]

_COMPOUND = int(Flag.COMPOUND)
_REMEMBERED = 4096
_ERRNO_WITHOUT_RESPONSE = {Outcome.SHUTDOWN: "EHOSTDOWN", Outcome.MALFORMED: "EIO"}


class ErrorDetector(Detector):
    """Counts failures, those of each rule apart: one failure may count for several."""

    def __init__(self, anomaly: ErrorAnomaly, context: Context) -> None:
        self._connections = context.connections
        logins = not any(isinstance(each, ConnectionAnomaly) for each in context.anomalies)
        self._counted = [
            (Failures(each, logins=logins), WindowCounter(each, context, Symptom.STATUS, rule=rule))
            for rule, each in anomaly.counted().items()
        ]

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        """Count the failures of a batch that match."""
        return () if self._connections.ordinary else self._count(rows)

    def _count(self, rows: EventArray) -> Iterator[Signal]:
        for failures, counter in self._counted:
            yield from counter.add(failures.select(rows))

    def forgotten(self) -> int:
        """Windows, of all rules."""
        return sum(counter.forgotten for _, counter in self._counted)


class Failures:
    """The failures that an anomaly without rules counts.

    Remembers what each (command, outcome, status) is. ``logins``: also refused ones.
    """

    def __init__(self, anomaly: ErrorAnomaly, *, logins: bool = True) -> None:
        self._anomaly = anomaly
        self._logins = logins
        self._commands = frozenset(COMMAND_CODES[name] for name in anomaly.commands)
        self._any = not anomaly.codes and not anomaly.statuses
        self._errnos = frozenset(anomaly.codes)
        self._statuses = frozenset(anomaly.statuses)
        self._decide = lru_cache(_REMEMBERED)(self._decide_anew)

    def select(self, rows: EventArray) -> list[Hit]:
        """The requests of a batch that count."""
        suspect = (rows["status"] != 0) | (rows["outcome"] != ANSWERED)
        suspect &= rows["kind"] == REQUEST
        failed = pick(rows, suspect)
        codes = self._codes(failed)
        if not any(codes):
            return []
        index = np.flatnonzero([code != "" for code in codes])
        hits = failed[index]
        return hits_of(hits, [code for code in codes if code], latency_ns(hits).tolist())

    def _codes(self, failed: EventArray) -> list[str]:
        key: npt.NDArray[np.uint64] = failed["status"].astype(np.uint64)
        key |= failed["outcome"].astype(np.uint64) << np.uint64(32)
        key |= failed["command"].astype(np.uint64) << np.uint64(40)
        key |= ((failed["flags"] & _COMPOUND) != 0).astype(np.uint64) << np.uint64(56)
        return [self._decide(number) for number in key.tolist()]

    def _decide_anew(self, key: int) -> str:
        status, outcome, command = key & 0xFFFFFFFF, (key >> 32) & 0xFF, (key >> 40) & 0xFFFF
        return self.tracked_code(command, outcome, status, in_compound=bool(key >> 56))

    def tracked_code(
        self, command: int, outcome: int, status: int, *, in_compound: bool = False
    ) -> str:
        """The NTSTATUS (else errno) name under which a request counts; empty when it does not."""
        if self._commands and command not in self._commands:
            return ""
        if outcome != ANSWERED:
            return self._without_response(command, outcome)
        if status == 0 or status in NEVER_AN_ERROR:
            return ""
        name, errno = status_name(status), status_errno(status)
        if name in self._statuses or self._is_of_a_connection(command, status):
            return name if name in self._statuses else ""
        tracked = errno != "" if self._any else errno in self._errnos
        if name in self._anomaly.excluded_statuses or not tracked:
            return ""
        expected = is_expected(command, status, in_compound=in_compound)
        return name if not expected or errno in self._anomaly.named_codes else ""

    def _without_response(self, command: int, outcome: int) -> str:
        if outcome == Outcome.SHUTDOWN and command in ENDED_BY_UMOUNT:
            return ""
        errno = _ERRNO_WITHOUT_RESPONSE.get(Outcome(outcome), "") if outcome < 8 else ""
        return errno if self._any or errno in self._errnos else ""

    def _is_of_a_connection(self, command: int, status: int) -> bool:
        if status in SESSION_ENDED:
            return True
        login = command == SESSION_SETUP and status in LOGIN_REFUSED
        return login and not self._logins and not self._commands
