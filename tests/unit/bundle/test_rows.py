# SPDX-License-Identifier: MIT
"""events.npy: nothing is repeated, nothing is lost unsaid, and no file can do harm."""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aodasync.bundle.rows import decode, encode, join, select
from aodasync.errors import RecordingError
from aodasync.events import EVENT, EventArray
from aodasync.recorder import FlightRecorder


def _rows(first: int, count: int) -> EventArray:
    rows = np.zeros(count, EVENT)
    rows["message_id"] = np.arange(first, first + count)
    rows["issued_ns"] = 1000 + rows["message_id"]
    rows["released_ns"] = 2000 + rows["message_id"] // 3  # several end at once
    return rows


@given(capacity=st.integers(1, 20), early=st.integers(0, 40), late=st.integers(0, 40))
@example(capacity=5, early=5, late=5)
def test_two_copies_of_the_recorder_make_one_recording(
    capacity: int, early: int, late: int
) -> None:
    """Rows before and during collection are there once each, in order, however far it turned."""
    recorder = FlightRecorder(capacity)
    recorder.append(_rows(0, early))
    before = recorder.snapshot()
    recorder.append(_rows(early, late))
    joined, gap = join(before, recorder.snapshot())
    numbers = joined["message_id"].tolist()
    kept_before = range(max(0, early - capacity), early)
    kept_after = range(max(0, early + late - capacity), early + late)
    assert numbers == sorted({*kept_before, *kept_after})
    assert gap == (bool(early) and late >= capacity)


def test_more_than_the_budget_keeps_the_newest_and_says_so() -> None:
    """A recording over its share of the disk loses its oldest rows, by number."""
    rows, left_out = select(_rows(0, 0), _rows(0, 100), 10 * EVENT.itemsize + 5)
    assert rows["message_id"].tolist() == list(range(90, 100))
    assert [(e["kept_rows"], e["left_out_rows"]) for e in left_out] == [(10, 90)]


def test_one_row_is_kept_over_no_budget_at_all() -> None:
    """A budget of nothing keeps one row; no rows stay none."""
    assert len(select(_rows(0, 0), _rows(0, 3), 0)[0]) == 1
    assert select(_rows(0, 0), _rows(0, 0), 0)[1] == []


def test_a_recorder_that_turned_over_leaves_a_named_gap() -> None:
    """When no row connects both copies, the manifest says between which times rows may lack."""
    _, left_out = select(_rows(0, 3), _rows(30, 3), 1 << 20)
    assert [(e["from_ns"], e["to_ns"]) for e in left_out] == [(2000, 2010)]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_rows_round_trip(tmp_path: Path) -> None:
    """What is written is what is read, and any NumPy reads it without pickles."""
    rows = _rows(0, 7)
    rows["comm"] = b"fio"
    with (tmp_path / "events.npy").open("wb") as file:
        encode(file, rows)
    data = (tmp_path / "events.npy").read_bytes()
    assert decode(data).tobytes() == rows.tobytes()
    assert np.load(tmp_path / "events.npy", allow_pickle=False).dtype == EVENT


def test_older_and_newer_recordings_are_read() -> None:
    """Fields that a recording lacks are 0, others' are left out, byte order does not matter."""
    theirs = np.zeros(2, [("command", ">u2"), ("added", "<f8"), ("issued_ns", "<i8")])
    theirs["command"] = 8
    theirs["issued_ns"] = [5, 6]
    rows = decode(_npy(theirs))
    assert rows.dtype == EVENT
    assert rows["command"].tolist() == [8, 8]
    assert rows["issued_ns"].tolist() == [5, 6]
    assert not rows["released_ns"].any()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a NumPy array file"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': 1/0}  \n", "not a NumPy array file"),
        (b"PK\x03\x04 and so on", "not a NumPy array file"),
        (pickle.dumps([1]), "not a NumPy array file"),
        (_npy(np.arange(3)), "not a structured array"),
        (_npy(np.zeros((2, 2), EVENT)), "not a structured array"),
        (_npy(_rows(0, 3))[:-1], "cut off"),
        (_npy(np.zeros(1, [("name", "S4")])), "no requests"),
        (_npy(np.zeros(1, [("issued_ns", "<f8"), ("command", "<u2")])), "issued_ns is float64"),
        (_npy(np.zeros(1, [("issued_ns", "<u8", 2), ("command", "<u2")])), "issued_ns is"),
    ],
)
def test_what_is_no_recording_is_one_line(data: bytes, said: str) -> None:
    """Every fault of events.npy is a RecordingError of one line."""
    with pytest.raises(RecordingError, match=said) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    """An array of Python objects is refused before a pickle is looked at."""

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "sprung"),))

    array = np.empty(1, object)
    array[0] = Trap()
    with pytest.raises(RecordingError, match="not a structured array"):
        decode(_npy(array))


@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_arbitrary_bytes_are_refused_politely(data: bytes, cut: int) -> None:
    """Any bytes, and any with a good beginning, decode or raise RecordingError."""
    good = _npy(_rows(0, 2))
    for candidate in (data, good[:cut] + data):
        with contextlib.suppress(RecordingError):
            assert decode(candidate).dtype == EVENT
