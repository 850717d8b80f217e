# SPDX-License-Identifier: MIT
"""Who suffers in an episode: processes, shares and commands, by the time that they waited. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.detection.budget import LOST_DATA
from aodasync.events import (
    NO_EVENTS,
    NO_OPERATIONS,
    NS_PER_MS,
    REQUEST,
    EventArray,
    OperationArray,
    latency_ns,
    pick,
)
from aodasync.evidence.arrays import is_in
from aodasync.evidence.file_book import NO_FILES, FileBook
from aodasync.evidence.model import Connection, Finding, Symptom, Trigger
from aodasync.smb.commands import command_name
from aodasync.verdict.concerned import failed_by, in_silence, waited_for
from aodasync.verdict.lost_data import data_lost
from aodasync.verdict.openers import for_their_openers
from aodasync.verdict.waiting_threads import Inside, WaitingThread, waiting_threads

__all__ = ["Sufferer", "Who", "who_suffers", "who_waited"]

_MOST: Final = 10
_WAITS_NS: Final = 100_000_000  # what is shorter may be between two requests
_WRITTEN_BEFORE_NS: Final = 2_000_000_000  # the writes that failed come before their data is lost

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
    threads: Sequence[WaitingThread] = (),
    mounted: Collection[str] = (),
    recorded: EventArray = NO_EVENTS,
) -> Who:
    """Who waited since ``began_ns`` (CLOCK_MONOTONIC).

    ``rows`` are requests that ended, ``in_flight`` those that have not by ``now_ns``, both
    of the episode's server alone, of shape (N,). A request counts from ``threshold_ms`` on
    (0: each of them), and so do the ``threads`` that have none. Where a connection has answered
    nothing since requests in flight were issued, they and the threads count from 100 ms on.
    Where no request names its share, all were for the connection or its session (NEGOTIATE,
    SESSION_SETUP, ...), and each of the shares ``mounted`` from the server waited for them.
    What a kworker asked counts for the process that opened the file, if that is ``recorded``.
    """
    of_episode = rows["released_ns"] >= np.uint64(max(0, began_ns))
    ended = pick(rows, of_episode & (rows["kind"] == REQUEST) & (rows["issued_ns"] != 0))
    took_ns = latency_ns(ended).astype(np.int64)
    waiting = in_flight[in_flight["issued_ns"] != 0]
    age_ns = np.maximum(0, now_ns - waiting["issued_ns"].astype(np.int64))
    least_ns = round(threshold_ms * NS_PER_MS)
    silent = in_silence(waiting, rows, now_ns) & (age_ns >= _WAITS_NS)
    slow, late = took_ns >= least_ns, (age_ns >= least_ns) | silent
    waits = np.concatenate([took_ns[slow], age_ns[late]])
    both = np.concatenate([pick(ended, slow), pick(waiting, late)])
    both = for_their_openers(both, recorded, files)
    least_alone_ns = min(threshold_ms * NS_PER_MS, _WAITS_NS if silent.any() else np.inf)
    alone = [thread for thread in threads if thread.ns >= least_alone_ns]
    total_ns = int(waits.sum()) + sum(thread.ns for thread in alone)
    of_processes = _summed(_columns(both, "comm", "tgid"), waits, _process)
    for thread in alone:
        key = thread.comm, thread.tgid
        count, spent_ns = of_processes.get(key, (0, 0))
        of_processes[key] = count, spent_ns + thread.ns
    of_shares = _summed(
        _columns(both, "session_id", "tree_id"), waits, lambda row: _share(row, shares)
    )
    if not of_shares and total_ns:
        of_shares = {(name, 0): (len(waits), total_ns) for name in mounted}
    of_commands = _summed(_columns(both, "command"), waits, lambda r: (command_name(int(r[0])), 0))
    of_files = _summed(files.of(both), waits, lambda file: (file[0], 0))
    return Who(
        *(_ranked(each, total_ns) for each in (of_processes, of_shares, of_commands, of_files))
    )


def who_suffers(
    trigger: Trigger,
    rows: EventArray,
    in_flight: EventArray,
    *,
    own: Sequence[Connection],
    shares: Mapping[tuple[int, int], str],
    operations: OperationArray = NO_OPERATIONS,
    meanwhile: Inside | None = None,
    files: FileBook = NO_FILES,
    mounted: Collection[str] = (),
) -> Who:
    """Who suffers from the trigger's finding; ``own`` are the connections of its server.

    ``operations`` are those inside the client at the decision, dtype OPERATION, oldest first,
    ``meanwhile`` what was there while the evidence was collected: a connection may be lost
    at a moment when nobody uses it, and those who come then wait for it. ``mounted`` are the
    shares mounted from the server, ``//server/share``. Of an anomaly of codes, those count whose
    requests failed, and threads that wait for the connection; of data that was lost, those that
    had written it.
    """
    finding = trigger.finding
    if finding is None:
        return Who()
    ids = np.array([c.connection_id for c in own], np.uint64)
    threads = waiting_threads(
        finding, operations, rows, in_flight, ids, now_ns=trigger.decided_monotonic_ns
    )
    if meanwhile is not None and finding.symptom == Symptom.CONNECTION:
        known = {(thread.comm, thread.tgid) for thread in threads}
        inside = meanwhile.operations, rows, meanwhile.in_flight
        came = waiting_threads(finding, *inside, ids, now_ns=meanwhile.now_ns)
        later = (thread for thread in came if thread.ns >= _WAITS_NS)
        threads += [thread for thread in later if (thread.comm, thread.tgid) not in known]
    losers = _losers(rows[data_lost(rows, ids, finding.first_ns)], finding)
    rows = pick(rows, is_in(rows["connection_id"], ids))
    in_flight = in_flight[is_in(in_flight["connection_id"], ids)]
    recorded = rows
    if finding.codes:
        rows, in_flight = pick(rows, failed_by(finding, rows)), in_flight[:0]
    waited = partial(
        who_waited,
        threshold_ms=finding.threshold_ms,
        began_ns=finding.first_ns - (_WRITTEN_BEFORE_NS if losers else 0),
        now_ns=trigger.decided_monotonic_ns,
        shares=shares,
        files=files,
        threads=threads,
        mounted=mounted,
        recorded=recorded,
    )
    who = waited(pick(rows, waited_for(finding, rows)), in_flight[waited_for(finding, in_flight)])
    if who == Who():
        who = waited(rows, in_flight)
    return replace(who, processes=losers) if losers else who


def _losers(lost: EventArray, finding: Finding) -> tuple[Sufferer, ...]:
    """The processes that got the error that what they had written is lost: at fsync, or at close.

    Others (kworker) have written it back. ``share_of_time`` is their part of the losses.
    """
    counts = Counter(map(_process, _columns(lost, "comm", "tgid")))
    return tuple(
        Sufferer(name, count, 0.0, round(count / len(lost), 4), pid)
        for (name, pid), count in counts.most_common(_MOST)
        if not LOST_DATA.isdisjoint(finding.codes)
    )


def _columns(rows: EventArray, *fields: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(rows[f].tolist() for f in fields), strict=True)


def _process(row: tuple[Any, ...]) -> tuple[str, int]:
    return row[0].decode("utf-8", "replace"), int(row[1])


def _share(row: tuple[Any, ...], shares: Mapping[tuple[int, int], str]) -> tuple[str, int]:
    """Its name; none for a tree id of 0, which the requests for a whole session have."""
    session_id, tree_id = int(row[0]), int(row[1])
    return shares.get((session_id, tree_id), "unknown share" if tree_id else ""), 0


def _summed(
    values: Iterable[tuple[Any, ...]],
    waits: Waits,
    name: Callable[[tuple[Any, ...]], tuple[str, int]],
) -> dict[tuple[str, int], tuple[int, int]]:
    """Requests and nanoseconds by name and pid; values without a name do not count."""
    by_value: dict[tuple[Any, ...], tuple[int, int]] = {}
    for value, waited_ns in zip(values, waits.tolist(), strict=True):
        count, spent_ns = by_value.get(value, (0, 0))
        by_value[value] = count + 1, spent_ns + waited_ns
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for value, (count, spent_ns) in by_value.items():
        key = name(value)
        if not key[0]:
            continue
        earlier = found.get(key, (0, 0))
        found[key] = earlier[0] + count, earlier[1] + spent_ns
    return found


def _ranked(
    found: Mapping[tuple[str, int], tuple[int, int]], total_ns: int
) -> tuple[Sufferer, ...]:
    order = sorted(found.items(), key=lambda item: (-item[1][1], item[0]))
    return tuple(
        Sufferer(
            name=name,
            requests=count,
            slow_ms=round(spent_ns / NS_PER_MS, 3),
            share_of_time=round(spent_ns / max(1, total_ns), 4),
            pid=pid,
        )
        for (name, pid), (count, spent_ns) in order[:_MOST]
    )
