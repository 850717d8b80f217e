# SPDX-License-Identifier: MIT
"""A naive judge beside the product's detectors: what does a bundle's record itself say?

It goes through the recorded requests one by one, as one would with a pencil, and
knows nothing of the detectors but the configuration and the log's words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import product
from product import Rows

from aodasync.smb.commands import COMMANDS
from aodasync.smb.ntstatus import STATUS_CODES

_MS = 1_000_000
_SECOND = 1_000_000_000
_MAY_WAIT = ("SMB2_LOCK", "SMB2_CHANGE_NOTIFY")
_PROMPT = ("SMB2_READ", "SMB2_WRITE", "SMB2_FLUSH")  # an interim response excuses the others
_RETRY, _SHUTDOWN = 1, 2
_MORE_PROCESSING = STATUS_CODES["STATUS_MORE_PROCESSING_REQUIRED"]
_LOST_SHARES = {
    STATUS_CODES["STATUS_NETWORK_NAME_DELETED"],
    STATUS_CODES["STATUS_BAD_NETWORK_NAME"],
}


@dataclass(frozen=True)
class Evidence:
    """What of a bundle is judged: manifest, requests, those in flight.

    Times are monotonic, in ns.
    """

    path: Path
    manifest: Mapping[str, Any]
    rows: Rows
    in_flight: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, path: Path) -> Evidence:
        """Read a bundle."""
        manifest, rows = product.bundle_manifest(path), product.bundle_events(path)
        in_flight = json.loads(product.bundle_file(path, "inflight.json"))
        return cls(path, manifest, rows, tuple(in_flight))

    @property
    def anomaly(self) -> Mapping[str, Any]:
        """The anomaly as its manifest has it."""
        found: Mapping[str, Any] = self.manifest["anomaly"]
        return found

    @property
    def decided_ns(self) -> int:
        """When the agent decided."""
        return int(self.manifest["collection"]["decided_monotonic_ns"])


@dataclass(frozen=True)
class Pencil:
    """Counts by the configured limits, in ms; ``counts`` are the acceptable ones by type."""

    thresholds_ms: Mapping[str, float]
    emergency_ms: float
    hang_ms: float
    counts: Mapping[str, int]

    def symptoms(self, evidence: Evidence, since_ns: int) -> list[int]:
        """When each thing was to be seen, after ``since_ns``, that counts towards the anomaly."""
        seen: Iterable[int]
        match evidence.anomaly["type"].lower():
            case "latency":
                seen = (at for at, _ in self._slow(evidence.rows))
            case "error":
                seen = _failed(evidence)
            case "hang":
                seen = self._hanging(evidence)
            case _:
                seen = _cut_off(evidence.rows)
        return sorted(at for at in seen if since_ns <= at <= evidence.decided_ns)

    def justified(self, evidence: Evidence, since_ns: int) -> bool:
        """Whether what was recorded after ``since_ns`` is what the alarm says."""
        kind = evidence.anomaly["type"].lower()
        if kind == "drift":
            return _has_drifted(evidence)
        if kind == "latency" and any(
            latency_ms >= self.emergency_ms and since_ns <= at <= evidence.decided_ns
            for at, latency_ms in self._slow(evidence.rows)
        ):
            return True
        seconds = Counter(at // _SECOND for at in self.symptoms(evidence, since_ns))
        if in_a_row := evidence.anomaly["figures"].get("windows_in_a_row"):
            return len(seconds) >= int(in_a_row)
        return max(seconds.values(), default=0) >= self.counts.get(kind, 1)

    def worst_second(self, rows: Rows, since_ns: int) -> int:
        """The most requests that were slow in any one second since then."""
        seconds = Counter(at // _SECOND for at, _ in self._slow(rows) if at >= since_ns)
        return max(seconds.values(), default=0)

    def _slow(self, rows: Rows) -> Iterator[tuple[int, float]]:
        """When each slow request was released, and its latency in ms."""
        limits = {**dict.fromkeys(COMMANDS, max(self.thresholds_ms.values())), **self.thresholds_ms}
        least_ms = min(*limits.values(), self.emergency_ms)
        for row in rows[(rows["kind"] == 0) & (product.latency_ms(rows) >= least_ms)]:
            name, latency_ns = COMMANDS[row["command"]], int(row["released_ns"] - row["issued_ns"])
            if self._may_wait(name, announced=bool(row["flags"] & 1)):
                continue
            if latency_ns / _MS >= min(limits[name], self.emergency_ms):
                yield int(row["released_ns"]), latency_ns / _MS

    def _hanging(self, evidence: Evidence) -> Iterator[int]:
        """When each request came of age without a response."""
        age_ns = round(self.hang_ms * _MS)
        for request in evidence.in_flight:
            announced = "async_response" in request["flags"]
            if self._hangs(request["command"], announced=announced):
                yield request["issued_ns"] + age_ns
        rows = evidence.rows
        for row in rows[(rows["kind"] == 0) & (product.latency_ms(rows) >= self.hang_ms)]:
            if self._hangs(COMMANDS[row["command"]], announced=bool(row["flags"] & 1)):
                yield int(row["issued_ns"]) + age_ns
        for begun_ns in _stalled(evidence):
            yield begun_ns + age_ns

    def _hangs(self, command: str, *, announced: bool) -> bool:
        """An open that was announced counts: it waits for another client."""
        opens = announced and command == "SMB2_CREATE"
        return opens or not self._may_wait(command, announced=announced)

    def _may_wait(self, command: str, *, announced: bool) -> bool:
        """Commands with a threshold of their own count in any case."""
        waits = command in _MAY_WAIT or (announced and command not in _PROMPT)
        return waits and command not in self.thresholds_ms


def _stalled(evidence: Evidence) -> Iterator[int]:
    """Since when each thread has no request that the alarm says has none, if the record agrees.

    operations.json is of a moment later: what waited for a reconnect may be over.
    """
    rows = evidence.rows[evidence.rows["kind"] == 0]
    rows = rows[rows["issued_ns"] < evidence.decided_ns]
    for stall in evidence.anomaly["stalls"]:
        begun_ns = evidence.decided_ns - round(stall["quiet_ms"] * _MS)
        of_thread = rows[rows["pid"] == stall["pid"]]
        if not (of_thread["released_ns"] > begun_ns + _MS).any():
            yield begun_ns


def _failed(evidence: Evidence) -> Iterator[int]:
    """When each response came that carries a code of the alarm."""
    statuses = {STATUS_CODES.get(name, -1) for name in evidence.anomaly["codes"]}
    rows = evidence.rows
    for row in rows[(rows["status"] != 0) & (rows["kind"] == 0)]:
        if int(row["status"]) in statuses:
            yield int(row["released_ns"])


def _cut_off(rows: Rows) -> Iterator[int]:
    """When each trouble event, lost request, lost share or refused login was seen."""
    for row in rows[(rows["kind"] != 0) | (rows["outcome"] != 0) | (rows["status"] != 0)]:
        lost = int(row["outcome"]) in (_RETRY, _SHUTDOWN) or int(row["status"]) in _LOST_SHARES
        if row["kind"] or lost or _is_refused_login(row):
            yield int(row["released_ns"])


def _is_refused_login(row: np.void) -> bool:
    refused = int(row["status"]) >= 0xC0000000 and int(row["status"]) != _MORE_PROCESSING
    return bool(row["command"] == COMMANDS.index("SMB2_SESSION_SETUP") and refused)


def _has_drifted(evidence: Evidence) -> bool:
    """Whether any command's median of the last half minute is twice what it was before."""
    rows, begin_ns = evidence.rows, evidence.decided_ns - 30 * _SECOND
    for name in evidence.anomaly["commands"]:
        of_command = rows[(rows["kind"] == 0) & (rows["command"] == COMMANDS.index(name))]
        late = of_command["released_ns"] >= begin_ns
        now, then = (_median_ms(of_command[which]) for which in (late, ~late))
        if now >= 2 * then > 0:
            return True
    return False


def _median_ms(rows: Rows) -> float:
    return float(np.median(product.latency_ms(rows))) if len(rows) else 0.0
