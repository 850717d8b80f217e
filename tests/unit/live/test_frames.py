# SPDX-License-Identifier: MIT
"""The stream's frames: what is encoded is decoded, and what is no frame is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.events import EVENT, EventArray
from aodasync.live.frames import (
    Decoder,
    FrameError,
    Subscription,
    encode,
    hello,
    state_frame,
    wanted_rows,
)
from tests.builders import MS, SECOND, request, requests


def _rows(*latencies_ms: int) -> EventArray:
    return requests(*(request(released_ns=SECOND, latency_ns=ms * MS) for ms in latencies_ms))


@given(st.lists(st.integers(1, 400), max_size=20))
def test_frames_survive_any_cut(cuts: list[int]) -> None:
    """However the bytes arrive, the same frames come out."""
    rows = _rows(20, 20, 20)
    data = hello() + encode("rows", {"count": 3}, rows.tobytes()) + state_frame({"now_ns": 5}, rows)
    decoder, found = Decoder(), []
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        found += list(decoder.feed(piece))
    assert [frame.type for frame in found] == ["hello", "rows", "state"]
    assert (found[1].rows == rows).all()
    assert found[2].header["now_ns"] == 5


def test_an_agent_of_another_version_is_understood_by_field_name() -> None:
    """Fields that this reader does not know are left out, those that it lacks are 0."""
    other = np.zeros(1, [("command", "<u2"), ("invented", "<u8"), ("issued_ns", "<u8")])
    other["command"], other["issued_ns"] = 9, 7
    decoder = Decoder()
    frames = list(
        decoder.feed(
            encode("hello", {"version": 1, "dtype": other.dtype.descr})
            + encode("rows", {"count": 1}, other.tobytes())
        )
    )
    (row,) = frames[1].rows
    assert (row["command"], row["issued_ns"], row["status"]) == (9, 7, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"x\n",
        b"{}\n",
        b'{"type":"rows","bytes":-1}\n',
        b'{"type":"rows","bytes":1e18}\n',
        b'{"type":"rows","bytes":5}\n12345',
        b'{"type":"hello","bytes":0,"dtype":[["a","O"]]}\n',
        b'{"type":"hello","bytes":0}\n',
        b"[" * 100_000 + b"\n",
        b'{"type": "state", "bytes": 1e999}\n',
        b'{"type": "hello", "bytes": 0, "dtype": [["a", "8,"]]}\n',
        b'{"type": "hello", "bytes": 0, "dtype": [["pid", "S4"]]}\n{"type":"rows","bytes":4}\nabcd',
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """A FrameError, whatever comes."""
    with pytest.raises(FrameError):
        list(Decoder().feed(data))


@pytest.mark.parametrize(
    "request_",
    [
        {"min_ms": "5"},
        {"min_ms": True},
        {"errors": 1},
        {"version": 2},
        {"state_every_sec": 0},
        {"min_ms": -1},
        {"min_ms": float("nan")},
    ],
)
def test_a_subscription_is_checked(request_: dict[str, object]) -> None:
    """Wrong types and ranges are refused; what is left out has its default."""
    assert Subscription.parse({"command": "stream"}) == Subscription()
    with pytest.raises(FrameError):
        Subscription.parse(request_)


def test_a_subscription_is_sent_as_it_is_parsed() -> None:
    """The request line is the subscription."""
    asked = Subscription(min_ms=12.5, errors=True)
    assert Subscription.parse(json.loads(asked.encode())) == asked


def test_rows_are_selected_by_latency_and_error() -> None:
    """At or over the threshold; with errors, only those that failed."""
    rows = _rows(20, 20, 5)
    rows["status"][1] = 0xC0000022
    assert len(wanted_rows(rows, Subscription())) == 3
    assert len(wanted_rows(rows, Subscription(min_ms=20))) == 2
    assert len(wanted_rows(rows, Subscription(errors=True))) == 1
    assert len(wanted_rows(rows, Subscription(rows=False))) == 0
    assert rows["released_ns"][0] - rows["issued_ns"][0] == 20 * MS
    assert rows.dtype == EVENT
