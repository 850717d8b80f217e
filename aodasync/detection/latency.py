# SPDX-License-Identifier: MIT
"""Requests that were too slow: one pass over a batch.

Requests that may wait for ever (:mod:`aodasync.detection.long_waits`) count only when
named in ``track_commands``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aodasync.config.model import LatencyAnomaly
from aodasync.detection.detector import Context, Detector, Firing, Signal, Urgency, View
from aodasync.detection.long_waits import NEVER_EXCUSED, may_wait, may_wait_for_ever
from aodasync.detection.streaks import SlowStreaks
from aodasync.detection.windows import Hit, WindowCounter
from aodasync.events import (
    ANSWERED,
    FEW_ROWS,
    NS_PER_MS,
    REQUEST,
    EventArray,
    glance,
    latency_ns,
    pick,
)
from aodasync.evidence.model import Symptom
from aodasync.smb.commands import COMMAND_CODES, COMMANDS, MAY_WAIT_FOREVER

__all__ = ["LatencyDetector"]

_NEVER = np.uint64(2**63)
_LONGEST_MS = 1e12  # of a threshold: 31 years, ten times which fit into an array
_SLOTS = len(COMMANDS) + 1  # the last slot stands for every unknown command


@dataclass(frozen=True, slots=True)
class _Limits:
    """A latency anomaly as arrays of shape (20 commands + 1,), indexed by command code.

    ``threshold_ns``, ``emergency_ns`` and ``far_ns`` (far too slow; u8) hold 2^63 where a
    command is not tracked; ``named`` (bool) marks the commands named in ``track_commands``,
    which count even when the server may hold them back. ``lowest_ns`` is
    the lowest limit of all, also as an array of shape (), which numpy compares with twice as
    quickly; ``of_command`` has threshold, emergency and name once more.
    """

    threshold_ns: npt.NDArray[np.uint64]
    emergency_ns: npt.NDArray[np.uint64]
    far_ns: npt.NDArray[np.uint64]
    named: npt.NDArray[np.bool_]
    lowest_ns: int
    lowest: npt.NDArray[np.uint64]
    of_command: list[tuple[int, int, bool]]

    @classmethod
    def of(cls, anomaly: LatencyAnomaly) -> _Limits:
        """The arrays for a configured anomaly."""
        threshold = np.full(_SLOTS, _NEVER)
        emergency = np.full(_SLOTS, _NEVER)
        named = np.zeros(_SLOTS, np.bool_)
        for name, threshold_ms in anomaly.thresholds_ms.items():
            code = COMMAND_CODES[name]
            threshold[code] = round(min(threshold_ms, _LONGEST_MS) * NS_PER_MS)
            emergency[code] = round(anomaly.emergency_threshold_ms * NS_PER_MS)
            named[code] = name in anomaly.named_commands
        lowest = int(np.minimum(threshold, emergency).min())
        tracked = threshold < _NEVER
        far = np.minimum(10 * np.where(tracked, threshold, 0), emergency // 2)
        far = np.where(tracked, np.maximum(far, threshold), _NEVER)
        of_command = zip(threshold.tolist(), emergency.tolist(), named.tolist(), strict=True)
        as_array = np.array(lowest, np.uint64)
        return cls(threshold, emergency, far, named, lowest, as_array, list(of_command))


class LatencyDetector(Detector):
    """Counts the requests at or over their command's threshold, and those in an emergency."""

    def __init__(self, anomaly: LatencyAnomaly, context: Context) -> None:
        self._anomaly = anomaly
        self._limits = _Limits.of(anomaly)
        self._counter = WindowCounter(anomaly, context, Symptom.SLOW)
        self._streaks = SlowStreaks(anomaly, context)

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        """Count the slow requests of a batch; only then judge whether all of a server were."""
        hits = self.select(rows)
        return self._count(rows, hits) if hits or self._streaks else ()

    def _count(self, rows: EventArray, hits: Sequence[Hit]) -> Iterator[Signal]:
        yield from self._counter.add(hits)
        yield from self._far_too_slow(rows)

    def look(self, view: View) -> Iterable[Signal]:
        """Forget the servers that have nothing left to judge."""
        self._streaks.end_silent(view.now_ns)
        return ()

    def forgotten(self) -> int:
        """Windows and streaks."""
        return self._counter.forgotten + self._streaks.forgotten

    def _far_too_slow(self, rows: EventArray) -> list[Firing]:
        limits = self._limits
        command = np.minimum(rows["command"], _SLOTS - 1)
        tracked = (rows["kind"] == REQUEST) & (limits.threshold_ns[command] < _NEVER)
        tracked &= (rows["issued_ns"] != 0) & (rows["outcome"] == ANSWERED)
        tracked &= limits.named[command] | ~may_wait(rows)
        latency = latency_ns(rows)
        slow = tracked & (latency >= limits.far_ns[command])
        quick = pick(rows, tracked & ~slow)
        least_ns = int(limits.far_ns.min())
        return self._streaks.add(pick(rows, slow), latency[slow], quick, least_ns)

    def select(self, rows: EventArray) -> Sequence[Hit]:
        """The slow requests of a batch."""
        if len(rows) <= FEW_ROWS:
            return self._judge_few(rows)
        # Where an end is missing this is huge, and looked at closely below.
        suspect = rows["released_ns"] - rows["issued_ns"] >= self._limits.lowest
        which = suspect.tobytes()  # quicker than any function of numpy
        first = which.find(1)
        if first < 0:
            return ()
        if which.find(1, first + 1) < 0:  # an urgent one, and what waited with it
            return self._judge_few(rows[first : first + 1])
        rows = pick(rows, suspect)
        return self._judge_few(rows) if len(rows) <= FEW_ROWS else self._judge(rows)

    def _judge_few(self, rows: EventArray) -> list[Hit]:
        """As :meth:`_judge`. An urgent one comes with few others, or alone."""
        lowest_ns, of_command = self._limits.lowest_ns, self._limits.of_command
        hits: list[Hit] = []
        for issued_ns, released_ns, connection, _, command, flags, kind, _ in glance(rows):
            took_ns = released_ns - issued_ns
            if took_ns < lowest_ns or kind != REQUEST or not issued_ns:
                continue
            threshold_ns, emergency_ns, named = of_command[min(command, _SLOTS - 1)]
            emergency = took_ns >= emergency_ns
            counts = emergency or took_ns >= threshold_ns
            if counts and (named or not may_wait_for_ever(command, flags)):
                hits.append(
                    (connection, released_ns, command, took_ns, threshold_ns, emergency, "")
                )
        return hits

    def _judge(self, rows: EventArray) -> list[Hit]:
        limits = self._limits
        issued_ns, released_ns = rows["issued_ns"], rows["released_ns"]
        took_ns = released_ns - issued_ns
        command = np.minimum(rows["command"], _SLOTS - 1)
        threshold_ns = limits.threshold_ns[command]
        counts = (rows["kind"] == REQUEST) & (issued_ns != 0) & (released_ns >= issued_ns)
        counts &= limits.named[command] | ~may_wait(rows)
        emergency = counts & (took_ns >= limits.emergency_ns[command])
        hit = emergency | (counts & (took_ns >= threshold_ns))
        counted = (rows["connection_id"], released_ns, rows["command"], took_ns, threshold_ns)
        columns = [column[hit].tolist() for column in (*counted, emergency)]
        return list(zip(*columns, [""] * len(columns[0]), strict=True))

    def urgency(self) -> Urgency:
        """The emergency threshold of each tracked command that may not wait for ever."""
        limits = self._limits
        urgent = {
            code: int(limits.emergency_ns[code])
            for code, name in enumerate(COMMANDS)
            if limits.emergency_ns[code] < _NEVER
            and (limits.named[code] or name not in MAY_WAIT_FOREVER)
        }
        announced = NEVER_EXCUSED | self._anomaly.named_commands
        return Urgency(urgent, frozenset(COMMAND_CODES[name] for name in announced))
