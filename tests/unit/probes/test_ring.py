# SPDX-License-Identifier: MIT
"""The ring reader against a simulated producer."""

from __future__ import annotations

import mmap
import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aodasync.events import EVENT, OPAQUE
from aodasync.probes.records import RECORD
from aodasync.probes.ring import NAP_SEC, RECORD_BYTES
from tests.unit.probes.fake_ring import FakeRing, record

STARTS = [0, 8, 2**32 - 8, 2**32 - RECORD_BYTES, 2**63 - 16, 2**64 - 8, 2**64 - RECORD_BYTES]
PRIME = 9973


@pytest.fixture
def ring() -> Iterator[FakeRing]:
    """One page of ring."""
    fake = FakeRing()
    yield fake
    fake.close()


def test_an_empty_ring_gives_no_rows(ring: FakeRing) -> None:
    """No rows are an array of the right type, not None."""
    rows = ring.reader.read(100)
    assert rows.shape == (0,)
    assert rows.dtype == EVENT


@pytest.mark.parametrize("start", STARTS)
def test_a_prime_number_of_records_comes_out(start: int) -> None:
    """Exactly as many as went in, in order, over many wraps and past 2^32 and 2^64."""
    ring = FakeRing(start=start)
    seen: list[int] = []
    for number in range(PRIME):
        if not ring.put(number):
            seen += ring.reader.read(1000)["message_id"].tolist()
            assert ring.put(number)
    seen += ring.reader.read(1000)["message_id"].tolist()
    assert seen == list(range(PRIME))
    assert int(ring.consumer[0]) == (start + PRIME * RECORD_BYTES) % 2**64
    ring.close()


def test_rows_carry_all_bytes_and_belong_to_the_receiver(ring: FakeRing) -> None:
    """Every field arrives, contiguous, and later records do not change what was read."""
    ring.put(7)
    into = np.empty(10, OPAQUE)
    count, ids = ring.reader.read_into(into)
    rows = into[:count]
    assert rows.flags.c_contiguous
    assert rows.flags.owndata or rows.base is not ring.data
    before = rows.tobytes()
    assert ids.flags.c_contiguous
    assert before + ids.tobytes() == record(7)
    for number in range(200):
        ring.put(number) or ring.reader.read(1000)
    assert rows.tobytes() == before


def test_max_events_leaves_the_rest_in_the_ring(ring: FakeRing) -> None:
    """A limited read frees exactly what it returned."""
    for number in range(10):
        ring.put(number)
    assert ring.reader.read(3)["message_id"].tolist() == [0, 1, 2]
    assert int(ring.consumer[0]) == 3 * RECORD_BYTES
    assert ring.reader.read(100)["message_id"].tolist() == list(range(3, 10))


def test_reading_stops_at_a_busy_record(ring: FakeRing) -> None:
    """What lies behind a record that is still being written waits for it."""
    ring.put(0)
    position = ring.reserve(RECORD.itemsize)
    ring.put(2)
    assert ring.reader.read(10)["message_id"].tolist() == [0]
    assert ring.reader.read(10)["message_id"].tolist() == []
    assert position is not None
    ring.submit(position, record(1))
    assert ring.reader.read(10)["message_id"].tolist() == [1, 2]


def test_a_busy_head_costs_one_nap(ring: FakeRing) -> None:
    """The read returns after a short sleep: a loop around it neither spins nor hangs."""
    ring.reserve(RECORD.itemsize)
    begun = time.monotonic()
    assert len(ring.reader.read(10)) == 0
    assert time.monotonic() - begun >= NAP_SEC


