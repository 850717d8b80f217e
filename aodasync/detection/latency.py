# SPDX-License-Identifier: MIT
"""Which requests were too slow: one pass over a batch, no state.

The latency of a request is ``released_ns - issued_ns``: what its caller waited,
from the allocation of its MID to the last reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aodasync.config.model import LatencyAnomaly
from aodasync.detection.patience import NEVER_EXCUSED, may_wait
from aodasync.detection.windows import NO_HITS, Hits
from aodasync.events import EventArray, Kind, pick
from aodasync.smb.commands import COMMAND_CODES, COMMANDS, MAY_WAIT_FOREVER

__all__ = [
    "LatencyLimits",
    "latency_ns",
    "slow_requests",
    "urgent_though_announced",
    "urgent_thresholds_ns",
]

_REQUEST = int(Kind.REQUEST)  # looking an enum's member up takes a microsecond
_NEVER = np.uint64(2**63)
_SLOTS = len(COMMANDS) + 1  # the last slot stands for every unknown command
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class LatencyLimits:
    """A latency anomaly as arrays of shape (20 commands + 1,), indexed by command code.

    ``threshold_ns`` and ``emergency_ns`` (u8) hold 2^63 where a command is not
    tracked; ``patient`` (bool) marks the commands named in ``track_commands``,
    which count even when the server may hold them back. ``lowest_ns``, of shape (),
    is the lowest limit of all.
    """

    threshold_ns: npt.NDArray[np.uint64]
    emergency_ns: npt.NDArray[np.uint64]
    patient: npt.NDArray[np.bool_]
    lowest_ns: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, anomaly: LatencyAnomaly) -> LatencyLimits:
        """The arrays for a configured anomaly."""
        threshold = np.full(_SLOTS, _NEVER)
        emergency = np.full(_SLOTS, _NEVER)
        patient = np.zeros(_SLOTS, np.bool_)
        for name, threshold_ms in anomaly.thresholds_ms.items():
            code = COMMAND_CODES[name]
            threshold[code] = round(threshold_ms * _MS)
            emergency[code] = round(anomaly.emergency_threshold_ms * _MS)
            patient[code] = name in anomaly.named_commands
        lowest = np.array(np.minimum(threshold, emergency).min())
        return cls(threshold, emergency, patient, lowest)


def latency_ns(rows: EventArray) -> npt.NDArray[np.uint64]:
    """Latency of each row in ns, shape (N,); 0 for a row that has not both ends."""
    issued, released = rows["issued_ns"], rows["released_ns"]
    complete = (issued != 0) & (released >= issued) & (rows["kind"] == _REQUEST)
    return np.where(complete, released - issued, np.uint64(0))


def slow_requests(limits: LatencyLimits, rows: EventArray) -> Hits:
    """The requests of a batch at or over their command's threshold, or in an emergency.

    Requests that may wait for ever (:mod:`aodasync.detection.patience`) count only
    when named.
    """
    # Where an end is missing this is huge, and looked at closely below.
    suspect = rows["released_ns"] - rows["issued_ns"] >= limits.lowest_ns
    if not np.count_nonzero(suspect):
        return NO_HITS
    rows = pick(rows, suspect)
    command = np.minimum(rows["command"], _SLOTS - 1)
    latency = latency_ns(rows)
    counts = (rows["kind"] == _REQUEST) & (rows["issued_ns"] != 0)
    counts &= limits.patient[command] | ~may_wait(rows)
    emergency = counts & (latency >= limits.emergency_ns[command])
    index = np.flatnonzero(emergency | (counts & (latency >= limits.threshold_ns[command])))
    return Hits(
        rows=rows[index],
        latency_ns=latency[index],
        threshold_ns=limits.threshold_ns[command[index]],
        emergency=emergency[index],
        codes=(),
    )


def urgent_thresholds_ns(anomalies: tuple[LatencyAnomaly, ...]) -> list[int]:
    """Per command, the latency that the kernel side shall report at once; 0: never."""
    urgent = [0] * len(COMMANDS)
    for limits in map(LatencyLimits.of, anomalies):
        for code in range(len(COMMANDS)):
            emergency = int(limits.emergency_ns[code])
            waits = COMMANDS[code] in MAY_WAIT_FOREVER and not limits.patient[code]
            if emergency < _NEVER and not waits:
                urgent[code] = min(urgent[code] or emergency, emergency)
    return urgent


def urgent_though_announced(anomalies: tuple[LatencyAnomaly, ...]) -> frozenset[int]:
    """Codes of the commands that are urgent even after an interim response."""
    names = NEVER_EXCUSED.union(*(anomaly.named_commands for anomaly in anomalies))
    return frozenset(COMMAND_CODES[name] for name in names)
