# SPDX-License-Identifier: MIT
"""events.npy: nothing is repeated, nothing is lost unsaid, and no file can do harm."""

from __future__ import annotations

import contextlib
import io
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aodasync.bundle.events_file import decode, encode, extend, mapped, most_rows, truncations
from aodasync.errors import RecordingError
from aodasync.events import EVENT, EventArray
from aodasync.evidence.recorder import FlightRecorder


def _rows(first: int, count: int) -> EventArray:
    rows = np.zeros(count, EVENT)
    rows["message_id"] = np.arange(first, first + count)
    rows["issued_ns"] = 1000 + rows["message_id"]
    rows["released_ns"] = 2000 + rows["message_id"] // 3  # several end at once
    return rows


@given(
    capacity=st.integers(1, 20),
    early=st.integers(0, 40),
    late=st.integers(0, 40),
    most=st.integers(1, 50),
)
@example(capacity=5, early=5, late=5, most=50)
@settings(deadline=None)
def test_what_comes_during_collection_is_added_to_what_came_before(
    capacity: int, early: int, late: int, most: int
) -> None:
    """Rows are there once each, in order, the newest of them if there is no room for all.

    However far the recorder turned meanwhile: how many rows it lost is known.
    """
    recorder = FlightRecorder(capacity)
    recorder.append(_rows(0, early))
    earlier, file = io.BytesIO(), io.BytesIO()
    encode(earlier, recorder.snapshot())
    recorder.append(_rows(early, late))
    added = recorder.snapshot(early)
    earlier.seek(0)
    counts = extend(file, earlier, added, most)
    numbers = decode(file.getvalue())["message_id"].tolist()
    kept_before = range(max(0, early - capacity), early)
    kept_after = range(max(early, early + late - capacity), early + late)
    assert numbers == [*kept_before, *kept_after][-most:]
    assert counts == (sum(n < early for n in numbers), sum(n >= early for n in numbers))
    assert late - len(added) == max(0, late - capacity)


def test_rows_are_mapped_not_copied(tmp_path: Path) -> None:
    """What was written is read in place, and cannot be changed; a file without rows has none."""
    for count in (0, 7):
        with (tmp_path / "events.npy").open("w+b") as file:
            encode(file, _rows(0, count))
            file.seek(0)
            rows = mapped(file)
        assert rows.tobytes() == _rows(0, count).tobytes()
        assert not rows.flags.writeable
        assert not rows.flags.owndata


def test_extending_takes_no_memory_for_what_is_there(tmp_path: Path) -> None:
    """Fifty thousand rows, five megabytes, are taken over with less than one in memory."""
    rows = _rows(0, 50_000)
    with (tmp_path / "earlier").open("wb") as file:
        encode(file, rows)
    del rows
    added = _rows(50_000, 10)
    with (tmp_path / "earlier").open("rb") as earlier, (tmp_path / "new").open("wb") as file:
        tracemalloc.start()
        try:
            assert extend(file, earlier, added, 60_000) == (50_000, 10)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
    assert len(np.load(tmp_path / "new")) == 50_010


def test_what_is_missing_is_said_by_number() -> None:
    """Rows that the recorder lost meanwhile, between which times, and rows without room."""
    rows = np.concatenate([_rows(0, 3), _rows(30, 3)])
    gap, cut = truncations(rows, 3, missing=27, left_out=4)
    assert (gap["left_out_rows"], gap["from_ns"], gap["to_ns"]) == (27, 2000, 2010)
    assert (cut["kept_rows"], cut["left_out_rows"]) == (6, 4)
    assert truncations(rows, 3) == []


def test_one_row_is_kept_over_no_budget_at_all() -> None:
    """A budget of nothing keeps one row."""
    assert [most_rows(n) for n in (0, 96, 1000)] == [1, 1, 10]


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