def test_a_record_submitted_during_the_nap_is_read(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the nap the head is looked at again."""
    position = ring.reserve(RECORD.itemsize)
    assert position is not None
    monkeypatch.setattr("time.sleep", lambda _: ring.submit(position, record(5)))
    assert ring.reader.read(10)["message_id"].tolist() == [5]


def test_discarded_and_foreign_records_are_stepped_over(ring: FakeRing) -> None:
    """They free their space; a foreign one, which cannot be ours, is counted."""
    ring.put(0)
    discarded = ring.reserve(RECORD.itemsize)
    foreign = ring.reserve(21)
    odd = ring.reserve(5)
    ring.put(1)
    assert discarded is not None
    assert foreign is not None
    assert odd is not None
    ring.discard(discarded, RECORD.itemsize)
    ring.discard(odd, 5)
    ring.submit(foreign, bytes(21))
    assert ring.reader.read(10)["message_id"].tolist() == [0, 1]
    assert ring.reader.foreign == 1
    assert int(ring.consumer[0]) == int(ring.producer[0])


def test_a_ring_full_of_discarded_records_is_drained_in_bounded_steps() -> None:
    """One read steps over a bounded number, and the next goes on."""
    ring = FakeRing(size=16 * mmap.PAGESIZE)
    count = 0
    while (position := ring.reserve(0)) is not None:
        ring.discard(position, 0)
        count += 1
    reads = 0
    while int(ring.consumer[0]) != int(ring.producer[0]):
        assert len(ring.reader.read(10)) == 0
        reads += 1
    assert 2 <= reads <= count // 1000 + 1
    ring.close()


def test_produced_counts_records(ring: FakeRing) -> None:
    """The producer position is an exact count of our records."""
    for number in range(17):
        ring.put(number)
    assert ring.reader.produced == 17


def test_a_closed_reader_reads_nothing(ring: FakeRing) -> None:
    """Closing twice is fine, reading afterwards gives no rows."""
    ring.put(1)
    ring.reader.close()
    ring.reader.close()
    assert len(ring.reader.read(10)) == 0


def test_the_barrier_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On machines that reorder, the same rows come out; it is called in between."""
    calls: list[None] = []
    barrier = partial(calls.append, None)
    monkeypatch.setattr("aodasync.probes.ring.memory_barrier", lambda: barrier)
    ring = FakeRing()
    ring.put(1)
    ring.put(2)
    assert ring.reader.read(10)["message_id"].tolist() == [1, 2]
    assert len(calls) >= 3  # after the position, after the headers, before the new position
    ring.close()


def test_a_producer_in_another_thread_loses_nothing() -> None:
    """A concurrent producer and the reader agree on every record."""
    ring = FakeRing(size=16 * mmap.PAGESIZE)
    total = 20_011

    def produce() -> None:
        for number in range(total):
            while not ring.put(number):
                time.sleep(0)

    thread = threading.Thread(target=produce)
    thread.start()
    seen: list[int] = []
    while len(seen) < total:
        seen += ring.reader.read(4096)["message_id"].tolist()
    thread.join()
    assert seen == list(range(total))
    ring.close()


class RingMachine(RuleBasedStateMachine):
    """Any interleaving of reserve, submit, discard and read keeps order and loses nothing."""

    @initialize(
        start=st.sampled_from(STARTS) | st.integers(0, 2**61 - 1).map(lambda n: 8 * n),
        pages=st.sampled_from([1, 2]),
    )
    def make(self, start: int, pages: int) -> None:
        """Start anywhere in the 64-bit space, with a window of a page."""
        size = pages * mmap.PAGESIZE
        self.ring = FakeRing(size=size, start=start, window_bytes=mmap.PAGESIZE)
        self.next = 0
        self.busy: list[tuple[int, int, int]] = []  # position, length, number
        self.queue: deque[tuple[int, int]] = deque()  # position, number or -1: not a row
        self.done: set[int] = set()

    def teardown(self) -> None:
        """Unmap."""
        if hasattr(self, "ring"):
            self.ring.close()

    @rule(length=st.just(RECORD.itemsize) | st.integers(0, 300))
    def reserve(self, length: int) -> None:
        """Take room, or find none."""
        position = self.ring.reserve(length)
        if position is None:
            assert self.ring.free() < length + 16
            return
        self.busy.append((position, length, self.next))
        self.queue.append((position, self.next))
        self.next += 1

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), discard=st.booleans())
    def finish(self, data: st.DataObject, *, discard: bool) -> None:
        """Finish any reserved record."""
        index = data.draw(st.integers(0, len(self.busy) - 1))
        position, length, number = self.busy.pop(index)
        if discard:
            self.ring.discard(position, length)
        elif length == RECORD.itemsize:
            self.ring.submit(position, record(number))
        else:
            self.ring.submit(position, bytes(length))
        if discard or length != RECORD.itemsize:
            at = next(i for i, (where, _) in enumerate(self.queue) if where == position)
            self.queue[at] = (position, -1)
        self.done.add(position)

    @rule(limit=st.integers(1, 50))
    def read(self, limit: int) -> None:
        """Exactly the finished rows before the first busy one, at most ``limit``."""
        expected: list[int] = []
        while self.queue and self.queue[0][0] in self.done and len(expected) < limit:
            position, number = self.queue.popleft()
            self.done.discard(position)
            if number >= 0:
                expected.append(number)
        assert self.ring.reader.read(limit)["message_id"].tolist() == expected
        # Rows that are none may be freed now or by the next read.
        while self.queue and self.queue[0][1] == -1 and self._is_freed(self.queue[0][0]):
            self.done.discard(self.queue.popleft()[0])

    @invariant()
    def consumer_never_passes_busy_records(self) -> None:
        """Nothing that is still being written is ever freed."""
        for position, _, _ in getattr(self, "busy", ()):
            assert not self._is_freed(position)

    def _is_freed(self, position: int) -> bool:
        ahead = (position - int(self.ring.consumer[0])) % 2**64
        return ahead > self.ring.size


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_a_window_moves_only_when_it_must() -> None:
    """One pass over the ring opens each of its windows once, and none twice."""
    ring = FakeRing(size=8 * mmap.PAGESIZE, window_bytes=2 * mmap.PAGESIZE)
    records = ring.size // RECORD_BYTES
    for number in range(records):
        ring.put(number)
        assert ring.reader.read(10)["message_id"].tolist() == [number]
    assert ring.windows_opened == 4
    ring.close()


