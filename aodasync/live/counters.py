# SPDX-License-Identifier: MIT
"""Totals of requests since the start, by server and command, for metrics.

A batch is only put aside; what was put aside is counted at once when there is enough of it,
or when somebody asks. So counting costs some 20 ns a request, whatever the batches' size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.detection.batch_content import ANSWERS, ANYTHING, Content
from aodasync.detection.by_server import ByServer, by_server
from aodasync.events import EVENT, OPAQUE, REQUEST, EventArray, pick
from aodasync.smb.commands import COMMANDS, command_name
from aodasync.smb.ntstatus import status_name

__all__ = ["BOUNDS_SEC", "Durations", "RequestCounters", "Totals"]

BOUNDS_SEC: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Upper bounds of the histogram's buckets; one more bucket has no bound."""

_BOUNDS_NS: Final = tuple(round(bound * 1e9) for bound in BOUNDS_SEC)
_BUCKETS: Final = len(BOUNDS_SEC) + 1
_SLOTS: Final = len(COMMANDS) + 1  # the last one: every unknown command
_HELD_ROWS: Final = 2048
_MAX_SERVERS: Final = 64
_MAX_STATUSES: Final = 64
OTHER: Final = "other"
"""Stands for the servers, and statuses, beyond as many as are counted apart."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Requests of a server and command: how many by bucket (shape (14,)), and their sum in s."""

    server: str
    command: str
    buckets: npt.NDArray[np.int64]
    sum_sec: float


@dataclass(frozen=True, slots=True)
class Totals:
    """All that is counted; ``errors`` by server and NTSTATUS name."""

    durations: tuple[Durations, ...]
    errors: dict[tuple[str, str], int]


class RequestCounters:
    """Counts requests; ``server_of`` names the server of a connection id."""

    def __init__(self, server_of: Callable[[int], str]) -> None:
        self._server_of = server_of
        self._held: npt.NDArray[np.void] = np.zeros(_HELD_ROWS, OPAQUE)
        self._held_rows = 0
        self._held_content: Content = ANSWERS  # of all of them
        self._counts: dict[str, npt.NDArray[np.int64]] = {}
        self._sums_ns: dict[str, npt.NDArray[np.float64]] = {}
        self._errors: dict[tuple[str, str], int] = {}

    def add(self, rows: EventArray, content: Content = ANYTHING) -> None:
        """Take a batch in, shape (N,), and what it has to say."""
        held, count = self._held_rows, len(rows)
        if held + count > _HELD_ROWS:
            self._count_held()
            held = 0
        if count > _HELD_ROWS:
            self._count(rows, content)
        else:
            self._held[held : held + count] = rows.view(OPAQUE)
            self._held_rows = held + count
            self._held_content = max(self._held_content, content)

    def totals(self) -> Totals:
        """What was counted so far."""
        self._count_held()
        durations = [
            Durations(server, _command(slot), counts[slot].copy(), float(sums[slot]) / 1e9)
            for server, counts in self._counts.items()
            for sums in [self._sums_ns[server]]
            for slot in np.flatnonzero(counts.sum(axis=1)).tolist()
        ]
        return Totals(tuple(durations), dict(self._errors))

    def _count_held(self) -> None:
        rows, content = self._held[: self._held_rows].view(EVENT), self._held_content
        self._held_rows, self._held_content = 0, ANSWERS
        self._count(rows, content)

    def _count(self, rows: EventArray, content: Content) -> None:
        # Columns are used where they lie: to gather one takes as long as most of what is
        # done with it.
        issued_ns = rows["issued_ns"]
        others = content is ANYTHING and np.count_nonzero(rows["kind"])
        if others or np.count_nonzero(issued_ns) < len(rows):
            rows = pick(rows, (rows["kind"] == REQUEST) & (issued_ns != 0))
        if not len(rows):
            return
        grouped = by_server(rows["connection_id"], lambda c: self._name(self._server_of(c)))
        self._add_durations(grouped, rows)
        if content is ANSWERS:
            return
        statuses = rows["status"]
        failed = np.flatnonzero(statuses)
        if len(failed):
            servers = grouped.place[failed].tolist()
            numbers = Counter(zip(servers, statuses[failed].tolist(), strict=True))
            self._add_errors(grouped.servers, numbers)

    def _name(self, server: str) -> str:
        if server not in self._counts and len(self._counts) >= _MAX_SERVERS:
            server = OTHER
        if server not in self._counts:
            self._counts[server] = np.zeros((_SLOTS, _BUCKETS), np.int64)
            self._sums_ns[server] = np.zeros(_SLOTS)
        return server

    def _add_durations(self, grouped: ByServer, rows: EventArray) -> None:
        """Add requests up, of shape (N,), N at least 1."""
        names = grouped.servers
        took_ns = (rows["released_ns"] - rows["issued_ns"]).view(np.int64)
        cells = rows["command"].astype(np.int64)
        np.minimum(cells, _SLOTS - 1, out=cells)
        cells *= _BUCKETS
        if len(names) > 1:
            cells += grouped.place * (_SLOTS * _BUCKETS)
        cells += _bucket(took_ns)
        size = len(names) * _SLOTS * _BUCKETS
        counts = np.bincount(cells, minlength=size).reshape(-1, _SLOTS, _BUCKETS)
        sums_ns = np.bincount(cells, weights=took_ns, minlength=size).reshape(counts.shape)
        for name, its_counts, its_sums_ns in zip(names, counts, sums_ns, strict=True):
            self._counts[name] += its_counts
            self._sums_ns[name] += its_sums_ns.sum(axis=1)

    def _add_errors(self, names: Sequence[str], numbers: Counter[tuple[int, int]]) -> None:
        for (server, status), number in numbers.items():
            key = names[server], status_name(status)
            if key not in self._errors and len(self._errors) >= _MAX_STATUSES:
                key = (OTHER, OTHER)
            self._errors[key] = self._errors.get(key, 0) + number


def _bucket(took_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The bucket of each, of shape (N,), N at least 1: how many bounds are less.

    Most are quick, so this takes a quarter of what a binary search does.
    """
    buckets = np.zeros(len(took_ns), np.uint8)
    longest_ns = int(took_ns.max())
    for bound_ns in _BOUNDS_NS:
        if longest_ns <= bound_ns:
            break
        buckets += took_ns > bound_ns
    return buckets


def _command(slot: int) -> str:
    return command_name(slot) if slot < len(COMMANDS) else OTHER
