# SPDX-License-Identifier: MIT
"""A thread that waits for one round trip after another is named, and no other."""

from __future__ import annotations

import numpy as np

from aodasync.events import EventArray, Flag
from aodasync.evidence.one_by_one import chains
from tests.builders import MS, SECOND, request, requests


def _listing(files: int = 600, trip_ms: int = 20, pause_ms: int = 1, pid: int = 70) -> EventArray:
    """Files one by one, each by a compound of three."""
    rows = [
        request(
            command,
            released_ns=SECOND + (n + 1) * (trip_ms + pause_ms) * MS,
            latency_ns=trip_ms * MS,
            flags=Flag.COMPOUND,
            pid=pid,
            tgid=7,
            comm=b"ls",
        )
        for n in range(files)
        for command in ("SMB2_CREATE", "SMB2_QUERY_INFO", "SMB2_CLOSE")
    ]
    return requests(*rows)


def test_six_hundred_files_one_by_one() -> None:
    """How many round trips, how long each, and of whom; a compound is one."""
    (found,) = chains(_listing())
    assert (found.comm, found.tgid, found.trips, round(found.each_ms)) == ("ls", 7, 600, 20)
    assert found.commands == ("CREATE", "QUERY_INFO", "CLOSE")
    assert str(found).startswith("ls 7 waits 95% of its time: 600 round trips one after another in")


def test_who_mostly_does_something_else_waits_for_nothing() -> None:
    """A millisecond of waiting in ten; a few files; pauses between."""
    assert chains(_listing(trip_ms=1, pause_ms=9)) == []
    assert chains(_listing(files=40)) == []
    assert chains(_listing(files=60, pause_ms=2000)) == []


def test_requests_that_overlap_are_no_chain() -> None:
    """A reader that keeps eight in flight waits once."""
    rows = [
        request(released_ns=SECOND + n * 5 * MS, latency_ns=40 * MS, pid=70) for n in range(500)
    ]
    assert chains(requests(*rows)) == []
    assert chains(requests()) == []


def test_threads_are_told_apart_however_their_requests_mix() -> None:
    """Each thread's chain is the one that it has alone; the longest come first."""
    drawn = np.random.default_rng(7)
    alone = []
    for pid in range(1, 40):
        rows = _listing(files=int(drawn.integers(40, 200)), trip_ms=int(drawn.integers(1, 9)))
        rows["pid"] = rows["tgid"] = pid
        start_ns = np.uint64(drawn.integers(0, 3 * SECOND))
        rows["issued_ns"] += start_ns
        rows["released_ns"] += start_ns
        alone.append(rows)
    mixed = requests(*alone)
    mixed = mixed[np.argsort(mixed["released_ns"], kind="stable")]
    found = chains(mixed)
    expected = [chain for rows in alone for chain in chains(rows)]
    assert len(expected) > 20
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert [c.seconds for c in found] == sorted((c.seconds for c in found), reverse=True)
    assert chains(mixed, most=2) == found[:2]
