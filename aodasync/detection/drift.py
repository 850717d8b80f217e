# SPDX-License-Identifier: MIT
"""Drift: a server that leaves the band it has been in, though no threshold is crossed.

Time is cut into slots of five seconds. The median latency of each server and
command with enough requests in a slot is compared with its own normal; out of
band for half a minute of slots is drift, until one slot is back in band or there
was no traffic to judge by for half a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.config.model import DriftAnomaly
from aodasync.detection.baseline import Baseline, Key
from aodasync.detection.by_server import by_server
from aodasync.detection.detector import Context, Detector, Firing, Signal, View
from aodasync.detection.long_waits import may_wait
from aodasync.events import (
    ANSWERED,
    EVENT,
    NS_PER_MS,
    OPAQUE,
    REQUEST,
    EventArray,
    Flag,
    latency_ns,
)
from aodasync.evidence.arrays import distinct, median
from aodasync.evidence.model import Finding, Symptom
from aodasync.smb.commands import command_name

__all__ = ["SLOT_NS", "DriftDetector"]

SLOT_NS: Final = 5_000_000_000
_LATE_NS: Final = 1_000_000_000  # rows of a slot may still be in the ring
_SLOTS_OUT: Final = 6
_SLOTS_SILENT: Final = 6
_LEAST_REQUESTS: Final = 8
_MOST_OF_A_BATCH: Final = 512
_MOST_OF_A_SLOT: Final = 8192
_MOST_WAITING: Final = 2048


@dataclass(slots=True)
class _Leaving:
    """A key out of band: since which slot, for how many, and the last of them."""

    since: int
    last: int
    slots: int
    recent_ms: float
    limit_ms: float
    requests: int
    connections: tuple[int, ...]

    @property
    def gone(self) -> bool:
        return self.slots >= _SLOTS_OUT


class DriftDetector(Detector):
    """A configured drift anomaly, and what it has learnt."""

    def __init__(self, anomaly: DriftAnomaly, context: Context) -> None:
        self._anomaly = anomaly
        self._interval_ns = context.interval_ns
        self._server_of = context.connections.server
        self._baseline = Baseline()
        self._waiting: list[npt.NDArray[np.void]] = []
        self._waiting_rows = 0
        self._full = -1  # the newest slot that needs no more rows
        self._over = 0  # slots before this one are judged
        self._slots: dict[int, list[npt.NDArray[np.uint64]]] = {}
        self._leaving: dict[Key, _Leaving] = {}
        self._windows: dict[str, int] = {}

    def observe(self, rows: EventArray) -> Iterable[Signal]:
        """Take rows in, shape (N,): of a large batch, an even sample."""
        if not len(rows) or rows["released_ns"].item(-1) // SLOT_NS == self._full:
            return ()
        step = 1 + len(rows) // (_MOST_OF_A_BATCH + 1)
        sample = rows.view(OPAQUE)[::step].copy()
        self._waiting.append(sample)
        self._waiting_rows += len(sample)
        if self._waiting_rows >= _MOST_WAITING:
            self._sort_in()
        return ()

    def look(self, view: View) -> Iterable[Signal]:
        """Judge the slots that are over; one firing an interval for each server that drifts."""
        now_ns = view.now_ns
        over = (now_ns - _LATE_NS) // SLOT_NS
        if over != self._over:
            self._over = over
            self._sort_in()
            for slot in sorted(slot for slot in self._slots if slot < over):
                self._judge(slot, np.concatenate(self._slots.pop(slot), axis=1))
            oldest = over - _SLOTS_SILENT
            self._leaving = {key: out for key, out in self._leaving.items() if out.last >= oldest}
        window = now_ns // self._interval_ns
        servers = sorted({server for (server, _), out in self._leaving.items() if out.gone})
        firings = [self._firing(server, window, now_ns) for server in servers]
        self._windows = dict.fromkeys(servers, window)
        return firings

    def forgotten(self) -> int:
        """Normals."""
        return self._baseline.forgotten

    def export(self) -> dict[str, Any]:
        """What it has learnt, as plain JSON values."""
        return self._baseline.export()

    def restore(self, exported: Any) -> None:
        """Take up what was exported. Raises ValueError."""
        self._baseline.restore(exported)

    def usual(self) -> list[dict[str, Any]]:
        """The learnt median of each server and command."""
        return [
            {"server": server, "command": command_name(command), "ms": round(ms, 3)}
            for (server, command), ms in self._baseline.usual()
        ]

    def _sort_in(self) -> None:
        """Put the rows that wait into their slots: connection, command and latency of each."""
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting).view(EVENT)
        self._waiting.clear()
        self._waiting_rows = 0
        ordinary = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED)
        ordinary &= (rows["flags"] & Flag.BEFORE_ATTACH) == 0
        ordinary &= ~may_wait(rows)
        columns = np.array((rows["connection_id"], rows["command"], latency_ns(rows)), np.uint64)
        slots = rows["released_ns"] // np.uint64(SLOT_NS)
        for slot in distinct(slots[ordinary]):
            parts = self._slots.setdefault(slot, [])
            if sum(part.shape[1] for part in parts) >= _MOST_OF_A_SLOT:
                self._full = max(self._full, slot)
            else:
                parts.append(columns[:, ordinary & (slots == slot)])

    def _judge(self, slot: int, columns: npt.NDArray[np.uint64]) -> None:
        medians = self._medians(columns)
        keys = list(medians)
        limits = self._baseline.limits_ms(keys)
        for key, limit in zip(keys, limits.tolist(), strict=True):
            recent_ms, requests, connections = medians[key]
            if recent_ms <= limit:
                self._leaving.pop(key, None)
                continue
            out = self._leaving.setdefault(key, _Leaving(slot, slot, 0, 0.0, 0.0, 0, ()))
            out.last, out.slots = slot, out.slots + 1
            out.recent_ms, out.limit_ms, out.requests = recent_ms, limit, requests
            out.connections = connections
        self._baseline.learn(keys, np.array([medians[key][0] for key in keys]))

    def _medians(
        self, columns: npt.NDArray[np.uint64]
    ) -> dict[Key, tuple[float, int, tuple[int, ...]]]:
        """Median latency in ms, requests and connections, by server and command."""
        grouped = by_server(columns[0], self._server_of)
        group = grouped.place * 65_536 + columns[1].astype(np.int64)
        medians = {}
        for value in distinct(group):
            part = columns[2][group == value]
            if len(part) >= _LEAST_REQUESTS:
                server, command = divmod(value, 65_536)
                figures = median(part) / NS_PER_MS, len(part), grouped.connections[server]
                medians[grouped.servers[server], command] = figures
        return medians

    def _firing(self, server: str, window: int, now_ns: int) -> Firing:
        drifting = {k: out for k, out in self._leaving.items() if k[0] == server and out.gone}
        worst, out = max(drifting.items(), key=lambda item: item[1].recent_ms / item[1].limit_ms)
        since = min(item.since for item in drifting.values())
        finding = Finding(
            anomaly=self._anomaly.name,
            type=self._anomaly.type,
            symptom=Symptom.SLOW,
            server=server,
            connections=tuple(sorted({c for item in drifting.values() for c in item.connections})),
            commands=tuple(command_name(command) for _, command in drifting),
            codes=(),
            count=sum(item.requests for item in drifting.values()),
            acceptable_count=_LEAST_REQUESTS,
            threshold_ms=out.limit_ms,
            max_latency_ms=max(item.recent_ms for item in drifting.values()),
            first_ns=since * SLOT_NS,
            last_ns=now_ns,
            emergency=False,
            crossed_ns=(out.since + _SLOTS_OUT) * SLOT_NS,
            figures={
                "usual_ms": round(self._baseline.usual_ms(worst), 3),
                "recent_ms": round(out.recent_ms, 3),
            },
        )
        first = self._windows.get(server) != window
        return Firing(window, first, finding.count if first else 0, finding)
