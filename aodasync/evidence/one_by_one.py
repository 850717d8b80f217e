# SPDX-License-Identifier: MIT
"""Threads that wait for one round trip after another: why a listing takes long. Pure.

Nothing is slow, so nothing is an anomaly: 600 files that are asked for one by one take
600 times the round trip. Parts of a compound go together, and so do requests that overlap:
what counts is how often the thread waited, not for how many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aodasync.events import ANSWERED, NS_PER_MS, REQUEST, EventArray, pick
from aodasync.evidence.arrays import is_in, median
from aodasync.smb.commands import command_name

__all__ = ["Chain", "chains"]

_LEAST_TRIPS: Final = 50
_LEAST_SHARE: Final = 0.5
_MOST_ROWS: Final = 50_000
_MOST_COMMANDS: Final = 3
_PAUSE_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Chain:
    """A thread that waited ``trips`` times, one after another, ``each_ms`` in the middle.

    That was ``share`` of the time from its first request to its last, ``seconds`` in all.
    """

    comm: str
    tgid: int
    trips: int
    each_ms: float
    seconds: float
    share: float
    commands: tuple[str, ...]

    def __str__(self) -> str:
        """As a sentence."""
        return (
            f"{self.comm} {self.tgid} waits {self.share:.0%} of its time: {self.trips:,} round"
            f" trips one after another in {self.seconds:.1f} s, {self.each_ms:.1f} ms each"
            f" ({', '.join(self.commands)})"
        )


def chains(rows: EventArray, *, most: int | None = None) -> list[Chain]:
    """Those in the newest rows, the longest first, no more than ``most``.

    ``rows`` has shape (N,), dtype EVENT. All threads are looked at together: there may be many.
    """
    rows = rows[-_MOST_ROWS:]
    rows, thread = _of_busy_threads(rows)
    if len(rows) == 0:
        return []
    # Each thread's times are moved behind those of the thread before it.
    earliest = int(rows["issued_ns"].min())
    moved = thread * (int(rows["released_ns"].max()) - earliest + _PAUSE_NS + 1)
    issued = (rows["issued_ns"] - np.uint64(earliest)).astype(np.int64) + moved
    released = (rows["released_ns"] - np.uint64(earliest)).astype(np.int64) + moved
    order = np.argsort(issued, kind="stable")
    issued, thread = issued[order], thread[order]
    until = np.maximum.accumulate(released[order])
    # A trip begins where all before it had ended.
    first = np.flatnonzero(np.concatenate(([True], issued[1:] >= until[:-1])))
    begins, ends = issued[first], until[np.append(first[1:], len(thread)) - 1]
    # The last stretch of each thread without a long pause: a shell waits for its user.
    pauses = np.flatnonzero(begins[1:] - ends[:-1] > _PAUSE_NS) + 1
    changes = np.flatnonzero(np.diff(thread[first])) + 1
    last = np.append(changes, len(first))
    starts = np.sort(np.concatenate(([0], changes, pauses)))
    starts = starts[np.searchsorted(starts, last, side="left") - 1]
    spans = ends[last - 1] - begins[starts]
    before = np.concatenate(([0], np.cumsum(ends - begins)))
    shares = (before[last] - before[starts]) / np.maximum(1, spans)
    long = np.flatnonzero((last - starts >= _LEAST_TRIPS) & (shares >= _LEAST_SHARE))
    long = long[np.argsort(-spans[long], kind="stable")][:most]
    at = np.append(first, len(thread))
    return [
        _chain(rows[order[at[start] : at[end]]], ends[start:end] - begins[start:end], span, share)
        for start, end, span, share in zip(
            *(each[long].tolist() for each in (starts, last, spans, shares)), strict=True
        )
    ]


def _of_busy_threads(rows: EventArray) -> tuple[EventArray, npt.NDArray[np.int64]]:
    """The answered requests of threads with enough of them, and each one's thread, from 0 on."""
    answered = (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED) & (rows["issued_ns"] > 0)
    rows = pick(rows, answered & (rows["released_ns"] >= rows["issued_ns"]))
    ranked = np.sort(rows["pid"])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1) if len(ranked) else ranked
    busy = ranked[ends][np.diff(ends, prepend=-1) >= _LEAST_TRIPS]
    kept = is_in(rows["pid"], busy)
    rows = pick(rows, kept)
    return rows, np.searchsorted(busy, rows["pid"]).astype(np.int64)


def _chain(mine: EventArray, trips_ns: npt.NDArray[np.int64], span_ns: int, share: float) -> Chain:
    commands = Counter(mine["command"].tolist()).most_common(_MOST_COMMANDS)
    return Chain(
        comm=bytes(mine["comm"][-1]).decode("utf-8", "replace"),
        tgid=int(mine["tgid"][-1]),
        trips=len(trips_ns),
        each_ms=median(trips_ns) / NS_PER_MS,
        seconds=span_ns / 1e9,
        share=min(1.0, share),
        commands=tuple(command_name(code).removeprefix("SMB2_") for code, _ in commands),
    )