def test_rows_go_where_the_caller_wants_them(ring: FakeRing) -> None:
    """They are at the beginning of its array, and nothing behind them is touched."""
    for number in range(5):
        ring.put(number)
    into = np.full(4, 0, EVENT)
    into["message_id"] = 77
    count, ids = ring.reader.read_into(into[:3].view(OPAQUE))
    assert into["message_id"].tolist() == [0, 1, 2, 77]
    assert count == len(ids) == 3
    assert ring.reader.read_into(into.view(OPAQUE))[0] == 2
    assert into["message_id"].tolist() == [3, 4, 2, 77]


def test_a_length_beyond_what_was_produced_leads_no_further(ring: FakeRing) -> None:
    """A damaged header costs the records up to the producer, and the ring goes on."""
    for number in range(3):
        ring.put(number)
    ring._header(RECORD_BYTES, 5000)
    assert ring.reader.read(10)["message_id"].tolist() == [0]
    assert ring.reader.foreign == 1
    ring.put(3)
    assert ring.reader.read(10)["message_id"].tolist() == [3]


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=40),
    st.sampled_from(STARTS),
    st.sampled_from([1, 2, 8]),
)
@settings(deadline=None, max_examples=60)
def test_any_batching_gives_the_same_rows(
    batches: list[int], start: int, window_pages: int
) -> None:
    """Rows depend neither on how many are read at a time, nor on how much of the ring is seen."""
    ring = FakeRing(size=8 * mmap.PAGESIZE, start=start, window_bytes=window_pages * mmap.PAGESIZE)
    put, seen = 0, []
    for batch in batches:
        for _ in range(batch):
            put += ring.put(put)
        rows = ring.reader.read(max(batch // 2, 1))
        seen.append(rows["message_id"])
    seen.append(ring.reader.read(10_000)["message_id"])
    assert np.concatenate(seen).tolist() == list(range(put))
    ring.close()
