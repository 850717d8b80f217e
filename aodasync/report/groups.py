# SPDX-License-Identifier: MIT
"""Requests by command, process, share or server, before the trouble and since it began. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aodasync.events import NS_PER_MS, REQUEST, EventArray, latency_ns, pick
from aodasync.evidence.failures import failed, silent
from aodasync.smb.commands import command_name

__all__ = ["Figures", "by_command", "grouped"]

_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Figures:
    """A group: counts and latencies in ms, before the trouble and from then on.

    ``sum_ms`` is the time that its requests took since, ``added_ms`` what of it is over its
    usual median. ``server_ms`` and ``client_ms`` are medians of the phases since: from issue
    to response, and from response to release. None where there is nothing to tell.
    """

    name: str
    count: tuple[int, int]
    median_ms: tuple[float | None, float | None]
    p99_ms: tuple[float | None, float | None]
    max_ms: tuple[float | None, float | None]
    sum_ms: float
    added_ms: float
    failed: int
    server_ms: float | None
    client_ms: float | None


def by_command(rows: EventArray, began_ns: int) -> list[Figures]:
    """A group a command."""
    return grouped(rows, began_ns, ("command",), lambda row: command_name(int(row[0])))


def grouped(
    rows: EventArray,
    began_ns: int,
    fields: Sequence[str],
    name: Callable[[tuple[Any, ...]], str],
) -> list[Figures]:
    """The groups of rows by ``fields``, those that added most time first.

    ``name`` is given a group's values; groups of one name count together. At most 64 are
    looked at, those with most time since the beginning.
    """
    ended = rows[(rows["kind"] == REQUEST) & (rows["released_ns"] > 0)]
    if not len(ended):
        return []
    late = ended["released_ns"] >= max(0, began_ns)
    spent_ns = latency_ns(ended)
    # One column sorts many times faster than several.
    columns = ended[fields[0]] if len(fields) == 1 else ended[list(fields)]
    keys, inverse = np.unique(columns, return_inverse=True)
    inverse = inverse.ravel()
    # A weight each for those before, so that a group without any since is there, too.
    sums = np.bincount(inverse, np.where(late, spent_ns, 1), len(keys))
    most = np.argsort(-sums, kind="stable")[:_MOST]
    members: dict[str, npt.NDArray[np.bool_]] = {}
    for number in most.tolist():
        key = keys[number].item()
        called, mine = name(key if isinstance(key, tuple) else (key,)), inverse == number
        members[called] = members[called] | mine if called in members else mine
    found = [
        _figures(called, pick(ended, mine & ~late), pick(ended, mine & late))
        for called, mine in members.items()
    ]
    return sorted(found, key=lambda group: (-group.added_ms, group.name))


def _figures(name: str, before: EventArray, since: EventArray) -> Figures:
    spans = [latency_ns(half) / NS_PER_MS for half in (before, since)]
    usual_ms, sum_ms = _at(spans[0], 50), float(spans[1].sum())
    answered = since[since["received_ns"] > 0]
    return Figures(
        name=name,
        count=(len(before), len(since)),
        median_ms=(usual_ms, _at(spans[1], 50)),
        p99_ms=(_at(spans[0], 99), _at(spans[1], 99)),
        max_ms=(_at(spans[0], 100), _at(spans[1], 100)),
        sum_ms=sum_ms,
        added_ms=sum_ms - (usual_ms or 0.0) * len(since),
        failed=int(np.count_nonzero(failed(since) | silent(since))),
        server_ms=_at(_span_ms(answered, "issued_ns", "received_ns"), 50),
        client_ms=_at(_span_ms(answered, "received_ns", "released_ns"), 50),
    )


def _span_ms(rows: EventArray, start: str, end: str) -> npt.NDArray[np.float64]:
    return np.maximum(rows[end].astype(np.int64) - rows[start].astype(np.int64), 0) / NS_PER_MS


def _at(values: npt.NDArray[np.float64], percentile: float) -> float | None:
    return float(np.percentile(values, percentile)) if len(values) else None
