# SPDX-License-Identifier: MIT
"""Requests in flight that are in a hash map, read a batch of buckets at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aodasync.errors import BpfError
from aodasync.probes import scanning
from aodasync.probes.in_flight_table import MessageTable

SECOND = 1_000_000_000


class FakeMap:
    """A hash map of events in buckets, read as the kernel reads them in batches."""

    def __init__(self, buckets: list[list[int]]) -> None:
        self.buckets = buckets
        self.calls = 0

    def __call__(
        self, _fd: int, token: bytes | None, keys: npt.NDArray[Any], values: npt.NDArray[Any]
    ) -> tuple[int, bytes | None]:
        self.calls += 1
        at = int.from_bytes(token, "little") if token else 0
        rows = 0
        while at < len(self.buckets):
            bucket = self.buckets[at]
            if rows + len(bucket) > len(keys):
                if not rows:
                    raise BpfError("no room", 28)
                return rows, at.to_bytes(8, "little")
            keys["message_id"][rows : rows + len(bucket)] = bucket
            values["issued_ns"][rows : rows + len(bucket)] = bucket
            rows += len(bucket)
            at += 1
        return rows, None


def table(reconnected_ns: int = 0) -> MessageTable:
    """A table over the map that is faked, after a reconnect at that time."""
    return MessageTable(0, lambda: reconnected_ns)


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5003])
def test_a_scan_sees_every_row_oldest_first(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Whatever the number of rows and batches."""
    order = (np.random.default_rng(count).permutation(count) + 1).tolist()
    fake = FakeMap([order[i : i + 3] for i in range(0, count, 3)])
    monkeypatch.setattr(scanning, "lookup_batch", fake)
    assert table().read(0)["issued_ns"].tolist() == list(range(1, count + 1))


def test_a_bucket_larger_than_the_buffer_makes_it_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket is handed over whole or not at all."""
    monkeypatch.setattr(scanning, "lookup_batch", FakeMap([list(range(1, 3001))]))
    assert len(table().read(0)) == 3000


def test_what_cannot_be_any_more_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests from before the last reconnect, or older than the client's own patience."""
    issued = [n * SECOND for n in (1, 100, 200, 300)]
    monkeypatch.setattr(scanning, "lookup_batch", FakeMap([issued]))
    assert table().read(310 * SECOND)["issued_ns"].tolist() == issued[2:]
    assert table(250 * SECOND).read(310 * SECOND)["issued_ns"].tolist() == issued[3:]
    assert not table().is_empty(310 * SECOND)
    assert table().is_empty(481 * SECOND)
