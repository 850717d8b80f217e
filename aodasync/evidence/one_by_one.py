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

from aodasync.events import ANSWERED, NS_PER_MS, REQUEST, EventArray
from aodasync.evidence.arrays import median
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


def chains(rows: EventArray) -> list[Chain]:
    """Those in the newest rows, the longest first. ``rows`` has shape (N,), dtype EVENT."""
    rows = rows[-_MOST_ROWS:]
    rows = rows[(rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED) & (rows["issued_ns"] > 0)]
    threads, counts = np.unique(rows["pid"], return_counts=True)
    found = [_chain(rows[rows["pid"] == pid]) for pid in threads[counts >= _LEAST_TRIPS].tolist()]
    return sorted((c for c in found if c is not None), key=lambda c: c.seconds, reverse=True)


def _chain(rows: EventArray) -> Chain | None:
    rows = rows[np.argsort(rows["issued_ns"], kind="stable")]
    issued = rows["issued_ns"].astype(np.int64)
    until = np.maximum.accumulate(rows["released_ns"].astype(np.int64))
    # A trip begins where all before it had ended.
    first = np.flatnonzero(np.concatenate(([True], issued[1:] >= until[:-1])))
    begins, ends = issued[first], until[np.append(first[1:], len(rows)) - 1]
    # The last stretch without a long pause: a shell waits for its user.
    pauses = np.flatnonzero(begins[1:] - ends[:-1] > _PAUSE_NS)
    start = int(pauses[-1]) + 1 if len(pauses) else 0
    begins, ends = begins[start:], ends[start:]
    span_ns = int(ends[-1] - begins[0])
    share = float((ends - begins).sum()) / max(1, span_ns)
    if len(begins) < _LEAST_TRIPS or share < _LEAST_SHARE:
        return None
    mine = rows[first[start] :]
    commands = Counter(mine["command"].tolist()).most_common(_MOST_COMMANDS)
    return Chain(
        comm=bytes(mine["comm"][-1]).decode("utf-8", "replace"),
        tgid=int(mine["tgid"][-1]),
        trips=len(begins),
        each_ms=median(ends - begins) / NS_PER_MS,
        seconds=span_ns / 1e9,
        share=min(1.0, share),
        commands=tuple(command_name(code).removeprefix("SMB2_") for code, _ in commands),
    )
