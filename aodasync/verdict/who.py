# SPDX-License-Identifier: MIT
"""Who suffers in an episode: processes, shares and commands, by the time that they waited. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.events import NS_PER_MS, REQUEST, EventArray, latency_ns
from aodasync.evidence.arrays import is_in
from aodasync.evidence.file_book import NO_FILES, FileBook
from aodasync.evidence.model import Connection, Trigger
from aodasync.smb.commands import command_name

__all__ = ["Sufferer", "Who", "who_suffers", "who_waited"]

_MOST: Final = 10

Waits: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sufferer:
    """A process, share, command or file: its requests of the episode and the time that they took.

    ``share_of_time`` is its part (0 to 1) of the time that all of them took. ``pid`` is the
    process id of a process, 0 otherwise.
    """

    name: str
    requests: int
    slow_ms: float
    share_of_time: float
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Who:
    """The ten of each kind that waited longest, longest first."""

    processes: tuple[Sufferer, ...] = ()
    shares: tuple[Sufferer, ...] = ()
    commands: tuple[Sufferer, ...] = ()
    files: tuple[Sufferer, ...] = ()


def who_waited(
    rows: EventArray,
    in_flight: EventArray,
    *,
    threshold_ms: float,
    began_ns: int,
    now_ns: int,
    shares: Mapping[tuple[int, int], str],
    files: FileBook = NO_FILES,
    mounted: Collection[str] = (),
) -> Who:
    """Who waited since ``began_ns`` (CLOCK_MONOTONIC).

    ``rows`` are requests that ended, ``in_flight`` those that have not by ``now_ns``, both
    of the episode's server alone, of shape (N,). A request counts from ``threshold_ms`` on
    (0: each of them). Where no request names its share, all were for the connection or its
    session (NEGOTIATE, SESSION_SETUP, ...), and each of the shares ``mounted`` from the server
    waited for them.
    """
    ended = rows[(rows["kind"] == REQUEST) & (rows["issued_ns"] != 0)]
    ended = ended[ended["released_ns"] >= np.uint64(max(0, began_ns))]
    took_ns = latency_ns(ended).astype(np.int64)
    waiting = in_flight[in_flight["issued_ns"] != 0]
    age_ns = np.maximum(0, now_ns - waiting["issued_ns"].astype(np.int64))
    both = np.concatenate([ended, waiting])
    waits = np.concatenate([took_ns, age_ns])
    slow = waits >= round(threshold_ms * NS_PER_MS)
    both, waits = both[slow], waits[slow]
    by_share = _ranked(
        _columns(both, "session_id", "tree_id"), waits, lambda row: _share(row, shares)
    )
    return Who(
        processes=_ranked(_columns(both, "comm", "tgid"), waits, _process),
        shares=by_share or _all_of(sorted(set(mounted)), waits),
        commands=_ranked(
            _columns(both, "command"), waits, lambda row: (command_name(int(row[0])), 0)
        ),
        files=_ranked(files.of(both), waits, lambda file: (file[0], 0)),
    )


def who_suffers(
    trigger: Trigger,
    rows: EventArray,
    in_flight: EventArray,
    *,
    own: Sequence[Connection],
    shares: Mapping[tuple[int, int], str],
    files: FileBook = NO_FILES,
    mounted: Collection[str] = (),
) -> Who:
    """Who suffers from the trigger's finding; ``own`` are the connections of its server.

    ``mounted`` are the shares mounted from it, ``//server/share``. Of an anomaly of codes,
    those count whose requests failed.
    """
    finding = trigger.finding
    if finding is None:
        return Who()
    ids = np.array([c.connection_id for c in own], np.uint64)
    rows = rows[is_in(rows["connection_id"], ids)]
    in_flight = in_flight[is_in(in_flight["connection_id"], ids)]
    if finding.codes:
        rows, in_flight = rows[(rows["status"] != 0) | (rows["outcome"] != 0)], in_flight[:0]
    return who_waited(
        rows,
        in_flight,
        threshold_ms=finding.threshold_ms,
        began_ns=finding.first_ns,
        now_ns=trigger.decided_monotonic_ns,
        shares=shares,
        files=files,
        mounted=mounted,
    )


def _columns(rows: EventArray, *fields: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(rows[f].tolist() for f in fields), strict=True)


def _process(row: tuple[Any, ...]) -> tuple[str, int]:
    return row[0].decode("utf-8", "replace"), int(row[1])


def _share(row: tuple[Any, ...], shares: Mapping[tuple[int, int], str]) -> tuple[str, int]:
    """Its name; none for a tree id of 0, which the requests for a whole session have."""
    session_id, tree_id = int(row[0]), int(row[1])
    return shares.get((session_id, tree_id), "unknown share" if tree_id else ""), 0


def _all_of(names: Sequence[str], waits: Waits) -> tuple[Sufferer, ...]:
    """Each of them has waited for all that was waited for."""
    if not len(waits):
        return ()
    waited_ms = round(int(waits.sum()) / NS_PER_MS, 3)
    return tuple(
        Sufferer(name=name, requests=len(waits), slow_ms=waited_ms, share_of_time=1.0)
        for name in names[:_MOST]
    )


def _ranked(
    values: Iterable[tuple[Any, ...]],
    waits: Waits,
    name: Callable[[tuple[Any, ...]], tuple[str, int]],
) -> tuple[Sufferer, ...]:
    """The groups by value; groups of one name count together, those without one not at all."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    by_value: dict[tuple[Any, ...], tuple[int, int]] = {}
    for value, waited_ns in zip(values, waits.tolist(), strict=True):
        count, spent_ns = by_value.get(value, (0, 0))
        by_value[value] = count + 1, spent_ns + waited_ns
    for value, (count, spent_ns) in by_value.items():
        key = name(value)
        if not key[0]:
            continue
        earlier = found.get(key, (0, 0))
        found[key] = earlier[0] + count, earlier[1] + spent_ns
    total_ns = max(1, int(waits.sum()))
    order = sorted(found.items(), key=lambda item: (-item[1][1], item[0]))
    return tuple(
        Sufferer(
            name=key[0],
            requests=count,
            slow_ms=round(spent_ns / NS_PER_MS, 3),
            share_of_time=round(spent_ns / total_ns, 4),
            pid=key[1],
        )
        for key, (count, spent_ns) in order[:_MOST]
    )
