# SPDX-License-Identifier: MIT
"""The flight recorder keeps the newest rows, in order."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.events import EVENT, EventArray
from aodasync.evidence.recorder import SPARED_ROWS, FlightRecorder


@given(capacity=st.integers(1, 13), batches=st.lists(st.integers(0, 40), max_size=12))
def test_snapshot_is_the_tail_of_everything_appended(capacity: int, batches: list[int]) -> None:
    """For any batches: the last ``capacity`` rows, oldest first, or the later ones of them."""
    recorder = FlightRecorder(capacity)
    total = 0
    for size in batches:
        rows = np.zeros(size, EVENT)
        rows["message_id"] = np.arange(total, total + size)
        recorder.append(rows)
        total += size
    kept = recorder.snapshot()["message_id"].tolist()
    assert kept == list(range(max(0, total - capacity), total))
    assert len(recorder) == len(kept)
    assert recorder.appended == total
    for since in range(total + 2):
        newer = recorder.snapshot(since)["message_id"].tolist()
        assert newer == [number for number in kept if number >= since]


@given(steps=st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), max_size=30))
@settings(deadline=None, max_examples=30)
def test_rows_are_read_in_where_none_is_in_use(steps: list[tuple[int, bool]]) -> None:
    """For any reads and releases: rows in use, and the last ones that were, keep their content."""
    recorder = FlightRecorder(1000)
    in_use: deque[EventArray] = deque()
    spared: deque[EventArray] = deque()
    total = 0

    def read(into: npt.NDArray[np.void], available: int) -> int:
        rows = into.view(EVENT)[:available]
        rows["message_id"] = np.arange(total, total + len(rows))
        return len(rows)

    for available, release in steps:
        rows, full = recorder.fill(partial(read, available=available), 16_384)
        assert len(rows) == available or full
        total += len(rows)
        in_use.append(rows)
        held = np.concatenate([*spared, *in_use])["message_id"]
        assert held.tolist() == list(range(total - len(held), total))
        newest = recorder.snapshot()["message_id"].tolist()
        assert newest == list(range(max(0, total - 1000), total))
        if release:
            recorder.release(len(in_use[0]))
            spared.append(in_use.popleft())
        while sum(map(len, spared)) > SPARED_ROWS:
            spared.popleft()


def test_what_is_written_meanwhile_is_in_no_snapshot() -> None:
    """While a read writes over the eldest rows, a thread's snapshot leaves those out."""
    recorder = FlightRecorder(32_768)
    recorder.append(np.zeros(32_768, EVENT))
    seen: list[int] = []

    def read(_into: npt.NDArray[np.void]) -> int:
        seen.append(len(recorder.snapshot()))
        return 7

    recorder.fill(read, 100)
    assert seen == [32_668]
    assert (len(recorder.snapshot()), recorder.appended) == (32_768, 32_775)


def test_snapshot_is_a_copy() -> None:
    """Rows appended later do not show in a snapshot taken before."""
    recorder = FlightRecorder(4)
    recorder.append(np.ones(2, EVENT))
    before = recorder.snapshot()
    recorder.append(np.zeros(4, EVENT))
    assert before["message_id"].tolist() == [1, 1]
