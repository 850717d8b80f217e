# SPDX-License-Identifier: MIT
"""The flight recorder keeps the newest rows, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aodasync.events import EVENT
from aodasync.evidence.recorder import FlightRecorder


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


def test_snapshot_is_a_copy() -> None:
    """Rows appended later do not show in a snapshot taken before."""
    recorder = FlightRecorder(4)
    recorder.append(np.ones(2, EVENT))
    before = recorder.snapshot()
    recorder.append(np.zeros(4, EVENT))
    assert before["message_id"].tolist() == [1, 1]
