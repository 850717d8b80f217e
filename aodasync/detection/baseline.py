# SPDX-License-Identifier: MIT
"""What is normal for each server and command: quantiles that learn, and slowly forget.

Kept of each are three quantiles (10 %, 50 %, 90 %) of the median latency of five
seconds, as logarithms: a server's latency varies by factors. A quantile p moves
up by step * p at each value above it, and down by step * (1 - p) at each below
(stochastic approximation; no value is stored, and an outlier moves it no further
than any other). The step shrinks to one that allows a factor of two in an hour:
that is the forgetting. Values out of band count a tenth, so that what is wrong
becomes normal only after about a day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_LEARNT", "Baseline", "Key", "Normal"]

Key: TypeAlias = tuple[str, int]
"""Server and command code."""

MAX_LEARNT: Final = 1024
_VERSION: Final = 1
_QUANTILES: Final = np.array([0.1, 0.5, 0.9])
_LEARNT: Final = 60  # five minutes with traffic
_FIRST_STEP: Final = 0.7
_LEAST_STEP: Final = 0.002
_OUT_OF_BAND: Final = 0.1
_MEDIAN_FACTOR: Final = 3.0
_HIGH_FACTOR: Final = 1.5
_LEAST_RISE_MS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Normal:
    """What was learnt of a key: its usual median latency, that of slow moments (90 %)."""

    server: str
    command: int
    learnt: int
    median_ms: float
    high_ms: float


@dataclass(slots=True)
class _Rows:
    """Quantiles, shape (MAX_LEARNT, 3), logarithms of ms; values learnt, (MAX_LEARNT,)."""

    quantiles: npt.NDArray[np.float64]
    learnt: npt.NDArray[np.int64]


class Baseline:
    """At most 1,024 pairs of server and command; beyond, the least recently used one is dropped."""

    def __init__(self) -> None:
        self._rows = _Rows(np.zeros((MAX_LEARNT, 3)), np.zeros(MAX_LEARNT, np.int64))
        self._index: dict[Key, int] = {}
        self.forgotten = 0
        """Normals that gave way to others."""

    def __len__(self) -> int:
        return len(self._index)

    def learn(self, keys: Sequence[Key], medians_ms: npt.NDArray[np.float64]) -> None:
        """Take one value for each key in, shape (len(keys),), each key once."""
        if not keys:
            return
        at = np.array([self._row(key) for key in keys])
        rows, value = self._rows, np.log(np.maximum(medians_ms, 1e-3))[:, None]
        first = rows.learnt[at] == 0
        rows.quantiles[at[first]] = value[first]
        out = ~first & (medians_ms > self.limits_ms(keys))
        step = np.maximum(_LEAST_STEP, _FIRST_STEP / (rows.learnt[at] + 1))
        step *= np.where(out, _OUT_OF_BAND, 1.0)
        moved = step[:, None] * (_QUANTILES - (value < rows.quantiles[at]))
        rows.quantiles[at] += np.where(first[:, None], 0.0, moved)
        rows.learnt[at] += 1

    def limits_ms(self, keys: Sequence[Key]) -> npt.NDArray[np.float64]:
        """The upper edge of each key's band, shape (len(keys),); infinite until it is learnt."""
        limits = np.full(len(keys), math.inf)
        known = [(n, self._index[key]) for n, key in enumerate(keys) if key in self._index]
        if known:
            positions, at = np.array(known).T
            _, median, high = np.exp(self._rows.quantiles[at]).T
            edge = np.maximum(median * _MEDIAN_FACTOR, high * _HIGH_FACTOR)
            edge = np.maximum(edge, median + _LEAST_RISE_MS)
            limits[positions] = np.where(self._rows.learnt[at] >= _LEARNT, edge, math.inf)
        return limits

    def usual_ms(self, key: Key) -> float:
        """The usual median latency of a key that was learnt."""
        return float(np.exp(self._rows.quantiles[self._index[key], 1]))

    def usual(self) -> list[tuple[Key, float]]:
        """The usual median latency in ms of each key that was learnt."""
        learnt = [
            (key, row) for key, row in self._index.items() if self._rows.learnt[row] >= _LEARNT
        ]
        medians = np.exp(self._rows.quantiles[[row for _, row in learnt], 1]).tolist()
        return [(key, ms) for (key, _), ms in zip(learnt, medians, strict=True)]

    def normals(self) -> list[Normal]:
        """All that was learnt for long enough."""
        return [
            Normal(
                *key, int(self._rows.learnt[row]), *np.exp(self._rows.quantiles[row, 1:]).tolist()
            )
            for key, row in self._index.items()
            if self._rows.learnt[row] >= _LEARNT
        ]

    def _row(self, key: Key) -> int:
        """The row of a key, created if needed; the order of the index is that of use."""
        row = self._index.pop(key, None)
        if row is None:
            full = len(self._index) == MAX_LEARNT
            self.forgotten += full
            row = self._index.pop(next(iter(self._index))) if full else len(self._index)
            self._rows.learnt[row] = 0
        self._index[key] = row
        return row

    def export(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {
            "version": _VERSION,
            "normals": [
                {
                    "server": server,
                    "command": command,
                    "learnt": int(self._rows.learnt[row]),
                    "log_ms": [round(float(q), 6) for q in self._rows.quantiles[row]],
                }
                for (server, command), row in self._index.items()
            ],
        }

    def restore(self, exported: Any) -> None:
        """Take up what :meth:`export` returned, in place of all that is known.

        Raises:
            ValueError: it is not of that kind; nothing has changed.
        """
        entries = exported.get("normals") if isinstance(exported, Mapping) else None
        if not isinstance(entries, list) or exported.get("version") != _VERSION:
            raise ValueError(f"not a state of version {_VERSION}")
        parsed = dict(map(_parse, entries[-MAX_LEARNT:]))
        self._index.clear()
        for key, (learnt, quantiles) in parsed.items():
            row = self._row(key)
            self._rows.learnt[row] = learnt
            self._rows.quantiles[row] = quantiles


def _parse(entry: Any) -> tuple[Key, tuple[int, list[float]]]:
    try:
        server, command = entry["server"], entry["command"]
        learnt, log_ms = entry["learnt"], entry["log_ms"]
        valid = isinstance(server, str) and 0 <= command < 1 << 16 and 0 < learnt < 1 << 40
        valid = valid and len(log_ms) == 3 and all(abs(float(q)) < 50 for q in log_ms)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"not a normal: {entry!r:.100}") from error
    if not valid:
        raise ValueError(f"not a normal: {entry!r:.100}")
    return (server, int(command)), (int(learnt), [float(q) for q in log_ms])
